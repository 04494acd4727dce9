"""Levels of folders above images that no known word names: which may be classes, and which are something else."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from leukemia.data.classes import MOST_WORDS, NAMED, normal_form
from leukemia.data.layouts.companions import companion_folders
from leukemia.data.layouts.source import is_image, walk
from leukemia.data.split import part_of
from leukemia.data.subjects import looks_like_subjects

FEW_WORDS = 8
"""More folders than this are classes only if each has many images."""

MANY_IMAGES = 50
"""So many images has a folder on average, if more than ``FEW_WORDS`` are classes."""

# A date, or the number of an order or a patient: four digits, whatever is between them.
_ID = re.compile(r"(?:.*\d){4}.*")
_NUMBERED = re.compile(r"(?P<name>[^\W\d_]*)[\W_]*\d+\w?")
_PREFIXES = frozenset(["p", "pt", "id", "uid", "visit", "slide", "smear", "sample", "specimen"])


@dataclass(frozen=True, kw_only=True)
class Level:
    """The folders of one level."""

    names: tuple[str, ...]
    """One per image: its folder at this level, or its innermost one if that is above."""

    recurs: bool
    """Whether each name is in several folders above."""

    from_file: int
    """How many parts of a path follow the folder, the file being one, in the deepest path."""

    @property
    def are_subjects(self) -> bool:
        """Whether the folders look like patients, visits or samples."""
        return look_like_subjects(self.names)


def folder_levels(data: Path) -> list[Level]:
    """The levels whose folders differ and are no parts of a split, outermost first, without folders of companions."""
    inside = _folders_of(data)
    companions = companion_folders(data)
    inside = [folders for folders in inside if companions.isdisjoint(folders)] or inside
    depth = max(map(len, inside), default=0)
    found = []
    for level in range(depth):
        names = [folders[min(level, len(folders) - 1)] for folders in inside]
        parents: dict[str, set[tuple[str, ...]]] = {}
        for name, folders in zip(names, inside, strict=True):
            parents.setdefault(name, set()).add(folders[:level])
        if len(parents) > 1 and not all(part_of(name) for name in parents):
            recurs = min(map(len, parents.values())) > 1
            found.append(Level(names=tuple(names), recurs=recurs, from_file=depth - level))
    return found


def class_level(levels: Sequence[Level]) -> Level | None:
    """The level that may stand for the classes; None if there is none, or if all look like subjects.

    It is the first one with a known word. Without any, it is the outermost one, unless an inner one has as few names,
    each in several folders: in ``{A,B}/{x,y}`` it is ``x`` or ``y``.
    """
    possible = [level for level in levels if not level.are_subjects]
    known = [level for level in possible if any(name in NAMED for name in level.names)]
    found = next(iter(known or possible), None)
    for level in () if known else possible[1:]:
        if found is not None and level.recurs and len(set(level.names)) <= len(set(found.names)):
            found = level
    return found


def other_levels(levels: Sequence[Level]) -> list[Level]:
    """Other levels that may stand for the classes: those above that of ``class_level``, and inner ones that recur."""
    chosen = class_level(levels)
    if chosen is None:
        return []
    above = levels[: levels.index(chosen)]
    return [
        level for level in levels if level != chosen and not level.are_subjects and (level.recurs or level in above)
    ]


def folder_names(data: Path) -> list[str]:
    """Per image in a folder below ``data``, the innermost one."""
    return [folders[-1] for folders in _folders_of(data)]


def look_like_subjects(names: Iterable[str]) -> bool:
    """Whether folders look like patients, visits or samples: ids, dates, numbers, or many with few images each.

    >>> look_like_subjects(["patient_1", "patient_2"]), look_like_subjects(["2021-03-04", "2021-06-11"])
    (True, True)
    >>> look_like_subjects(["L1", "L2", "Normal"]), look_like_subjects([str(number) for number in range(40)])
    (False, True)
    """
    names = list(names)
    words = set(map(normal_form, names))
    if not words or any(word in NAMED for word in words):
        return False
    if all(map(is_id, words)):
        return True
    numbered = [match["name"] for word in words if (match := _NUMBERED.fullmatch(word))]
    if len(numbered) == len(words):
        prefixes = set(numbered)
        # Two numbers may be the first class and the second.
        if prefixes == {""}:
            return len(words) > 2
        if all(prefix in _PREFIXES or looks_like_subjects(prefix) for prefix in prefixes):
            return True
    return len(words) > MOST_WORDS or (len(words) > FEW_WORDS and len(names) < MANY_IMAGES * len(words))


def is_id(word: str) -> bool:
    """Whether a word has at least four digits, as a date and the number of an order or a patient have."""
    return _ID.fullmatch(word) is not None


def _folders_of(data: Path) -> list[tuple[str, ...]]:
    """Per image in a folder below ``data``, its folders."""
    return [folders for path in walk(data) if is_image(path) and (folders := path.relative_to(data).parts[:-1])]
