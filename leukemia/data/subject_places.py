"""The place in the paths of images whose values recur as patients do: a level of folders, or a word of the names."""

from __future__ import annotations

import re
import shlex
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import PurePosixPath

from leukemia.data.classes import normal_form
from leukemia.data.counters import Place, is_counter
from leukemia.data.layouts.folder_levels import is_centre, is_view, look_like_subjects
from leukemia.data.names import composed
from leukemia.data.part_words import plain
from leukemia.data.sites import LEAST_PER_SUBJECT, have_same_ids, is_site, with_sites
from leukemia.data.split import part_of
from leukemia.data.unpacked import for_whole_paths, unpacked
from leukemia.data.versions import originals

LEAST_ALIKE = 0.9
"""The share of names that have the same words and numbers in the same order, apart from what these are."""

MOST_SHOWN = 3
"""So many of the values are shown."""

# Words and numbers together, as ``P12``; then each alone, as in ``P12F003``.
_SPECIAL = re.compile(r"[.^$*+?{}()|\[\]\\]")
_DATE = re.compile(r"(?<!\d)(?:19|20)\d\d([-_.]?)(?:0[1-9]|1[0-2])\1(?:0[1-9]|[12]\d|3[01])(?!\d)")
_DIGIT = re.compile(r"\d")
_NO_NUMBER = re.compile(r"\D")
_NO_LETTERS = re.compile(r"[\W\d_]")
_YEAR, _SERIAL = re.compile(r"(?:19|20)?\d\d"), re.compile(r"\d{3,}")
_WORDS = (r"[^\W_]+",), (r"[^\W\d_]+", r"\d+")


def subject_pattern(image_ids: Sequence[str], words: Collection[str] = ()) -> str | None:
    """What to type for subjects that may be in the paths, with some of them; None if nothing recurs as patients do.

    Versions of one image count once.

    Args:
        image_ids: one per image.
        words: those that stand for classes, which are no patients.

    >>> subject_pattern([f"{word}/P{number // 3}_{number}.png" for number in range(12) for word in ("hem", "all")])
    "--subject-pattern '([^\\\\W_]+)_[^/]*$' reads P0, P1, P2 and 1 more from the names, if these 4 are patients"
    >>> subject_pattern([f"cell_{number}.png" for number in range(12)])
    """
    whole = sorted(set(originals(list(map(composed, image_ids)))))
    ids = unpacked(whole)
    forms = set(map(normal_form, words))
    found: list[tuple[int, Place, list[Place]]] = []
    levels = list(_levels(ids))
    # The numbers of words with a class, as ``01`` of ``01b``.
    glued: set[tuple[str | None, ...]] = set()
    for places in (levels, *([*levels, *_places(ids, kinds)] for kinds in _WORDS)):
        for index, place in enumerate(places):
            known = {word for each in places for word in each.distinct if normal_form(word) in forms or part_of(word)}
            if _have_words(place.distinct, forms):
                glued.add(tuple(None if value is None else _NO_NUMBER.sub("", value) for value in place.values))
            if (
                _recurs(place)
                and not (_are_others(place.distinct) or _have_words(place.distinct, forms))
                and place.values not in glued
                and not is_counter(place, places[:index], known)
            ):
                sites = [each for each in places[:index] if is_site(each, known)]
                found.append((_rank(place.distinct), place, sites))
    if not found:
        return None
    _, alone, sites = min(found, key=lambda each: each[0])
    apart = with_sites(alone, sites, ids)
    # What has the same ids throughout may be a stain or a day: taking them for one patient never leaks.
    chosen = with_sites(alone, [each for each in sites if not have_same_ids(each, alone)], ids)
    values = chosen.distinct
    more = f" and {len(values) - MOST_SHOWN} more" if len(values) > MOST_SHOWN else ""
    shown = ", ".join(values[:MOST_SHOWN])
    patterns = {place.pattern: for_whole_paths(place.pattern, whole) for place in (alone, apart, chosen)}
    written = {place: text and shlex.quote(text) for place, text in patterns.items()}
    if (pattern := written[chosen.pattern]) is None:
        return None
    way = (
        f"--subject-pattern {pattern} reads {shown}{more} from the {chosen.where}, if these {len(values)} are patients"
    )
    other = written[(apart if chosen is alone else alone).pattern]
    if apart is alone or other is None:
        return way
    same = " and ".join(_with_one_id(alone, apart))
    if chosen is alone:
        return f"{way} ({other} if {same} are two, with {len(apart.distinct)} in all)"
    return f"{way} ({other} if {same} are one, with {len(alone.distinct)} in all)"


def _with_one_id(alone: Place, apart: Place) -> list[str]:
    """Two patients of different sites with the same id."""
    found: dict[str | None, set[str]] = defaultdict(set)
    for value, whole in zip(alone.values, apart.values, strict=True):
        if whole is not None:
            found[value].add(whole)
    twice = max(found.values(), key=len)
    return sorted(twice)[:2]


def _recurs(place: Place) -> bool:
    """Whether most values are those of several images."""
    number = sum(value is not None for value in place.values)
    return 2 < len(place.distinct) <= number / LEAST_PER_SUBJECT


