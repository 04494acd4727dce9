"""A few images of each class, spread over its subjects, as the network sees them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias, TypeVar

import cv2
import numpy as np
import pandas as pd

from leukemia.base.errors import UserError
from leukemia.config.recipe import Recipe
from leukemia.data.catalog import Catalog
from leukemia.data.classes import CLASSES
from leukemia.data.pixels import decode
from leukemia.data.subjects import UNKNOWN
from leukemia.data.view import View, framed, view_of

PER_ROW = 8
"""Images of a class, if it has as many."""

Seen: TypeAlias = Callable[[int], np.ndarray]
"""From a row of a catalogue to its image in a view, (size_px, size_px, 3) uint8 RGB."""

Item = TypeVar("Item")


@dataclass(frozen=True, kw_only=True)
class Specimen:
    """An image as the network sees it, before augmentation."""

    pixels: np.ndarray
    """(size_px, size_px, 3) uint8 RGB; gray as three equal channels."""

    width: int
    height: int
    """Of the file, in pixels."""

    subject: str | None
    """None if unknown."""


@dataclass(frozen=True, kw_only=True)
class Specimens:
    """Images of one class, or of one of its subclasses."""

    label: int
    """0 normal, 1 leukemic, -1 unknown."""

    title: str
    """The class, the subclass if there are any, and how many images and subjects the data set has of it."""

    images: tuple[Specimen, ...]


def choose_specimens(catalog: Catalog, recipe: Recipe, seen: Seen | None = None) -> list[Specimens]:
    """Up to ``PER_ROW`` images of each class or subclass, the same at every call.

    Args:
        recipe: resolved.
        seen: gives the images in the recipe's view; None: they are decoded here.

    Raises:
        UserError: an image cannot be read any more, or is too small.
    """
    view, sizes = view_of(recipe), catalog.sizes

    def specimen(row: int) -> Specimen:
        path, subject = (catalog.table.at[row, name] for name in ("path", "subject"))
        pixels = _decoded(Path(str(path)), view) if seen is None else np.asarray(seen(row))
        if recipe.data.grayscale:
            pixels = cv2.cvtColor(cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
        width, height = sizes[row]
        return Specimen(
            pixels=pixels, width=width, height=height, subject=None if subject in (None, UNKNOWN) else str(subject)
        )

    return [
        Specimens(label=label, title=_title(name, images), images=tuple(map(specimen, _spread(images))))
        for label, name, images in _kinds(catalog)
    ]


def _decoded(path: Path, view: View) -> np.ndarray:
    try:
        return framed(decode(path), view)
    except UserError as reason:
        raise UserError(f"{path}: {reason}") from None


def _kinds(catalog: Catalog) -> Iterator[tuple[int, str, pd.DataFrame]]:
    """Label, name and rows of each class, or of its subclasses and the images without one."""
    table = catalog.table
    for label in sorted(set(table["label"])):
        images = table[table["label"] == label]
        own = "" if label < 0 or catalog.class_names[label] == CLASSES[label] else f" ({catalog.class_names[label]})"
        name = "without label" if label < 0 else f"{CLASSES[label]}{own}"
        subclasses = sorted(set(images["subclass"].dropna()))
        for subclass in subclasses:
            yield label, f"{name}, {subclass}", images[images["subclass"] == subclass]
        others = images[images["subclass"].isna()]
        if len(others):
            yield label, f"{name}, no subclass" if subclasses else name, others


def _title(name: str, images: pd.DataFrame) -> str:
    counted = f"{name}: {len(images):,} {'image' if len(images) == 1 else 'images'}"
    subjects = set(images["subject"].dropna()) - {UNKNOWN}
    return f"{counted} of {len(subjects):,} {'subject' if len(subjects) == 1 else 'subjects'}" if subjects else counted


def _spread(images: pd.DataFrame) -> list[int]:
    """Rows of up to ``PER_ROW`` images, from as many subjects as possible."""
    rows = {str(subject): list(group.index) for subject, group in images.groupby(images["subject"].fillna(""))}
    subjects = _evenly(sorted(rows, key=_natural), PER_ROW)
    numbers = dict.fromkeys(subjects, 0)
    while sum(numbers.values()) < min(PER_ROW, sum(len(rows[subject]) for subject in subjects)):
        # One more of the subject with the fewest chosen; the first of several.
        more = [subject for subject in subjects if numbers[subject] < len(rows[subject])]
        numbers[min(more, key=lambda subject: numbers[subject])] += 1
    return [row for subject in subjects for row in _evenly(rows[subject], numbers[subject])]


def _natural(name: str) -> list[tuple[int, str]]:
    """Sorts names by their numbers.

    >>> sorted(["H10", "H2", "12", "9"], key=_natural)
    ['9', '12', 'H2', 'H10']
    """
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"(\d+)", name)]


def _evenly(items: Sequence[Item], number: int) -> list[Item]:
    """Up to ``number`` of the items, at even distances.

    >>> _evenly("abcdefghij", 3), _evenly("ab", 3)
    (['b', 'f', 'i'], ['a', 'b'])
    """
    number = min(number, len(items))
    return [items[(2 * place + 1) * len(items) // (2 * number)] for place in range(number)]
