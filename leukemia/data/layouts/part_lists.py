"""CSVs in folders named for the parts of a split, one in each: ``train/_classes.csv``, ``valid/_classes.csv``."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

from leukemia.data.layouts.csv_listing import list_images
from leukemia.data.layouts.listing import Listing, read_listing, with_one_hot
from leukemia.data.layouts.source import Source, direct_others, is_image, subfolders, walk
from leukemia.data.layouts.tables import is_table
from leukemia.data.reading import Reading
from leukemia.data.split import part_of


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
    if len(tables) < 2:
        return None
    listings = [read_listing(table) for table in tables.values()]
    first, *others = listings
    if first.path_column is None or any(set(each.columns) != set(first.columns) for each in others):
        return None
    merged = _merged(data, listings, Path(reading.base or data))
    source = list_images(merged, reading, labels=labels)
    without = {folder.name: sum(map(is_image, walk(folder))) for folder in parts if folder not in tables}
    excluded = [f"{name}: {number} images that no CSV lists" for name, number in without.items() if number]
    note = f"read {', '.join(table.relative_to(data).as_posix() for table in tables.values())}"
    return dataclasses.replace(source, excluded=tuple(excluded), named_notes=(note, *source.named_notes))


def _only_table(folder: Path) -> Path | None:
    tables = [path for path in direct_others(folder) if is_table(path)]
    return tables[0] if len(tables) == 1 else None


def _merged(data: Path, listings: Sequence[Listing], base: Path) -> Listing:
    """One listing of all rows, whose paths are relative to ``data``."""
    column = listings[0].path_column
    assert column is not None
    rows, names = [], {listing.path.name for listing in listings}
    for listing in listings:
        folder = listing.path.parent
        for number, values in listing.rows:
            # Others are written for another folder, perhaps ``data``.
            inside = f"{folder.name}/{values[column]}" if (folder / values[column]).exists() else values[column]
            rows.append((number, values | {column: inside}))
    merged = dataclasses.replace(
        listings[0],
        path=data / "*" / (names.pop() if len(names) == 1 else "*.csv"),
        base=base,
        rows=tuple(rows),
        notes=tuple(dict.fromkeys(note for listing in listings for note in listing.notes)),
        folder_column=next(filter(None, (listing.folder_column for listing in listings)), None),
    )
    return with_one_hot(merged)
