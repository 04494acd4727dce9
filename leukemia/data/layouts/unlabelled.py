"""What always remains to be done where labels cannot be read: a list of all images, whose labels a person fills in."""

from __future__ import annotations

import os
import shlex
from pathlib import Path

from leukemia.base.errors import UserError
from leukemia.base.printable import INDENT
from leukemia.data.layouts.source import is_image, walk
from leukemia.data.reading import Reading

OPTION = "--label-sheet"
"""The option of ``leukemia.catalog`` that writes the list."""


class Unlabelled(UserError):
    """Images whose labels, or whose place in a CSV, cannot be read with any option."""


def folder_of_images(data: Path, reading: Reading) -> Path:
    """The folder that has the images of data: ``--base``, the data itself, or the folder of its CSVs."""
    if reading.base is not None:
        return Path(reading.base)
    folders = [path if path.is_dir() else path.parent for path in reading.paths(data)]
    return folders[0] if len(folders) == 1 else Path(os.path.commonpath([folder.resolve() for folder in folders]))


def way_by_sheet(data: Path, reading: Reading) -> str:
    """The last line of a refusal, with the command that lists the images; empty if there are none."""
    folder = folder_of_images(data, reading)
    if not folder.is_dir() or not any(map(is_image, walk(folder))):
        return ""
    base = ["--base", reading.base] if reading.base is not None else []
    command = ["leukemia.catalog", *map(str, reading.paths(data)), *base, OPTION, str(_new_file(folder))]
    return f"\n{INDENT}for a CSV of all images, in which to fill in their labels: python -m {shlex.join(command)}"


def _new_file(folder: Path) -> Path:
    """A file that does not exist, beside the folder of images: there, paths in it need no ``--base``."""
    named = folder if folder.name not in ("", "..") else folder.resolve()
    place = named.parent if os.access(named.parent, os.W_OK) else Path.cwd()
    files = (place / f"{named.name}_labels{f'_{number}' if number else ''}.csv" for number in range(1_000))
    return next(file for file in files if not os.path.lexists(file))
