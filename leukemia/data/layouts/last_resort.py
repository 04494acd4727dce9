"""What always remains to be done where labels cannot be read: to look at the tables that are not read, or to list all
images, whose labels a person fills in."""

from __future__ import annotations

import contextlib
import os
import shlex
from collections.abc import Iterator, Sequence
from fnmatch import fnmatch
from pathlib import Path

from leukemia.base.printable import INDENT
from leukemia.data.classes import LabelError
from leukemia.data.layouts.listed_folder import OtherBase
from leukemia.data.layouts.source import is_image, walk
from leukemia.data.layouts.tables import by_use, is_table
from leukemia.data.layouts.unread_files import described_table
from leukemia.data.reading import Reading

OPTION = "--label-sheet"
"""The option of ``leukemia.catalog`` that writes the list."""

MOST_TABLES = 3
"""So many tables are named with their columns."""

MOST_KINDS = 3
"""So many kinds of other files are named."""


@contextlib.contextmanager
def last_resort(data: Path, reading: Reading, *, labels: bool) -> Iterator[None]:
    """Ends each refusal about labels or classes with the tables that it does not name, and the command for a list.

    Args:
        data: what is read: a folder, or the first of one or more CSVs.
        reading: the user's options.
        labels: whether labels are required.
    """
    try:
        yield
    except LabelError as error:
        if not labels:
            raise
        # Where another base folder is needed, a list of the images of this one is no way.
        is_elsewhere = reading.base is not None and isinstance(error, OtherBase)
        way = "" if is_elsewhere else way_by_sheet(data, reading)
        raise type(error)(f"{error}{_unread(data, str(error))}{way}") from None


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
    command = [
        "leukemia.catalog",
        *map(str, reading.paths(data)),
        *base,
        OPTION,
        str(_new_file(folder, reading.paths(data))),
    ]
    what = "for a CSV of all images, whatever the layout, in which to fill in labels, patients and a split"
    return f"\n{INDENT}{what}: python -m {shlex.join(command)}"


def _unread(data: Path, message: str) -> str:
    """A line on the files in a folder that a message does not name: tables and other kinds; empty if there are none."""
    if not data.is_dir():
        return ""
    # Of several tables read as one, some may have a suffix in capitals.
    about = message.partition(": ")[0].lower()
    others = [path for path in walk(data) if not is_image(path) and not fnmatch(str(path.absolute()).lower(), about)]
    every = set(filter(is_table, others))
    tables = [path for path in by_use(path for path in others if path in every) if path.name not in message]
    kinds: dict[str, list[str]] = {}
    for path in others:
        if path not in every:
            kinds.setdefault(path.suffix.lower(), []).append(path.name)
    unnamed = [names for names in kinds.values() if not any(name in message for name in names)]
    counts = [names[0] if len(names) == 1 else f"{len(names)} files such as {names[0]}" for names in unnamed]
    more = [f"{len(tables) - MOST_TABLES} more tables"] if len(tables) > MOST_TABLES else []
    named = [*(described_table(path, data) for path in tables[:MOST_TABLES]), *more, *counts[:MOST_KINDS]]
    return f"\n{INDENT}the folder also has {', '.join(named)}" if named else ""


def _new_file(folder: Path, given: Sequence[Path]) -> Path:
    """A file that does not exist, outside of the data: beside the folder of images, where paths in it need no
    ``--base``; else in the current folder, or beside the data.

    Args:
        folder: of the images.
        given: the paths of the data.
    """
    named = folder if folder.name not in ("", "..") else folder.resolve()
    data = [path.resolve() for path in (folder, *given) if path.is_dir()]
    places = [named.parent, Path.cwd(), *(path.parent for path in data)]
    outside = [place for place in places if not any(place.resolve().is_relative_to(path) for path in data)] or places[
        -1:
    ]
    place = next((each for each in outside if os.access(each, os.W_OK)), outside[0])
    files = (place / f"{named.name}_labels{f'_{number}' if number else ''}.csv" for number in range(1_000))
    return next(file for file in files if not os.path.lexists(file))