def _have_words(values: Collection[str], forms: Collection[str]) -> bool:
    """Whether a value is a word for a class, or all are numbers with such words, as ``01b`` and ``02n``.

    >>> _have_words(["01b", "02n", "02b"], {"b", "n"}), _have_words(["n1", "n2"], {"b", "n"})
    (True, False)
    """
    letters = {normal_form(_NO_LETTERS.sub("", value)) for value in values}
    return any(normal_form(value) in forms for value in values) or (len(letters) > 1 and letters <= set(forms))


def _are_others(words: Collection[str]) -> bool:
    """Whether they are parts of a split, views or hospitals."""
    return all(map(part_of, words)) or any(map(is_view, words)) or all(map(is_centre, words))


def _rank(values: Collection[str]) -> int:
    """Least for the likeliest: ids with letters, then numbers, then other words."""
    if not look_like_subjects(values):
        return 2
    return 1 if all(value.isdecimal() for value in values) else 0


def _levels(image_ids: Sequence[str]) -> Iterator[Place]:
    """The levels of folders that all images have."""
    folders = [PurePosixPath(image_id).parts[:-1] for image_id in image_ids]
    for level in range(min(map(len, folders), default=0)):
        values = tuple(each[level] for each in folders)
        yield Place(before=f"^{'[^/]+/' * level}", group="[^/]+", after="/", values=values, where="folders")


def _places(image_ids: Sequence[str], kinds: Sequence[str]) -> Iterator[Place]:
    """The words or numbers at each place of names that are alike."""
    stems = [PurePosixPath(image_id).stem for image_id in image_ids]
    word = re.compile("|".join(kinds))
    shapes = [word.sub(_kind_of(kinds), stem) for stem in stems]
    shape, number = Counter(shapes).most_common(1)[0]
    if number < LEAST_ALIKE * len(stems):
        return
    alike = [word.findall(stem) if each == shape else None for stem, each in zip(stems, shapes, strict=True)]
    parts = re.split("(\0\\d)", shape)
    columns = list(zip(*filter(None, alike), strict=True))
    # A name that is one number is that of an image in each folder.
    for index in range(len(columns)) if len(columns) > 1 else ():
        if parts[2 * index].endswith("(") and parts[2 * index + 2].startswith(")"):
            # Windows numbers the files that are renamed or copied together: ``cell (1)``, ``cell (2)``.
            continue
        if _are_dates(word, [stem for stem, each in zip(stems, alike, strict=True) if each], index):
            continue
        if kinds == _WORDS[0] and (case := _case_number(parts, columns, alike, index)) is not None:
            yield case
        values = tuple(None if each is None else each[index] for each in alike)
        preceding = set(columns[index - 1]) if index else set()
        words = frozenset(map(plain, preceding)) if not any(map(_DIGIT.search, preceding)) else frozenset()
        before, group = _pattern(parts, columns, kinds, index)
        yield Place(before=before, group=group, after=_after(parts, index), values=values, where="names", words=words)


def _case_number(
    parts: Sequence[str], columns: Sequence[Sequence[str]], alike: Sequence[Sequence[str] | None], index: int
) -> Place | None:
    """The number of a case at a place of all names and the next one: a year, a hyphen and a number, as ``19-0345``.

    Laboratories number their cases from 1 in each year, so neither is one alone.
    """
    if index + 1 >= len(columns) or parts[2 * index + 2] != "-":
        return None
    if not (all(map(_YEAR.fullmatch, columns[index])) and all(map(_SERIAL.fullmatch, columns[index + 1]))):
        return None
    values = tuple(None if each is None else f"{each[index]}-{each[index + 1]}" for each in alike)
    before, year = _pattern(parts, columns, _WORDS[0], index)
    _, number = _pattern(parts, columns, _WORDS[0], index + 1)
    return Place(before=before, group=f"{year}-{number}", after=_after(parts, index + 1), values=values, where="names")


def _are_dates(word: re.Pattern[str], stems: Sequence[str], index: int) -> bool:
    """Whether the word at a place of all names is a date, or a part of one: ``2022-03-05`` or ``20220305``."""
    for stem in stems:
        start, end = [match.span() for match in word.finditer(stem)][index]
        if not any(date.start() <= start and end <= date.end() for date in _DATE.finditer(stem)):
            return False
    return bool(stems)


def _kind_of(kinds: Sequence[str]) -> Callable[[re.Match[str]], str]:
    """Marks a word by its kind."""
    return lambda match: f"\0{next(number for number, kind in enumerate(kinds) if re.fullmatch(kind, match[0]))}"


def _pattern(
    parts: Sequence[str], columns: Sequence[Sequence[str]], kinds: Sequence[str], wanted: int
) -> tuple[str, str]:
    """The beginning of a name up to the word that is wanted, and this word, as regular expressions.

    Args:
        parts: the shape of the names: what is between words, and for each word its kind.
        columns: the words of all names at each place.
    """
    text, index = "", 0
    for part in parts:
        if not part.startswith("\0"):
            text += _literal(part)
            continue
        if index == wanted:
            return text, kinds[int(part[1:])]
        words = set(columns[index])
        text += words.pop() if len(words) == 1 else kinds[int(part[1:])]
        index += 1
    raise AssertionError("no such word")


def _after(parts: Sequence[str], wanted: int) -> str:
    """What follows a word up to the next one, and the rest of the name, as a regular expression."""
    return f"{_literal(parts[2 * wanted + 2])}[^/]*$"


def _literal(text: str) -> str:
    return _SPECIAL.sub(r"\\\g<0>", text)
