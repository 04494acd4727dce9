"""Images that a list has in several rows, such as one for each box of an export for detection."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Sequence
from pathlib import Path

from leukemia.base.quantity import have, quantity
from leukemia.data.layouts.listing import TABLE, Listing
from leukemia.data.layouts.source import Row


def with_labels_only(listing: Listing, column: str) -> Listing:
    """The listing without rows that have no label, if others of their images have one, and with a note on these.

    Args:
        column: of the labels, in lower case.
    """
    path = listing.path_column
    assert path is not None
    labelled = {values[path] for _, values in listing.rows if values[column]}
    rows = tuple(row for row in listing.rows if row[1][column] or row[1][path] not in labelled)
    if not (number := len(listing.rows) - len(rows)):
        return listing
    note = f"{quantity(number, 'row')} of the CSV {have(number)} no label, but others of the same images have one"
    return dataclasses.replace(listing, rows=rows, notes=(*listing.notes, note))


def joined(listing: Listing, rows: Sequence[Row]) -> tuple[tuple[Row, ...], tuple[str, ...]]:
    """One row for each image, the first, and a note if there were more.

    Args:
        rows: as in ``listing``.

    Raises:
        UserError: the rows of an image disagree in label, subject or part of a split, or have no label, nor a word that
            ``--classes`` leaves out: then each row is to be predicted. All such rows are listed.
    """
    first: dict[str, tuple[str, Row]] = {}
    twice, unlike, num_equal = [], [], 0
    for place, row in zip(_with_paths(listing), rows, strict=True):
        # Two links to one file are one image.
        file = os.path.realpath(row.path)
        if file not in first:
            first[file] = place, row
            continue
        before, other = first[file]
        pairs = {
            "label": ((row.label, row.word), (other.label, other.word)),
            "subject": (row.subject, other.subject),
            "part of the split": (row.split, other.split),
        }
        if differing := [name for name, (one, another) in pairs.items() if one != another]:
            name = differing[0]
            unlike.append(f"{before} has the {name} {_value(other, name)}, {place} has {_value(row, name)}")
        elif row.label is None and row.word is None:
            twice.append(f"{place}, as in {before}")
        num_equal += 1
    listing.reject("images are listed twice, differently; decide which is right, and remove the other row", unlike)
    listing.reject("images are listed twice; remove these rows", twice)
    kept = tuple(row for _, row in first.values())
    if not num_equal:
        return kept, ()
    count = "1 row of the CSV repeats" if num_equal == 1 else f"{num_equal} rows of the CSV repeat"
    return kept, (f"{count} an image and its label; the {len(kept)} images count once",)


def places(listing: Listing) -> list[str]:
    """Where each row is: its CSV if there are several, and its number."""
    tables = [values.get(TABLE) for _, values in listing.rows]
    distinct = {table for table in tables if table is not None}
    top = os.path.commonpath([Path(table).parent for table in distinct]) if len(distinct) > 1 else None
    found = []
    for table, (number, _) in zip(tables, listing.rows, strict=True):
        file = "" if top is None or table is None else f"{os.path.relpath(table, top)}, "
        found.append(f"{file}row {number}")
    return found


def _with_paths(listing: Listing) -> list[str]:
    """As ``places``, each with the path as written."""
    column = listing.path_column
    written = ["" if column is None else f" ({values[column]})" for _, values in listing.rows]
    return [f"{place}{path}" for place, path in zip(places(listing), written, strict=True)]


def _value(row: Row, name: str) -> str:
    """What a row has as its label, subject or part of a split, as written."""
    value = {"label": row.word, "subject": row.subject}.get(name, row.split)
    return "''" if value is None else repr(value)
