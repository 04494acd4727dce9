"""docs/python.md: its examples run as they are printed."""

from __future__ import annotations

import doctest
import re
import shutil
from pathlib import Path

import pytest

from leukemia.study.folder import Study

ROOT = Path(__file__).parents[2]

BLOCK = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def test_the_examples_run_as_printed(
    delivered: Study, tiny_folder: Path, patients: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = delivered.folder.parents[1]
    shutil.move(delivered.folder, root / "runs" / "first")
    shutil.copytree(ROOT / "tests" / "example_study", root / "runs" / "example")
    (root / "cells").symlink_to(tiny_folder)
    (root / "test").symlink_to(patients)
    monkeypatch.chdir(root)
    blocks = BLOCK.findall((ROOT / "docs" / "python.md").read_text(encoding="utf-8"))
    shown = "\n".join(block for block in blocks if ">>>" in block)
    options = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
    test = doctest.DocTestParser().get_doctest(shown, {}, "docs/python.md", "docs/python.md", 0)
    assert len(test.examples) > 15
    printed: list[str] = []
    failed, _ = doctest.DocTestRunner(optionflags=options).run(test, out=printed.append)
    assert failed == 0, "".join(printed)
