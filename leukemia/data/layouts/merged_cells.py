"""Cells that a spreadsheet has merged: saved as a CSV, only the first one of each block has the value."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

from leukemia.data.classes import LabelError

if TYPE_CHECKING:
    from leukemia.data.layouts.listing import Listing


def refuse_merged_cells(listing: Listing, column: str) -> None:
    """Refuse labels that are empty because their cells were merged, before it is proposed to leave them out.

    Args:
        column: of the labels, ignoring case.

    Raises:
        LabelError: the first cell has a value, most are empty, and an empty one follows almost each value.
    """
    cells = [values[column.lower()] for _, values in listing.rows]
    num_empty = cells.count("")
    if not cells[0] or 2 * num_empty < len(cells) or not listing.has_row_per_image:
        return
    # The last value may be of one row.
    followed = sum(not below for cell, below in pairwise(cells) if cell)
    if followed * 10 < 9 * (len(cells) - num_empty - 1):
        return
    name = next((each for each in listing.columns if each.lower() == column.lower()), column)
    raise LabelError(
        f"{listing.path}: {num_empty} of {len(cells)} cells of the column {name} are empty, each below a filled one: "
        "merged cells? Fill them down, in this column and in others, and read the CSV again; if they have no label, "
        "write no-label into them"
    )
