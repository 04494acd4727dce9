"""Ids of patients or slides in the names of images: the rows of a table that stand for the images of an id each."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

from leukemia.data.layouts.file_index import FileIndex
from leukemia.data.layouts.label_column import COLUMNS
from leukemia.data.split import COLUMNS as SPLITS
from leukemia.data.subject_words import looks_like_subjects

LEAST_IDS = 0.6
"""Such a share of the ids of a table has images."""

LEAST_IMAGES = 0.9
"""Such a share of the images has one of the ids."""

MOST_IDS = 5_000
"""A table with more rows is none of patients."""

_NUMBER = re.compile(r"\d+")


def images_by_id(columns: Mapping[str, Sequence[str]], index: FileIndex) -> tuple[str, dict[str, list[Path]]] | None:
    """The column whose values are parts of the names of images, at one place, and the images of each value; None if
    there is none, or several.

    Args:
        columns: the values of each column, in lower case.
        index: of the folder of the images.
    """
    images = index.images_below(index.root)
    found = {}
    for name, values in columns.items():
        is_id = looks_like_subjects(name) or name == "id"
        if name in (*COLUMNS, *SPLITS) or "" in values or len(set(values)) < len(values) or len(values) > MOST_IDS:
            continue
        if all(map(str.isdecimal, values)):
            by_id = _by_number(values, images) if is_id else None
        else:
            by_id = ids_of(values, images)
        if by_id is not None and len(values) > 1:
            found[name] = by_id
    sure = {name: by_id for name, by_id in found.items() if looks_like_subjects(name)} or found
    return next(iter(sure.items())) if len(sure) == 1 else None


def ids_of(values: Sequence[str], images: Sequence[Path]) -> dict[str, list[Path]] | None:
    """The images of each id that is a part of their names, between other letters and numbers; None unless nearly all
    images have one of the ids, each at the same place, and most ids have images.

    >>> ids_of(["P1", "P12"], [Path("a_P1_1.png"), Path("a_P12_1.png"), Path("a_p1_2.png")])
    {'P1': [PosixPath('a_P1_1.png'), PosixPath('a_p1_2.png')], 'P12': [PosixPath('a_P12_1.png')]}
    """
    by_form = {value.casefold(): value for value in values}
    if len(by_form) < len(values) or not all(len(value) > 1 for value in values):
        return None
    longest = sorted(by_form, key=len, reverse=True)
    pattern = re.compile("|".join(rf"(?<![^\W_]){re.escape(form)}{_end(form)}" for form in longest))
    found: dict[str, list[Path]] = defaultdict(list)
    places = set()
    ends = set()
    for path in images:
        stem = path.stem.casefold()
        matches = list(pattern.finditer(stem))
        if len({match[0] for match in matches}) > 1:
            return None
        if matches:
            found[by_form[matches[0][0]]].append(path)
            places.add(len(re.findall(r"[^\W_]+", stem[: matches[0].start()])))
            # ``P1c3`` has the id ``P1`` if each id has a ``c`` behind it, but ``P1b`` is another patient.
            ends.add(re.match(r"[^\W\d_]*", stem[matches[0].end() :])[0])  # type: ignore[index]
    return dict(found) if len(places) == len(ends) == 1 and _are_most(found, values, images) else None


def _by_number(values: Sequence[str], images: Sequence[Path]) -> dict[str, list[Path]] | None:
    """As ``ids_of``, for numbers, whose leading zeros make no difference."""
    ids = {int(value): value for value in values}
    numbers = [[int(text) for text in _NUMBER.findall(path.stem)] for path in images]
    length = min(map(len, numbers), default=0)
    # The last number of a name may count the images.
    places = [place for place in range(length) if all(each[place] in ids for each in numbers)]
    if len(places) != 1 or len(ids) < len(values):
        return None
    found: dict[str, list[Path]] = defaultdict(list)
    for path, each in zip(images, numbers, strict=True):
        found[ids[each[places[0]]]].append(path)
    return dict(found) if _are_most(found, values, images) else None


def _are_most(found: Mapping[str, Sequence[Path]], values: Sequence[str], images: Sequence[Path]) -> bool:
    num_images = sum(map(len, found.values()))
    return len(found) >= LEAST_IDS * len(values) and num_images >= LEAST_IMAGES * len(images)


def _end(form: str) -> str:
    """What may not follow an id: a digit after a digit, as in ``P12`` for ``P1``; a letter or digit after a letter."""
    return r"(?!\d)" if form[-1].isdigit() else r"(?![^\W_])"
