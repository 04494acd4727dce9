"""Columns of a CSV that may have patients, whatever they are called: by their values, or as what is left over."""

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
from leukemia.data.layouts.program_columns import is_of_program
from leukemia.data.part_words import plain
from leukemia.data.split import COLUMNS as SPLITS
from leukemia.data.split import part_of
from leukemia.data.subject_words import looks_like_subjects

LEAST_PER_VALUE = 2
"""So many images have most patients, at least on average."""

MOST_COLUMNS = 2
"""So many columns are named."""

_DATE = re.compile(r"(?:19|20)\d\d([-_./]?)\d\d\1\d\d(?:[ t].*)?|\d\d?([-./])\d\d?\2(?:19|20)?\d\d(?: .*)?")


def recurring_columns(listing: Listing, labels: Sequence[int | None], known: Sequence[str | None]) -> tuple[str, ...]:
    """The columns, as written, each value of which is of several images: first those whose images are of one class, at
    least two values of each, then those of ids whose images may be of both; those with fewer values are first.

    Columns of paths, labels, parts of a split, dates, ages and sexes are none, nor are numbers of images that start
    again in each file.

    Args:
        labels: of each row; 0 normal, 1 leukemic.
        known: the word that each label was read from.
    """
    found: list[tuple[bool, int, str]] = []
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
        recurs = 2 < len(classes) <= len(values) / LEAST_PER_VALUE and words.isdisjoint(classes)
        is_mixed = sum(of_class) < len(classes)
        # A word that is of images of both classes may be anything; an id is of a patient, an order or a batch.
        is_id = look_like_subjects(list(classes)) and not all(map(_DATE.fullmatch, classes))
        if recurs and (is_id if is_mixed else min(of_class) > 1):
            found.append((is_mixed, len(classes), name))
    # Of patients and their slides, each of which is of one patient, patients are fewer.
    return tuple(name for _, _, name in sorted(found)[:MOST_COLUMNS])


def left_columns(listing: Listing, column: str | None) -> tuple[str, ...]:
    """The columns, as written, of which no name and no value says what they are: not paths, labels, parts of a split,
    dates, ages, sexes or a program's own, and neither one value throughout nor another one for each image.

    Args:
        column: of the labels, in lower case.
    """
    names_of_one_hot = {each.lower() for names in listing.one_hot.values() for each in names}
    found = []
    for name in filter(None, listing.columns):
        every = [row[name.lower()] for _, row in listing.rows]
        values = set(every) - {""}
        if name.lower() in (column, listing.path_column, *names_of_one_hot) or looks_like_subjects(name):
            continue
        if 1 < len(values) < len(every) and not (_is_called_otherwise(name) or all(map(part_of, values))):
            found.append(name)
    return tuple(found)


def _are_running(values: Sequence[str]) -> bool:
    """Whether values are numbers that grow with each image and start again with 0 or 1, as ids in the parts of COCO.

    >>> _are_running(["0", "1", "2", "0", "1"]), _are_running(["1", "1", "2", "2"]), _are_running(["4", "7", "3"])
    (True, False, False)
    """
    if not all(map(str.isdecimal, values)):
        return False
    numbers = list(map(int, values))
    return all(after > before or after <= 1 < before for before, after in itertools.pairwise(numbers))


def _is_called_otherwise(name: str) -> bool:
    """Whether the name of a column says that it has no patients."""
    words = re.split(r"[\W_]+", plain(name))
    is_id = {"id", "index"} & set(words)
    return name.lower() in SPLITS or is_of_program(name) or bool(OTHERS.intersection(words) and not is_id)


def _is_other(name: str, values: Sequence[str]) -> bool:
    return (
        _is_called_otherwise(name)
        or "" in values
        or all(map(part_of, set(values)))
        or (may_be_classes(name, values) and not look_like_subjects(values))
    )
