"""One-hot columns of a CSV: one column of 0 and 1 for each class, of which every row has a single 1."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from leukemia.data.classes import normal_form
from leukemia.data.split import part_of
from leukemia.data.subject_words import looks_like_subjects

LEAST_SINGLE = 0.9
"""The share of rows with a single 1 that makes columns one-hot, if there are none with one in all rows."""

MOST_FLAGS = 100
"""Of so many columns of flags, none are compared: there are too many ways to choose some that are neighbours."""

_FLAGS = {"0": False, "1": True, "false": False, "true": True}


def one_hot_columns(columns: Mapping[str, Sequence[str]]) -> list[tuple[str, ...]]:
    """The names of columns that are one-hot together, at least two and neighbours but for columns of other values.

    Columns that are called for subjects or for parts of a split are none. Several sets have no column in common.

    Args:
        columns: the values of each column, in the order of the header.

    >>> one_hot_columns({"blast": ["0", "1"], "cell": ["1.0", "0.0"], "fold": ["1", "1"]})
    [('blast', 'cell')]
    """
    names = [name for name, values in columns.items() if _may_be_flags(name, values)]
    if not 2 <= len(names) <= MOST_FLAGS:
        return []
    flags = np.array([[_FLAGS[normal_form(text)] for text in columns[name]] for name in names])
    shares = {
        (start, end): float((flags[start:end].sum(axis=0) == 1).mean())
        for start in range(len(names))
        for end in range(start + 2, len(names) + 1)
        if flags[start:end].any(axis=1).sum() > 1
    }
    least = 1.0 if 1.0 in shares.values() else LEAST_SINGLE
    found: list[tuple[int, int]] = []
    for start, end in sorted(shares, key=lambda each: (each[0] - each[1], each)):
        if shares[start, end] >= least and all(end <= other[0] or start >= other[1] for other in found):
            found.append((start, end))
    return [tuple(names[start:end]) for start, end in sorted(found)]


def one_hot_word(names: Sequence[str], values: Sequence[str]) -> str:
    """The name of the column that has the 1, those of several with ``+`` between them; empty if there is none.

    Args:
        names: of one-hot columns.
        values: those of one row.
    """
    return "+".join(name for name, text in zip(names, values, strict=True) if _FLAGS[normal_form(text)])


def _may_be_flags(name: str, values: Sequence[str]) -> bool:
    # The first value is enough for most columns, of which there may be many.
    are_flags = normal_form(values[0]) in _FLAGS and set(map(normal_form, set(values))) <= _FLAGS.keys()
    return are_flags and bool(name) and not looks_like_subjects(name) and part_of(name) is None
