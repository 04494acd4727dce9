"""The wheel: contains every module, and its commands run without access to the checkout."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from helpers.searches import ROOT

pytestmark = pytest.mark.slow

COMMANDS = sorted(
    f"{package}.{path.stem if path.name != '__main__.py' else path.parent.name}"
    for package in ("leukemia", "search")
    for path in (*(ROOT / package).glob("[a-z]*.py"), *(ROOT / package).glob("*/__main__.py"))
)
"""Modules to run with ``python -m``."""


def run(*command: str | Path, folder: Path, **environment: str) -> str:
    """Run a command in a folder; returns its output, and shows its errors if it fails."""
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    ended = subprocess.run(command, cwd=folder, env=kept | environment, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built offline from tracked files only: other files of the checkout must not be in it."""
    folder = tmp_path_factory.mktemp("wheel")
    sources = folder / "sources"
    for name in run("git", "ls-files", folder=ROOT).splitlines():
        if name.startswith(("leukemia/", "search/")) or name in ("pyproject.toml", "README.md", "LICENSE"):
            (sources / name).parent.mkdir(parents=True, exist_ok=True)
            (sources / name).write_bytes((ROOT / name).read_bytes())
    pip = (sys.executable, "-m", "pip", "--disable-pip-version-check")
    run(*pip, "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--wheel-dir", folder, sources, folder=folder)
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel: Path) -> Path:
    """The folder that the wheel is installed in."""
    target = wheel.parent / "installed"
    pip = (sys.executable, "-m", "pip", "--disable-pip-version-check")
    run(*pip, "install", "--quiet", "--no-deps", "--no-index", "--target", target, wheel, folder=wheel.parent)
    return target


def run_installed(installed: Path, folder: Path, *arguments: str) -> str:
    """Run Python with the installed wheel. ``-P`` and the empty folder hide the checkout."""
    return run(sys.executable, "-P", *arguments, folder=folder, PYTHONPATH=str(installed))


def test_the_wheel_contains_all_modules_and_nothing_else(wheel: Path) -> None:
    tracked = set(run("git", "ls-files", "leukemia", "search", folder=ROOT).splitlines())
    assert {"leukemia/py.typed", "search/py.typed", "search/policy/early_stopping.py"} <= tracked
    with zipfile.ZipFile(wheel) as archive:
        packed = {name for name in archive.namelist() if ".dist-info/" not in name}
    assert packed == tracked


def test_the_installed_wheel_is_imported(installed: Path, tmp_path: Path) -> None:
    code = "import leukemia, search; print(leukemia.__file__, search.__file__, sep='\\n')"
    paths = run_installed(installed, tmp_path, "-c", code).splitlines()
    assert paths == [str(installed / package / "__init__.py") for package in ("leukemia", "search")]


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help(installed: Path, tmp_path: Path, command: str) -> None:
    assert f"python -m {command}" in run_installed(installed, tmp_path, "-m", command, "--help")


def test_a_search_can_be_planned(installed: Path, tmp_path: Path) -> None:
    options = ["--dry-run", "--preset", "debug", "--trials", "2", "--folds", "2", "--set", "model.depth=18"]
    printed = run_installed(installed, tmp_path, "-m", "search.run", *options)
    assert "space: " in printed
    assert list(tmp_path.iterdir()) == []
