"""The CSVs of a folder that options choose which only CSVs have, even where folders beside them name classes."""

from __future__ import annotations

from pathlib import Path

from leukemia.base.errors import UserError
from leukemia.data.layouts.csv_file import read_csv
from leukemia.data.layouts.lists import folder_of_lists, lists_of_folds
from leukemia.data.layouts.part_lists import part_lists
from leukemia.data.layouts.source import Source, walk
from leukemia.data.layouts.tables import is_table
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
    folders = dict.fromkeys(path.parent for path in walk(data) if is_table(path) and _has(path, columns))
    if not folders:
        return None
    for read in (folder_of_lists, part_lists, lists_of_folds):
        if (source := read(data, reading, labels=labels)) is not None:
            return source
    found = {
        folder: source
        for folder in folders
        if folder != data
        if (source := folder_of_lists(folder, reading, labels=labels, top=data)) is not None
    }
    if len(found) > 1:
        names = some([folder.relative_to(data).as_posix() for folder in found])
        raise UserError(f"{data}: the folders {names} have CSVs of images; give the path of one of them")
    return next(iter(found.values()), None)


def _columns(reading: Reading, *, labels: bool) -> set[str]:
    """The columns that options name, in lower case."""
    split = None if (reading.split_column or "").strip().lower() == FOLDERS else reading.split_column
    names = (reading.label_column, *((reading.subject_column, split) if labels else ()))
    return {name.strip().lower() for name in names if name}


def _has(path: Path, columns: set[str]) -> bool:
    """Whether a CSV has all these columns."""
    try:
        _, header = read_csv(path).header
    except UserError:
        return False
    return {name.lower() for name in header} >= columns
