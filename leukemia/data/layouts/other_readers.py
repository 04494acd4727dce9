"""Columns with the same words as the one of the labels, such as those of a second reader: where they disagree."""

from __future__ import annotations

import re

from leukemia.data.classes import normal_form
from leukemia.data.layouts.listing import Listing

_ORDER = re.compile(r"[\W\d_]+")


def other_readers(listing: Listing, column: str) -> tuple[str, ...]:
    """A note on how many rows have other words in other columns that have the same ones; none if no row has.

    Numbers are the same words only in columns that are called alike, as ``label_1`` and ``label_2``: others are flags
    of anything.

    Args:
        column: of the labels, in lower case.
    """
    own = [normal_form(values[column]) for _, values in listing.rows]
    found = []
    for name in listing.columns:
        if name.lower() == column or not name:
            continue
        words = [normal_form(values[name.lower()]) for _, values in listing.rows]
        known = set(words) - {""}
        if len(known) < 2 or not known <= set(own) or (_are_numbers(known) and not _are_alike(name, column)):
            continue
        if differing := sum(one != other for one, other in zip(own, words, strict=True) if other):
            empty = words.count("")
            found.append(f"{name} in {differing} of {len(words)}{f' (empty in {empty})' if empty else ''}")
    if not found:
        return ()
    return (
        f"rows with another word than in the column {column}, which has the labels: {', '.join(found)}; if these are "
        "several readers, write a column of what they agree on",
    )


def _are_numbers(words: set[str]) -> bool:
    return words <= {"0", "1", "false", "true"} or all(map(str.isdecimal, words))


def _are_alike(name: str, other: str) -> bool:
    """Whether names differ in a number only."""
    return _ORDER.sub("", name.lower()) == _ORDER.sub("", other.lower())
