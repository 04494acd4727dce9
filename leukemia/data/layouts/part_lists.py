"""CSVs in several folders, one in each and with the same columns, as of the parts of a split or of patients, read as
one: ``train/_classes.csv``, ``valid/_classes.csv``; ``P01/cells.csv``, ``P02/cells.csv``."""

from __future__ import annotations

import dataclasses
import os
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from leukemia.base.errors import UserError
from leukemia.data.layouts.csv_listing import list_images
from leukemia.data.layouts.label_candidates import label_candidates
from leukemia.data.layouts.label_column import label_column
from leukemia.data.layouts.listed_folder import Folder
from leukemia.data.layouts.listing import TABLE, Listing, read_listing, with_one_hot
from leukemia.data.layouts.source import Source, direct_others, is_image, subfolders, walk, walk_folders
from leukemia.data.layouts.tables import is_table
from leukemia.data.reading import Reading
from leukemia.data.split import part_of
from leukemia.data.subjects import some


def part_lists(data: Path, reading: Reading, *, labels: bool) -> Source | None:
    """The images of the CSVs in the folders of all parts, read as one CSV; None unless two parts have one with the same
    columns.

    So what must be corrected, or is to be mapped, is counted over all parts. Images of a part without such a CSV are
    no training data, and are counted in ``excluded``.

    Args:
        labels: as for ``leukemia.data.layouts.detect.find_images``.

    Raises:
        UserError: a CSV cannot be read, or as ``list_images``.
    """
    parts = [folder for folder in subfolders(data) if part_of(folder.name)]
    tables = {folder: table for folder in parts if (table := _only_table(folder)) is not None}
    listings = [read_listing(table) for table in tables.values()] if len(tables) > 1 else []
    if not listings or not _are_alike(listings):
        return None
    source = _read(data, listings, reading, labels=labels)
    without = {folder.name: sum(map(is_image, walk(folder))) for folder in parts if folder not in tables}
    excluded = [f"{name}: {number} images that no CSV lists" for name, number in without.items() if number]
    return dataclasses.replace(source, excluded=tuple(excluded))


def lists_in_folders(data: Path, reading: Reading, *, labels: bool, least: int = 2) -> Source | None:
    """The images of the CSVs in folders of any names and at any depth below ``data``, one in each, read as one CSV.

    Args:
        least: so many of them must have the same columns; one only if no others list images.

    Returns:
        None unless there are so many, each row of which stands for an image, and a column may have labels.

    Raises:
        UserError: as ``part_lists``.
    """
    alike: dict[tuple[frozenset[str], str], list[Listing]] = defaultdict(list)
    for folder, _ in walk_folders(data):
        table = None if folder == data else _only_table(folder)
        try:
            listing = None if table is None else _located(read_listing(table, reading.base), data)
        except UserError:
            continue
        if listing is not None and listing.path_column is not None and listing.has_row_per_image:
            alike[frozenset(map(str.lower, listing.columns)), listing.path_column].append(listing)
    listings = max(alike.values(), key=len, default=[])
    is_chosen = len(listings) > 1 or len(alike) == 1
    if (
        len(listings) < least
        or not is_chosen
        or (labels and not _may_have_labels(merged_listing(data, listings, data), reading))
    ):
        return None
    return _read(data, listings, reading, labels=labels)


def _only_table(folder: Path) -> Path | None:
    tables = [path for path in direct_others(folder) if is_table(path)]
    return tables[0] if len(tables) == 1 else None


def _located(listing: Listing, data: Path) -> Listing:
    """A CSV whose paths are below its own folder, or below ``data``."""
    return listing if listing.path_column is not None else read_listing(listing.path, data)


def _are_alike(listings: Sequence[Listing]) -> bool:
    first, *others = listings
    return first.path_column is not None and all(set(each.columns) == set(first.columns) for each in others)


def _may_have_labels(listing: Listing, reading: Reading) -> bool:
    if reading.label_column is not None:
        return listing.has(reading.label_column.strip().lower())
    return label_column(listing, reading, required=False)[0] is not None or bool(label_candidates(listing))


def _read(data: Path, listings: Sequence[Listing], reading: Reading, *, labels: bool) -> Source:
    source = list_images(merged_listing(data, listings, Path(reading.base or data)), reading, labels=labels)
    note = f"read {some([each.path.relative_to(data).as_posix() for each in listings])}"
    tables = tuple(each.path for each in listings)
    return dataclasses.replace(source, tables=tables, named_notes=(note, *source.named_notes))


def merged_listing(data: Path, listings: Sequence[Listing], base: Path) -> Listing:
    """One listing of all rows, whose paths are relative to ``data``."""
    column = listings[0].path_column
    assert column is not None
    rows, names = [], {listing.path.name for listing in listings}
    depths = {len(listing.path.relative_to(data).parts) for listing in listings}
    for listing in listings:
        for (number, values), inside in zip(listing.rows, _paths(listing, data, base), strict=True):
            rows.append((number, values | {column: inside, TABLE: str(listing.path)}))
    merged = dataclasses.replace(
        listings[0],
        path=data.joinpath(*["*"] * (min(depths) - 1), names.pop() if len(names) == 1 else "*.csv"),
        base=base,
        rows=tuple(rows),
        notes=tuple(dict.fromkeys(note for listing in listings for note in listing.notes)),
        folder_column=next(filter(None, (listing.folder_column for listing in listings)), None),
    )
    return with_one_hot(merged)


def _paths(listing: Listing, data: Path, base: Path) -> list[str]:
    """The path of each image below ``data``; as it is written, if it is written for another folder, or missing."""
    folder, column = listing.path.parent, listing.path_column
    assert column is not None
    written = listing.column(column)
    inside = [(folder / text).relative_to(data).as_posix() if (folder / text).exists() else None for text in written]
    if not any(inside) and base == data:
        try:
            found = Folder(folder.resolve(), Reading.base_option).resolve_all(listing, column)
        except UserError:
            return written
        return [Path(os.path.relpath(path, data.resolve())).as_posix() for path in found]
    return [text if path is None else path for text, path in zip(written, inside, strict=True)]
