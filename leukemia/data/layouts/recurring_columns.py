"""Columns of a CSV whose values recur as patients do, whatever they are called."""

from __future__ import annotations

import itertools
import re
from collections import defaultdict
from collections.abc import Sequence

from leukemia.data.classes import normal_form
from leukemia.data.layouts import path_column
from leukemia.data.layouts.folder_levels import look_like_subjects
from leukemia.data.layouts.label_candidates import OTHERS, may_be_classes
from leukemia.data.layouts.listing import Listing
from leukemia.data.part_words import plain
from leukemia.data.split import COLUMNS as SPLITS
from leukemia.data.split import part_of

LEAST_PER_VALUE = 2
"""So many images have most patients, at least on average."""

MOST_COLUMNS = 2
"""So many columns are named."""


def recurring_columns(listing: Listing, labels: Sequence[int | None], known: Sequence[str | None]) -> tuple[str, ...]:
    """The columns, as written, each value of which is of several images of one class: at least two values of each.
    Those with fewer values are first.

    Columns of paths, labels, parts of a split, dates, ages and sexes are none, nor are numbers of images that start
    again in each file.

    Args:
        labels: of each row; 0 normal, 1 leukemic.
        known: the word that each label was read from.
    """
    found: list[tuple[int, str]] = []
    names_of_one_hot = {each.lower() for names in listing.one_hot.values() for each in names}
    words = {normal_form(word) for word in known if word is not None}
    # An image may have several rows, such as one for each of its boxes.
    path = listing.path_column or ""
    of_images = list({row.get(path, str(number)): row for number, row in listing.rows}.values())
    for name in filter(None, listing.columns[: path_column.MOST_COLUMNS]):
        values = [normal_form(row[name.lower()]) for _, row in listing.rows]
        if name.lower() in (listing.path_column, *names_of_one_hot) or _is_other(name, values):
            continue
        if _are_running([row[name.lower()] for row in of_images]):
            continue
        classes: dict[str, set[int | None]] = defaultdict(set)
        for value, label in zip(values, labels, strict=True):
            classes[value].add(label)
        of_class = [sum(each == {label} for each in classes.values()) for label in (0, 1)]
        recurs = len(classes) * LEAST_PER_VALUE <= len(values) and min(of_class) > 1
        if recurs and sum(of_class) == len(classes) and words.isdisjoint(classes):
            found.append((len(classes), name))
    # Of patients and their slides, each of which is of one patient, patients are fewer.
    return tuple(name for _, name in sorted(found, key=lambda each: each[0])[:MOST_COLUMNS])


def _are_running(values: Sequence[str]) -> bool:
    """Whether values are numbers that grow with each image and start again with 0 or 1, as ids in the parts of COCO.

    >>> _are_running(["0", "1", "2", "0", "1"]), _are_running(["1", "1", "2", "2"]), _are_running(["4", "7", "3"])
    (True, False, False)
    """
    if not all(map(str.isdecimal, values)):
        return False
    numbers = list(map(int, values))
    return all(after > before or after <= 1 < before for before, after in itertools.pairwise(numbers))


def _is_other(name: str, values: Sequence[str]) -> bool:
    words = re.split(r"[\W_]+", plain(name))
    is_id = {"id", "index"} & set(words)
    return (
        name.lower() in SPLITS
        or "" in values
        or all(map(part_of, set(values)))
        or (may_be_classes(name, values) and not look_like_subjects(values))
        or bool(OTHERS.intersection(words) and not is_id)
    )
