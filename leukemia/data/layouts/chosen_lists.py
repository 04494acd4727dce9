"""The CSVs of a folder that options choose which only CSVs have, even where folders beside them name classes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from leukemia.base.errors import UserError
from leukemia.data.layouts.base_folder import located_listing
from leukemia.data.layouts.csv_file import read_csv
from leukemia.data.layouts.csv_listing import list_images
from leukemia.data.layouts.lists import folder_of_lists, lists_of_folds
from leukemia.data.layouts.part_lists import lists_in_folders, part_lists
from leukemia.data.layouts.source import Source, walk
from leukemia.data.layouts.tables import by_use, is_table
from leukemia.data.reading import Reading
from leukemia.data.split import FOLDERS
from leukemia.data.subjects import some


def chosen_lists(data: Path, reading: Reading, *, labels: bool) -> Source | None:
    """The images of the CSVs below ``data`` that have the columns given, or images below ``--base``; None if no option
    chooses CSVs, or there are no such CSVs.

    Args:
        labels: as for ``leukemia.data.layouts.detect.find_images``; if False, the columns may be those of the training
            data, so that only the column of labels chooses CSVs.

    Raises:
        UserError: CSVs of several folders are meant, or their reader fails.
    """
    columns = _columns(reading, labels=labels)
    if reading.base is None and not columns:
        return None
    every = by_use(filter(is_table, walk(data)))
    tables = [path for path in every if columns <= {*map(str.lower, header_of(path))}]
    if reading.base is not None and not labels:
        # The column of labels may be that of the training data.
        tables = tables or every
    if not tables:
        return None
    for read in (folder_of_lists, part_lists, lists_of_folds, lists_in_folders):
        if (source := read(data, reading, labels=labels)) is not None:
            return source
    found = {
        folder: source
        for folder in dict.fromkeys(path.parent for path in tables)
        if folder != data
        if (source := folder_of_lists(folder, reading, labels=labels, top=data)) is not None
    }
    if len(found) > 1:
        names = some([folder.relative_to(data).as_posix() for folder in found])
        raise UserError(f"{data}: the folders {names} have CSVs of images; give the path of one of them")
    if not found and columns and labels:
        _refuse_unlabelled(data, tables, reading)
    return next(iter(found.values()), None)


def _refuse_unlabelled(data: Path, tables: Sequence[Path], reading: Reading) -> None:
    """Say of the first of these CSVs, if possible of one that lists images, what it lacks."""
    listings = [located_listing(path, reading, data) for path in tables]
    for listing in sorted(listings, key=lambda each: each.path_column is None):
        if listing.path_column is not None or reading.label_column is not None:
            list_images(listing, reading, labels=True)


def _columns(reading: Reading, *, labels: bool) -> set[str]:
    """The columns that options name, in lower case."""
    split = None if (reading.split_column or "").strip().lower() == FOLDERS else reading.split_column
    names = (reading.label_column, *((reading.subject_column, split) if labels else ()))
    return {name.strip().lower() for name in names if name}


def header_of(path: Path) -> list[str]:
    """The columns of a CSV; empty if it cannot be read."""
    try:
        return read_csv(path).header[1]
    except UserError:
        return []
