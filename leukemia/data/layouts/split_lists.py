"""Lists of the parts of a split beside folders that name the classes: ``train.txt``, ``val.txt``, ``test.txt``."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path

from leukemia.base.errors import UserError, first_line
from leukemia.base.quantity import are
from leukemia.data.layouts.fold_lists import ReadList, as_folds
from leukemia.data.layouts.label_column import COLUMNS
from leukemia.data.layouts.listed_folder import Folder
from leukemia.data.layouts.listing import read_listing
from leukemia.data.layouts.source import Row, Source, ignored_files, walk
from leukemia.data.layouts.tables import is_table
from leukemia.data.reading import Reading
from leukemia.data.split import FOLDERS, LISTS, in_folders, part_of
from leukemia.data.subject_words import looks_like_subjects
from leukemia.data.subjects import some


def with_split_lists(source: Source, reading: Reading) -> Source:
    """The images of folders with the split that lists of their paths bring, which must have each image once.

    Lists are several CSVs in one folder, whose names are those of parts. Lists of other images are not read, and a note
    says why.

    Raises:
        UserError: the split is to be kept, and the lists cannot be read as one.
    """
    if source.layout != "folders" or any(in_folders(source)):
        return source
    lists = [path for path in walk(source.root) if part_of(path.stem) and is_table(path)]
    # Those of several folders may be several splits.
    if len({part_of(path.stem) for path in lists}) < 2 or len({path.parent for path in lists}) > 1:
        return source
    names = some([path.name for path in lists])
    try:
        parts, others = _parts(source, lists)
    except UserError as error:
        message = f"{names} are no split of the images: {first_line(error)}"
        if (reading.split_column or "").strip().lower() == FOLDERS:
            raise UserError(f"--split-column {reading.split_column}: {message}") from None
        return dataclasses.replace(source, lists=tuple(lists), named_notes=(*source.named_notes, message))
    notes = [f"read {names} for the split only"]
    if others:
        notes.append(
            f"did not read the columns {some(others)} of {names}: to read them, give these files, with a column of "
            "labels, in the place of the folder"
        )
    ignored = ignored_files([source.root])
    return dataclasses.replace(
        source,
        rows=tuple(
            dataclasses.replace(row, split=parts[path]) for row, path in zip(source.rows, _real(source), strict=True)
        ),
        split_from=LISTS,
        lists=tuple(lists),
        notes=(*(note for note in source.notes if note not in ignored), *ignored_files([source.root], read=lists)),
        named_notes=(*source.named_notes, *notes),
    )


def _may_be_meant(column: str) -> bool:
    return looks_like_subjects(column) or column.lower() in COLUMNS


def _real(source: Source) -> list[str]:
    return [os.path.realpath(row.path) for row in source.rows]


def _parts(source: Source, lists: list[Path]) -> tuple[dict[str, str], list[str]]:
    """The name of the list of each image, by its path without links; and columns of labels or subjects."""
    read = []
    others: dict[str, None] = {}
    for path in lists:
        listing = read_listing(path, source.root)
        if listing.path_column is None:
            raise UserError(f"{path.name} has no column of paths")
        images = Folder(source.root, "--base").resolve_all(listing, listing.path_column)
        rows = tuple(Row(path=image, label=None) for image in images)
        read.append(ReadList(name=path.stem, path=path, source=Source(layout="csv", root=source.root, rows=rows)))
        others |= dict.fromkeys(name for name in listing.columns if _may_be_meant(name))
    parts: dict[str, str] = {}
    for each in as_folds(read):
        for row in each.source.rows:
            if (other := parts.setdefault(str(row.path), each.name)) != each.name:
                raise UserError(f"{row.path.relative_to(source.root)} is in {other} and {each.name}")
    if missing := [path for path in _real(source) if path not in parts]:
        example = Path(missing[0]).relative_to(source.root)
        raise UserError(
            f"{len(missing)} of {len(source.rows)} images {are(len(missing))} in none of them, such as "
            f"{example}; add these to a "
            "list, or move them out of the folder"
        )
    return parts, list(others)
