"""Levels of folders above images that no known word names: which may be classes, and which are something else."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from leukemia.data.classes import MOST_WORDS, NAMED, normal_form
from leukemia.data.layouts.beside import few_above
from leukemia.data.layouts.companions import companion_folders
from leukemia.data.layouts.source import is_image, walk
from leukemia.data.part_words import plain
from leukemia.data.split import part_of
from leukemia.data.subject_words import looks_like_subjects

FEW_WORDS = 8
"""More folders than this are classes only if each has many images."""

MANY_IMAGES = 50
"""So many images has a folder on average, if more than ``FEW_WORDS`` are classes."""

# A date, or the number of an order or a patient: four digits, whatever is between them.
_ID = re.compile(r"(?:.*\d){4}.*")
_NUMBERED = re.compile(r"(?P<name>[^\W\d_]*)(?:[\W_]+[^\W\d_])?[\W_]*\d+\w?")
# S12; one digit may be that of a class, as L1 and M3.
_LETTER_AND_NUMBER = re.compile(r"[^\W\d_]\d{2,}")
_OF_CLASSES = frozenset("class type grade stage category label klasse typ grad stadium classe clase grado".split())
_PREFIXES = frozenset(["p", "pt", "id", "uid", "visit", "slide", "smear", "sample", "specimen"])
_MAGNIFICATION = re.compile(r"x[\W_]*\d+|\d+[\W_]*x")
_CENTRE = re.compile(
    r"(?<![^\W\d_])(?:hosp(?:ital|itals)?|centers?|centres?|centro|zentrum|clinics?|klinik|klinikum|clinica|clinique"
    r"|hopital|ospedale|krankenhaus|spital|sites?|labs?|labor|laborator(?:y|io|ium)|institut(?:e|o)?|univ(?:ersit(?:y|e|a"
    r"t|aet))?|scanner|microscope|больница|клиника|医院|病院)(?![^\W\d_]{2})"
)
_VIEWS = frozenset(
    "left right top bottom upper lower centre center giemsa wright leishman pappenheim mgg romanowsky stained "
    "image images img imgs dsc pic photo scan field cell cells".split()
)


@dataclass(frozen=True, kw_only=True)
class Level:
    """The folders of one level."""

    names: tuple[str, ...]
    """One per image: its folder at this level, or its innermost one if that is above. Images in parts of a split, and a
    few beside the others' folders, have none."""

    shallow: frozenset[str] = frozenset()
    """Those names that are of folders above this level only."""

    recurs: bool
    """Whether each name is in several folders above."""

    is_even: bool = False
    """Whether each of several folders above has all of the names, with equally many images."""

    above: int
    """How many levels are above."""

    from_file: int
    """How many parts of a path follow the folder, the file being one, in the deepest path."""

    @property
    def are_subjects(self) -> bool:
        """Whether the folders look like patients, visits or samples."""
        return look_like_subjects(name for name in self.names if name not in self.shallow)

    @property
    def are_views(self) -> bool:
        """Whether the folders are magnifications, stains, or places or kinds of images, which any class may have."""
        return all(map(is_view, set(self.names)))

    @property
    def are_centres(self) -> bool:
        """Whether the folders are called for hospitals, laboratories or devices."""
        return all(map(is_centre, set(self.names)))

    @property
    def are_numbered(self) -> bool:
        """Whether the folders are a word with a running number, as fields and batches are, unless the word says that
        they are classes."""
        found = [_NUMBERED.fullmatch(normal_form(name)) for name in set(self.names)]
        prefixes = {match["name"] if match else "" for match in found}
        # L1 and M3 are classes.
        return len(prefixes) == 1 and len(prefix := prefixes.pop()) > 1 and prefix not in _OF_CLASSES

    @property
    def are_fields(self) -> bool:
        """Whether the folders look like fields or batches rather than classes, as far as a table may have these."""
        return not any(name in NAMED for name in self.names) and (self.are_numbered or self.is_even)

    @property
    def may_be_classes(self) -> bool:
        """Whether the folders look like neither subjects, views nor hospitals."""
        return not (self.are_subjects or self.are_views or self.are_centres)


def folder_levels(data: Path) -> list[Level]:
    """The levels whose folders differ, outermost first, without parts of a split and folders of companions."""
    inside = _folders_of(data)
    companions = companion_folders(data)
    return levels_of([folders for folders in inside if companions.isdisjoint(folders)] or inside)


