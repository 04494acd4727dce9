"""Lists of the images of each fold of a cross-validation: ``fold0_train.csv``, ``fold0_val.csv``, ..."""

from __future__ import annotations

import dataclasses
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from leukemia.base.errors import listed
from leukemia.data.classes import LabelError
from leukemia.data.layouts.source import Row, Source
from leukemia.data.split import TRAIN, part_of
from leukemia.data.subjects import some

_FOLD = re.compile(r"(?<![^\W\d_])(?:fold|split|cv)[\W_]*(\d+)", re.IGNORECASE)
_NUMBER = re.compile(r"(\d+)")


@dataclass(frozen=True, kw_only=True)
class ReadList:
    """The images of one of several CSVs."""

    name: str
    """Of the CSV without suffix; with its folder if another one is called so."""

    path: Path
    source: Source

    @property
    def images(self) -> set[Path]:
        """The paths of its images."""
        return {row.path for row in self.source.rows}


def fold_and_part(name: str) -> tuple[int, str] | None:
    """The number of a fold and the part of its split that a list is called for; None if it is not called so.

    >>> [fold_and_part(name) for name in ("fold0_train", "test_fold_2", "split_1/val", "train_3", "fold_0", "train")]
    [(0, 'train'), (2, 'test'), (1, 'validation'), (3, 'train'), None, None]
    """
    numbers = list(_FOLD.finditer(name)) or list(_NUMBER.finditer(name))
    if len(numbers) != 1:
        return None
    part = part_of(f"{name[: numbers[0].start()]}_{name[numbers[0].end() :]}")
    return None if part is None else (int(numbers[0][1]), part)


def are_called_folds(names: Iterable[str]) -> bool:
    """Whether lists are called for at least two folds, each of them with several parts."""
    places = {place for place in map(fold_and_part, names) if place is not None}
    numbers = Counter(number for number, _ in places)
    return len(numbers) > 1 and min(numbers.values()) > 1


def as_folds(lists: Sequence[ReadList]) -> list[ReadList]:
    """The lists of validation images, called ``fold_0`` and so on; ``lists`` as they are if they are not of folds.

    They are of folds if those of validation (or test) images have no image in common, and the list of training images
    of each fold has all the others; or, without any of the latter, if they are called so. Lists of other images stay.

    Raises:
        LabelError: lists of folds have different labels or subjects for an image.
    """
    folds = _folds(lists)
    held_out = {number: each for number, parts in folds.items() for part, each in parts.items() if part != TRAIN}
    parts = {part for found in folds.values() for part in found if part != TRAIN}
    if len(parts) != 1 or not 1 < len(held_out) == len(folds):
        return list(lists)
    images = set.union(*(each.images for each in held_out.values()))
    trained = {number: found[TRAIN] for number, found in folds.items() if TRAIN in found}
    if trained:
        is_split = len(trained) == len(folds) and all(
            each.images == images - held_out[number].images for number, each in trained.items()
        )
    else:
        is_split = all(_FOLD.search(each.name) for each in held_out.values())
    if not is_split or len(images) < sum(len(each.images) for each in held_out.values()):
        return list(lists)
    _check_equal([*held_out.values(), *trained.values()])
    others = [each for each in lists if fold_and_part(each.name) is None]
    rest = [each for each in others if not each.images <= images]
    note = f"the CSVs are {len(folds)} folds: each is what its list of {parts.pop()} images has"
    unread = [each.path.name for each in others if each not in rest]
    named = (f"left out {some(unread)}, whose images are in the lists of the folds",) if unread else ()
    return [*(_renamed(each, number, note, named) for number, each in sorted(held_out.items())), *rest]


def disjoint_choice(lists: Sequence[ReadList]) -> list[ReadList]:
    """Some of several lists, with no image in common: those of one fold, else all but one or the longest one, whichever
    have the most images."""
    folds = [list(parts.values()) for parts in _folds(lists).values()]
    others = [[other for other in lists if other is not each] for each in lists]
    longest = max(lists, key=lambda each: len(each.images))
    if (fold := next(filter(_are_disjoint, folds), None)) is not None:
        return fold
    return max(filter(_are_disjoint, [*others, [longest]]), key=lambda choice: sum(len(each.images) for each in choice))


def _folds(lists: Sequence[ReadList]) -> dict[int, dict[str, ReadList]]:
    """The lists of each fold by their part; empty if two are called for the same."""
    named = [(place, each) for each in lists if (place := fold_and_part(each.name)) is not None]
    if len({place for place, _ in named}) < len(named):
        return {}
    folds: dict[int, dict[str, ReadList]] = {}
    for (number, part), each in named:
        folds.setdefault(number, {})[part] = each
    return folds


def _are_disjoint(lists: Sequence[ReadList]) -> bool:
    return len(set[Path]().union(*(each.images for each in lists))) == sum(len(each.images) for each in lists)


def _check_equal(lists: Sequence[ReadList]) -> None:
    """Refuse images with different labels or subjects in several lists."""
    first: dict[Path, tuple[Row, str]] = {}
    differing = []
    for each in lists:
        for row in each.source.rows:
            other, name = first.setdefault(row.path, (row, each.name))
            if (row.word, row.label, row.subject) != (other.word, other.label, other.subject):
                differing.append(f"{row.name} in {name} and {each.name}")
    if differing:
        raise LabelError(
            f"{lists[0].path.parent}: images have different labels or subjects in the lists of several folds; correct "
            f"these:\n{listed(differing)}"
        )


def _renamed(each: ReadList, number: int, note: str, named: tuple[str, ...]) -> ReadList:
    source = each.source
    source = dataclasses.replace(source, notes=(*source.notes, note), named_notes=(*source.named_notes, *named))
    return dataclasses.replace(each, name=f"fold_{number}", source=source)
