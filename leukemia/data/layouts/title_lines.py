"""Lines of a CSV that are no rows: titles above its header, and remarks below its last row."""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence
from pathlib import Path

from leukemia.data.layouts.source import is_image

MOST_TITLES = 10
"""So many lines above a header may be titles."""

Record = tuple[int, list[str]]
"""The number of the line where it begins, from 1, and its stripped values."""

_NUMBER = re.compile(r"[+-]?[\d.,]+")


def is_title(record: Record) -> bool:
    """Whether a row is a title that a spreadsheet has above its header: one value, and several that are empty."""
    _, values = record
    return len(values) > 2 and sum(map(bool, values)) == 1


def is_footnote(record: Record) -> bool:
    """Whether a row is a remark below the table: one value of several words, or with a colon, and nothing else.

    >>> [is_footnote((9, values)) for values in (["a By two readers.", "", ""], ["7", "", ""], ["a 1.png", "", ""])]
    [True, False, False]
    """
    _, values = record
    found = [value for value in values if value]
    return len(found) == 1 and not is_image(Path(found[0])) and (" " in found[0] or found[0].endswith(":"))


def num_bare_titles(records: Sequence[Record]) -> int:
    """How many of the first rows are titles without separators, above a header of names and a row of as many values.

    >>> num_bare_titles([(1, ["Table S4"]), (2, ["Path", "label"]), (3, ["a.png", "0"])])
    1
    >>> num_bare_titles([(1, ["Path"]), (2, ["a.png", "0"]), (3, ["b.png", "1"])])
    0
    """
    titles = list(itertools.takewhile(lambda record: len(record[1]) == 1, records))
    below = [values for _, values in records[len(titles) :][:2]]
    if len(below) < 2 or len(below[0]) != len(below[1]):
        return 0
    are_names = not any(is_image(Path(value)) or _NUMBER.fullmatch(value) for value in below[0])
    return len(titles) if are_names and not any(is_image(Path(values[0])) for _, values in titles) else 0
