"""The base folder of the paths in a CSV where none is given: its own folder, or one above that has the images."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from leukemia.base.errors import UserError
from leukemia.data.layouts.listed_folder import Folder
from leukemia.data.layouts.listing import Listing, read_listing
from leukemia.data.layouts.path_column import MOST_COLUMNS, is_there
from leukemia.data.reading import Reading


def located_listing(path: Path, reading: Reading, data: Path | None = None) -> Listing:
    """A CSV, read with ``--base``; else with its own folder, or, if that has none of the images, one above with all.

    The folder above what was given is tried only for paths that exist there as written, since it may have anything.

    Args:
        data: the folder above the CSV that was given; None: the CSV was given.

    Raises:
        UserError: as ``read_listing``.
    """
    listing = read_listing(path, reading.base)
    if reading.base is not None or _has_any(listing):
        return listing
    given = path.parent if data is None else data
    inside = [folder for folder in path.parent.parents if folder.is_relative_to(given)]
    for base in (*inside, *([given.parent] if _are_written(listing, given.parent) else [])):
        other = read_listing(path, base)
        if _has_all(other):
            note = f"the paths in the CSV are below {base}, not below its own folder"
            return dataclasses.replace(other, notes=(*other.notes, note))
    return listing


def _are_written(listing: Listing, base: Path) -> bool:
    """Whether a column has the paths of images below a folder, in all rows."""
    names = [name.lower() for name in listing.columns[:MOST_COLUMNS] if name]
    return any(all(is_there(values[name], base) for _, values in listing.rows) for name in names)


def _has_any(listing: Listing) -> bool:
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
