"""Images that a list has in several rows, such as one for each box of an export for detection."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Sequence

from leukemia.data.layouts.listing import Listing
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
    note = f"{number} rows of the CSV have no label, but others of the same images have one"
    return dataclasses.replace(listing, rows=rows, notes=(*listing.notes, note))


def joined(listing: Listing, rows: Sequence[Row]) -> tuple[tuple[Row, ...], tuple[str, ...]]:
    """One row for each image, the first, and a note if there were more.

    Args:
        rows: as in ``listing``.

    Raises:
        UserError: the rows of an image disagree in label, subject or part of a split, or have no label, nor a word that
            ``--classes`` leaves out: then each row is to be predicted. All such rows are listed.
    """
    first: dict[str, tuple[int, Row]] = {}
    twice, num_equal = [], 0
    for (number, values), row in zip(listing.rows, rows, strict=True):
        # Two links to one file are one image.
        file = os.path.realpath(row.path)
        if file not in first:
            first[file] = number, row
            continue
        before, other = first[file]
        pairs = {
            "label": ((row.label, row.word), (other.label, other.word)),
            "subject": (row.subject, other.subject),
            "part of the split": (row.split, other.split),
        }
        differing = [f", with another {name}" for name, (one, another) in pairs.items() if one != another]
        if differing or (row.label is None and row.word is None):
            written = "" if listing.path_column is None else f"{values[listing.path_column]}, "
            twice.append(f"row {number}: {written}as in row {before}{''.join(differing[:1])}")
        num_equal += 1
    listing.reject("images are listed twice; remove these rows", twice)
    kept = tuple(row for _, row in first.values())
    if not num_equal:
        return kept, ()
    return kept, (f"{num_equal} rows of the CSV repeat an image and its label; the {len(kept)} images count once",)
