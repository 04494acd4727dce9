"""The documents name what exists: the table of wings is the tree's, and so is every path and command in them."""

from __future__ import annotations

import ast
import importlib.util
import re
from pathlib import Path

import pytest
from helpers.wings import APART, COMMANDS, ROOT, WINGS

DOCUMENTS = ["README.md", "CONTRIBUTING.md", "SECURITY.md", "pyproject.toml", "docs/**/*.md", "benchmarks/**/*.md"]

PATH = re.compile(r"(?<![\w./~-])(?:leukemia|search|tests|benchmarks|docs)/[\w./-]*\w/?")
"""A path of the repository, but not ``~/.cache/leukemia/...`` or ``leukemia-search/...``."""

COMMAND = re.compile(r"python -m ((?:leukemia|search|benchmarks)[\w.]*\w)")


def table() -> list[str]:
    """The table of wings as docs/design.md must hold it: first line of each wing's docstring, its files."""
    rows = ["| wing | what it is | files |", "|---|---|---|"]
    for wing in (*WINGS, *APART):
        folder = ROOT.joinpath(*wing.split("."))
        words = ast.get_docstring(ast.parse((folder / "__init__.py").read_text(encoding="utf-8")))
        assert words, wing
        modules = [path.stem for path in folder.glob("*.py") if path.stem != "__init__"]
        packages = [f"{path.parent.name}/" for path in folder.glob("*/__init__.py")]
        files = ", ".join(f"`{name}`" for name in sorted(modules + packages))
        rows.append(f"| `{wing.replace('.', '/')}` | {words.splitlines()[0].replace('``', '`')} | {files} |")
    return rows


def wings_in_the_tree() -> set[str]:
    return {f"{package}.{path.parent.name}" for package in COMMANDS for path in (ROOT / package).glob("*/__init__.py")}


def documents() -> list[Path]:
    found = sorted(path for pattern in DOCUMENTS for path in ROOT.glob(pattern))
    assert len(found) > len(DOCUMENTS)
    return found


def test_the_table_of_wings_is_the_trees() -> None:
    assert {*WINGS, *APART} == wings_in_the_tree()
    rows = [line for line in (ROOT / "docs" / "design.md").read_text(encoding="utf-8").splitlines() if "|" in line]
    start = rows.index("| wing | what it is | files |")
    expected = table()
    assert rows[start : start + len(expected)] == expected, "paste:\n" + "\n".join(expected)


@pytest.mark.parametrize("document", documents(), ids=lambda path: str(path.relative_to(ROOT)))
def test_every_path_in_a_document_exists(document: Path) -> None:
    named = set(PATH.findall(document.read_text(encoding="utf-8")))
    assert sorted(name for name in named if not (ROOT / name).exists()) == []


@pytest.mark.parametrize("document", documents(), ids=lambda path: str(path.relative_to(ROOT)))
def test_every_command_in_a_document_exists(document: Path) -> None:
    named = set(COMMAND.findall(document.read_text(encoding="utf-8")))
    assert sorted(name for name in named if importlib.util.find_spec(name) is None) == []


def test_paths_and_commands_are_found() -> None:
    text = (
        "In `leukemia/data/augment.py`, tests/ and (docs/design.md); not ~/.cache/leukemia/x, a/search/y, "
        "leukemia-search/z or https://s/search/q. Run `python -m search.run --help`, python -m leukemia.final."
    )
    assert PATH.findall(text) == ["leukemia/data/augment.py", "docs/design.md"]
    assert COMMAND.findall(text) == ["search.run", "leukemia.final"]
