"""``--help`` imports no heavy library; reports and publishing do not import torch."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

COMMANDS = sorted(
    ".".join(path.relative_to(ROOT).with_suffix("").parts)
    for package in ("leukemia", "search")
    for path in (ROOT / package).rglob("*.py")
    if "run_command(main)" in path.read_text(encoding="utf-8")
)

HEAVY = ("torch", "ray", "optuna", "albumentations", "pandas", "scipy", "sklearn", "matplotlib", "wandb")

RUN = """
import importlib, sys
from leukemia.base.errors import UserError

status = None
try:
    status = importlib.import_module(sys.argv[1]).main(sys.argv[2:])
except SystemExit as end:
    status = end.code
except UserError as error:
    print(error)
print(status, *sorted({name.partition(".")[0] for name in sys.modules}))
"""
"""Runs a command; the last line has its status (None after a user error) and the libraries that it imported."""


def run(folder: Path, *arguments: str) -> tuple[str, str, set[str]]:
    """Output, status and imported libraries of a command, run in a new process."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("WANDB_", "NETRC"))}
    environment |= {"PYTHONPATH": str(ROOT), "HOME": str(folder), "MPLBACKEND": "agg"}
    ended = subprocess.run(
        [sys.executable, "-c", RUN, *arguments], capture_output=True, text=True, cwd=folder, env=environment
    )
    assert ended.returncode == 0, ended.stderr
    output, _, last = ended.stdout.rstrip("\n").rpartition("\n")
    status, *libraries = last.split()
    return output, status, set(libraries)


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    shutil.copytree(ROOT / "tests" / "example_study", tmp_path / "runs" / "example")
    return tmp_path / "runs"


def test_all_commands_are_found() -> None:
    assert len(COMMANDS) == 13


@pytest.mark.parametrize("command", COMMANDS)
def test_help_imports_no_heavy_library(tmp_path: Path, command: str) -> None:
    name = command.removesuffix(".__main__")
    output, status, libraries = run(tmp_path, command, "--help")
    assert status == "0"
    assert output.startswith(f"usage: python -m {name} ")
    assert f"example:\n  python -m {name} " in output
    assert "--version" in output
    assert libraries.isdisjoint(HEAVY), f"{command} --help imports {sorted(libraries & set(HEAVY))}"


def test_the_packages_import_what_they_need_when_it_is_used(tmp_path: Path) -> None:
    code = f"""
import sys
import leukemia, search
names = set(dir(leukemia)), leukemia.load, search.search
assert not {set(HEAVY)!r} & {{name.partition(".")[0] for name in sys.modules}}
leukemia.Study
assert "torch" not in sys.modules
"""
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path, env=environment)
    assert ended.returncode == 0, ended.stderr


def test_report_does_not_import_torch(runs: Path) -> None:
    output, status, libraries = run(runs.parent, "leukemia.report", "example")
    assert (output, status) == ("runs/example/report.html", "0")
    assert libraries >= {"pandas", "matplotlib"}
    assert libraries.isdisjoint({"torch", "albumentations", "ray", "optuna", "wandb"})


def test_a_backend_of_a_notebook_does_not_matter(runs: Path) -> None:
    # Colab and Jupyter set it for every process that they start.
    environment = os.environ | {"PYTHONPATH": str(ROOT), "MPLBACKEND": "module://absent.backend_inline"}
    command = [sys.executable, "-m", "leukemia.report", "example"]
    ended = subprocess.run(command, capture_output=True, text=True, cwd=runs.parent, env=environment)
    assert (ended.returncode, ended.stdout) == (0, "runs/example/report.html\n"), ended.stderr


def test_publishing_does_not_import_torch(runs: Path) -> None:
    output, status, libraries = run(runs.parent, "leukemia.tracking.__main__", "publish", "example")
    assert status == "None"
    assert "no API key (`wandb login`); nothing was uploaded" in output
    assert libraries >= {"pandas", "wandb"}
    assert libraries.isdisjoint({"torch", "albumentations", "ray", "optuna"})
