"""The base folder of the paths in a CSV where none is given: its own folder, or one above that has the images."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

from leukemia.base.errors import UserError
from leukemia.data.layouts.key_tables import with_key_tables
from leukemia.data.layouts.listed_folder import Folder
from leukemia.data.layouts.listing import Listing, read_listing
from leukemia.data.layouts.path_column import MOST_COLUMNS, is_there
from leukemia.data.layouts.source import subfolders
from leukemia.data.reading import Reading

_WORD = re.compile(r"[^\W_]+")


def located_listing(path: Path, reading: Reading, data: Path | None = None) -> Listing:
    """A CSV, read with ``--base``; else with its own folder, or, if that has none of the images, one above with all.

    It has the columns of tables that belong to it, too.

    The folder above what was given is tried only for paths that exist there as written, since it may have anything.

    Args:
        data: the folder above the CSV that was given; None: the CSV was given.

    Raises:
        UserError: as ``read_listing``.
    """
    listing = _located(path, reading, data)
    return with_key_tables(listing, path.parent if data is None else data, reading, is_given=data is None)


def _located(path: Path, reading: Reading, data: Path | None) -> Listing:
    """As ``located_listing``, without the columns of other tables."""
    listing = read_listing(path, reading.base)
    if reading.base is not None:
        return listing
    if has_any(listing):
        return _in_its_folder(listing) or listing
    given = path.parent if data is None else data
    inside = [folder for folder in path.parent.parents if folder.is_relative_to(given)]
    for base in (*inside, *([given.parent] if _are_written(listing, given.parent) else [])):
        other = read_listing(path, base)
        if _has_all(other):
            note = f"the paths in the CSV are below {base}, not below its own folder"
            return dataclasses.replace(other, notes=(*other.notes, note))
    return listing


def _in_its_folder(listing: Listing) -> Listing | None:
    """A CSV whose images are not clear, read with the folder beside it that its name has: ``Labels of Dataset 1.csv``
    is about ``Dataset 1``. None if there is none, or if it has not all of the images."""
    words = _words(listing.path.stem)
    named = [
        folder for folder in subfolders(listing.path.parent) if (name := _words(folder.name)).strip() and name in words
    ]
    if not named or not _has_names_only(listing) or _has_all(listing):
        return None
    folder = max(named, key=lambda each: len(each.name))
    other = read_listing(listing.path, folder)
    if not _has_all(other):
        return None
    note = f"the paths in the CSV are below {folder}, which its name has"
    return dataclasses.replace(other, notes=(*other.notes, note))


def _has_names_only(listing: Listing) -> bool:
    """Whether no path has a folder: a folder that is written is the one that is meant."""
    column = listing.path_column
    return column is not None and not any(re.search(r"[/\\]", values[column]) for _, values in listing.rows)


def _words(name: str) -> str:
    """The words and numbers of a name, each between two blanks."""
    return f" {' '.join(_WORD.findall(name.casefold()))} "


def _are_written(listing: Listing, base: Path) -> bool:
    """Whether a column has the paths of images below a folder, in all rows."""
    names = [name.lower() for name in listing.columns[:MOST_COLUMNS] if name]
    return any(all(is_there(values[name], base) for _, values in listing.rows) for name in names)


def has_any(listing: Listing) -> bool:
    """Whether images of a CSV are in its base folder, or may be."""
    column = listing.path_column
    if column is None:
        return False
    root = listing.base.resolve()
    return is_there(listing.rows[0][1][column], root) or Folder(root, Reading.base_option).has_any(listing, column)


def _has_all(listing: Listing) -> bool:
    """Whether all images of a CSV are in its base folder, each of them once."""
    if listing.path_column is None:
        return False
    try:
        Folder(listing.base.resolve(), Reading.base_option).resolve_all(listing, listing.path_column)
    except UserError:
        return False
    return True
