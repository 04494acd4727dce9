"""Each folder of benchmarks has its commands at the top level, and a README that lists them."""

from __future__ import annotations

import ast
import importlib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = ("faults", "racing", "reading", "scale", "tracking", "training")
COMMANDS = [
    f"benchmarks.{folder}.{path.stem}" for folder in FOLDERS for path in (ROOT / "benchmarks" / folder).glob("*.py")
]


def test_every_folder_is_known() -> None:
    found = {path.parent.name for path in (ROOT / "benchmarks").glob("*/README.md")}
    assert found == set(FOLDERS)


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_explains_itself_and_its_readme_lists_it(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match=r"^0$"):
        importlib.import_module(command).main(["--help"])
    assert f"python -m {command}" in capsys.readouterr().out
    folder = command.split(".")[1]
    assert f"python -m {command}" in (ROOT / "benchmarks" / folder / "README.md").read_text(encoding="utf-8")


def test_nothing_imports_a_command() -> None:
    for path in (ROOT / "benchmarks").rglob("*.py"):
        imported = {
            node.module
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
            if isinstance(node, ast.ImportFrom)
        }
        assert not imported & set(COMMANDS), path