def levels_of(inside: Sequence[tuple[str, ...]]) -> list[Level]:
    """As ``folder_levels``, of images in these folders."""
    depth = max(map(len, inside), default=0)
    above = few_above(inside)
    found = []
    for level in range(depth):
        both = _have_parts_and_words({folders[level] for folders in inside if len(folders) > level})
        names, parents = [], defaultdict(set)
        counts: dict[tuple[str, ...], Counter[str]] = defaultdict(Counter)
        for folders in inside:
            name = folders[min(level, len(folders) - 1)]
            if (both or not part_of(name)) and (len(folders) > level or folders not in above):
                names.append(name)
                parents[name].add(folders[:level])
                counts[folders[:level]][name] += 1
        if len(parents) > 1:
            recurs = min(map(len, parents.values())) > 1
            deep = {folders[level] for folders in inside if len(folders) > level}
            shallow = frozenset(parents.keys() - deep)
            first, *others = counts.values()
            is_even = bool(others) and all(each == first for each in others) and len(set(first.values())) == 1
            from_file = depth - level
            found.append(
                Level(
                    names=tuple(names),
                    shallow=shallow,
                    recurs=recurs,
                    is_even=is_even,
                    above=level,
                    from_file=from_file,
                )
            )
    return found


def class_level(levels: Sequence[Level]) -> Level | None:
    """The level that may stand for the classes; None if there is none, or if all look like subjects or views.

    It is the first one with a known word. Without any, it is the outermost one, unless an inner one has as few names,
    each in several folders: in ``{A,B}/{x,y}`` it is ``x`` or ``y``.
    """
    possible = [level for level in levels if level.may_be_classes]
    known = [level for level in possible if any(name in NAMED for name in level.names)]
    found = next(iter(known or possible), None)
    for level in () if known else possible[1:]:
        if found is not None and level.recurs and len(set(level.names)) <= len(set(found.names)):
            found = level
    return found


def other_levels(levels: Sequence[Level]) -> list[Level]:
    """Other levels than that of ``class_level`` that may stand for the classes, outermost first."""
    chosen = class_level(levels)
    return [level for level in levels if level != chosen and level.may_be_classes] if chosen else []


def folder_names(data: Path) -> list[str]:
    """Per image in a folder below ``data``, the innermost one."""
    return [folders[-1] for folders in _folders_of(data)]


def look_like_subjects(names: Iterable[str]) -> bool:
    """Whether folders look like patients, visits or samples: ids, dates, numbers, or many with few images each.

    >>> look_like_subjects(["patient_1", "patient_2"]), look_like_subjects(["2021-03-04", "2021-06-11"])
    (True, True)
    >>> look_like_subjects(["L1", "L2", "L3"]), look_like_subjects(["Case_A01", "Case_B07"])
    (False, True)
    >>> look_like_subjects(["L1", "L2", "Normal"]), look_like_subjects([str(number) for number in range(40)])
    (False, True)
    """
    names = list(names)
    words = set(map(normal_form, names))
    if not words or any(word in NAMED for word in words):
        return False
    if all(is_id(word) or _LETTER_AND_NUMBER.fullmatch(word) for word in words):
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


def is_view(word: str) -> bool:
    """Whether a word is a magnification, a stain, or a place or kind of image, perhaps numbered.

    >>> [word for word in ("40x", "X100", "Left", "IMG", "field_001", "blast") if is_view(word)]
    ['40x', 'X100', 'Left', 'IMG', 'field_001']
    """
    form = normal_form(word)
    numbered = _NUMBERED.fullmatch(form)
    return (numbered["name"] if numbered else form) in _VIEWS or _MAGNIFICATION.fullmatch(form) is not None


def is_centre(word: str) -> bool:
    """Whether a folder is called for a hospital, a laboratory or a device.

    >>> [is_centre(word) for word in ("Hospital_A", "site2", "CentreB", "Klinik Nord", "labelled", "blast")]
    [True, True, True, True, False, False]
    """
    return _CENTRE.search(plain(word)) is not None


def _have_parts_and_words(names: Iterable[str]) -> bool:
    """Whether folders have the same words in each part of a split, as ``train_AML``, ``train_CLL``, ``test_AML``..."""
    words: dict[str | None, set[str]] = defaultdict(set)
    for name in names:
        words[part_of(name)].add("_".join(word for word in re.split(r"[\W_]+", name) if not part_of(word)).casefold())
    first = next(iter(words.values()), set())
    is_product = None not in words and len(words) > 1 and all(each == first for each in words.values())
    return is_product and len(first) > 1 and not look_like_subjects(first) and not any(map(str.isdigit, first))


def _folders_of(data: Path) -> list[tuple[str, ...]]:
    """Per image in a folder below ``data``, its folders."""
    return [folders for path in walk(data) if is_image(path) and (folders := path.relative_to(data).parts[:-1])]
