"""Reading a folder as a user does: it is refused, and read at the second try with what the refusal says."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path

import pytest

from leukemia.base.errors import UserError
from leukemia.data.layouts.detect import find_images
from leukemia.data.layouts.source import Source
from leukemia.data.reading import Reading


def found(data: Path, *classes: str, labels: bool = True) -> Source:
    """What is found, without decoding."""
    return find_images(data, Reading(classes=classes or None), labels=labels)


def touch(root: Path, *paths: str) -> Path:
    """Empty files below a folder, which is returned."""
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).touch()
    return root


def write(root: Path, files: Mapping[str, str]) -> Path:
    """Text files below a folder, which is returned."""
    for path, text in files.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text, encoding="utf-8")
    return root


def rows_of(source: Source) -> dict[str, tuple[int | None, str | None, str | None]]:
    """The label, the subject and the part of a split of each image, by its path."""
    return {row.path.relative_to(source.root).as_posix(): (row.label, row.subject, row.split) for row in source.rows}


def refusal(data: Path, *classes: str) -> str:
    """The message of the first try."""
    with pytest.raises(UserError) as caught:
        found(data, *classes)
    return str(caught.value)


def before_list(message: str) -> str:
    """A refusal without its last line, which says how to list the images, and the one on other files."""
    lines = message.splitlines()
    assert "--label-sheet" in lines.pop()
    return "\n".join(line for line in lines if not line.startswith("  the folder also has "))


def completed(message: str, normal: str, leukemic: str) -> list[str]:
    """What is typed at the second try: the last ``--classes`` of a message, with the user's words."""
    typed = message.rpartition("--classes ")[2].partition("\n")[0]
    return shlex.split(
        typed.replace("normal=WORD,...", f"normal={normal}").replace("leukemic=WORD,...", f"leukemic={leukemic}")
    )
