"""Refusals of several CSVs with the same columns together: each may have only some of the words that must be mapped."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from leukemia.data.classes import vocabulary_of
from leukemia.data.layouts.label_candidates import label_candidates, no_label_column
from leukemia.data.layouts.label_column import label_column, read_labels
from leukemia.data.layouts.listing import Listing
from leukemia.data.layouts.part_lists import merged_listing
from leukemia.data.reading import Reading


def refuse_columns_of_all(listings: Sequence[Listing], reading: Reading) -> None:
    """Refuse CSVs without a known column of labels together, if one of their columns may have them."""
    if any(_columns_of(listings, reading)):
        return
    together = _together(listings)
    if together is not None and label_candidates(together):
        raise no_label_column(together, reading)


def refuse_words_of_all(listings: Sequence[Listing], reading: Reading) -> None:
    """Refuse several CSVs with unknown words together, since each may have only some of the words."""
    columns = _columns_of(listings, reading)
    if len(columns) != 1 or (column := columns.pop()) is None:
        return
    has_unknown = [vocabulary_of(each.column(column), reading.classes) is None for each in listings]
    if sum(has_unknown) > 1 and (together := _together(listings)) is not None:
        read_labels(together, column, reading, required=True)


def _columns_of(listings: Sequence[Listing], reading: Reading) -> set[str | None]:
    return {label_column(each, reading, required=False)[0] for each in listings}


def _together(listings: Sequence[Listing]) -> Listing | None:
    """Several CSVs as one, for messages; None if they have other columns."""
    kinds = {(each.path_column, frozenset(map(str.lower, each.columns))) for each in listings}
    if len(listings) < 2 or len(kinds) > 1 or listings[0].path_column is None:
        return None
    data = Path(os.path.commonpath([each.path.parent for each in listings]))
    return merged_listing(data, listings, data)
