"""Tables of images that have no content, and what they are read as with the options that a user types."""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Iterable
from pathlib import Path

from leukemia.base import cli
from leukemia.data.layouts.detect import find_images
from leukemia.data.layouts.source import Source
from leukemia.data.reading import Reading


def touch(root: Path, *paths: str) -> Path:
    """Empty files below a folder, which is returned."""
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).touch()
    return root


def write_lines(path: Path, *lines: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def one_hot_lines(header: str, words: Iterable[str], *, one: str = "1", zero: str = "0") -> list[str]:
    """A table ``image,WORD,...`` of the images ``images/0.png``, ..., each with a 1 in the column of its word."""
    columns = header.split(",")
    return [
        f"image,{header}",
        *(
            f"images/{row}.png,{','.join(one if column == word else zero for column in columns)}"
            for row, word in enumerate(words)
        ),
    ]


def typed(*data: Path, options: str = "") -> Source:
    """What is found with options as they are typed, without decoding."""
    parser = argparse.ArgumentParser()
    parser.add_argument("data", type=cli.path, nargs="+", action=cli.Paths)
    cli.add_reading(parser)
    arguments = parser.parse_args([*map(str, data), *shlex.split(options)])
    return find_images(arguments.data, Reading.of(arguments), labels=True)


def labels_of(source: Source) -> dict[str, int | None]:
    """The label of each image, by its path below the root."""
    return {row.path.relative_to(source.root).as_posix(): row.label for row in source.rows}
