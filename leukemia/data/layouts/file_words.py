"""Classes in the names of files or of folders: a word at the same place in each, as ``blast_0.bmp`` or ``Pt_01_ALL``,
where ``--classes`` maps it."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from leukemia.data.class_hints import hinted_label
from leukemia.data.classes import NAMED, LabelError, Vocabulary, unknown_words
from leukemia.data.layouts.beside import are_few, few_above
from leukemia.data.layouts.companions import companion_folders, companions_among
from leukemia.data.layouts.folder_levels import is_view, look_like_subjects
from leukemia.data.layouts.ignored_endings import ignored_ending, ignored_endings
from leukemia.data.layouts.source import Row, Source, ignored_files, is_image, walk
from leukemia.data.names import composed
from leukemia.data.reading import Reading
from leukemia.data.split import part_of
from leukemia.data.version_names import is_version_word

MOST_WORDS = 12
"""More words are no classes: each name has a word of its own, or a patient's."""

MOST_LETTERS = 4
"""More single letters are no classes: they are the rows of a plate."""

MOST_PLACES = 6
"""Words are looked for at so many places from either end of a name."""

LEAST_ALIKE = 3
"""So many folders, or beginnings of names, have all of some words once if these are kinds of images."""

OF_FOLDERS = "the names of the folders"
"""Whose words those in the names of folders are."""

_HYPHENATED = re.compile(r"[^\W\d_]+(?:-[^\W\d_]+)*")
_LETTERS = re.compile(r"[^\W\d_]+")
# With a letter: a number may as well count images.
_NUMBERED = re.compile(r"(?<![^\W_])\d*[^\W\d_][^\W_]*")
# One letter, with nothing but digits beside it.
_LETTER = re.compile(r"(?<![^\W\d_])[^\W\d_](?![^\W\d_])")
# After a word: someone was not sure of it.
_DOUBT = re.compile(r"[\s\d_]*\(?\?")
# At least two letters, or one with a digit, as M3.
_WORD = re.compile(r"[^\W\d_]+(?:-[^\W\d_]+)+|[^\W\d_]{2,}|[^\W\d_]\d")
# Of sexes, of sides, and of a date and time.
_OTHER_LETTERS = (frozenset("mf"), frozenset("mw"), frozenset("lr"), frozenset("xy"), frozenset("dt"))


@dataclass(frozen=True)
class Place:
    """Where a word is in the names of files, or in those of the folders of one level."""

    kind: re.Pattern[str]
    """What a word is."""

    index: int
    """Of the words of a name; negative from the end."""

    level: int | None = None
    """Of the folders, from the outermost one; None: the name is that of the file."""

    @property
    def names(self) -> str:
        """Whose words they are."""
        return "the names of the files" if self.level is None else OF_FOLDERS

    def name(self, path: Path) -> str:
        """The name in a path below the data, without its suffix, in NFC; empty if there is no folder of the level."""
        if self.level is None:
            return composed(path.stem)
        folders = path.parts[:-1]
        return composed(folders[self.level]) if self.level < len(folders) else ""

    def word(self, path: Path) -> str | None:
        """The word of the name in a path below the data; None if it has none at this place.

        A word with a question mark after it is another one than without.

        >>> [Place(_HYPHENATED, 0).word(Path(name)) for name in ("Lymphocyte12.png", "B-ALL (3).png", "17.png")]
        ['Lymphocyte', 'B-ALL', None]
        >>> Place(_HYPHENATED, -1).word(Path("2023-04-11_S12_0042_blast.png"))
        'blast'
        >>> [Place(_NUMBERED, -1).word(Path(name)) for name in ("17_L1.png", "17_1.png", "1a-L2_3.png")]
        ['L1', None, 'L2']
        >>> Place(_HYPHENATED, -1, 0).word(Path("Pt_01_ALL/cell_001.png"))
        'ALL'
        >>> [Place(_LETTERS, -1).word(Path(name)) for name in ("1 (blast?).png", "blast 12?.png", "blast.png")]
        ['blast?', 'blast?', 'blast']
        """
        name = self.name(path)
        words = list(self.kind.finditer(name))
        if not -len(words) <= self.index < len(words):
            return None
        match = words[self.index]
        return match[0] + ("?" if _DOUBT.match(name, match.end()) else "")

    def __str__(self) -> str:
        number = self.index + 1 if self.index >= 0 else -self.index
        order = {1: "", 2: "second ", 3: "third "}.get(number, f"{number}th ")
        if self.index >= 0:
            return f"the {order or 'first '}word"
        return f"the {order}last word" if order else "the last word"


def proposed_words(data: Path) -> list[tuple[Place, list[str]]]:
    """Words in the names of the images below ``data``, or of their folders, that may be classes, without those of
    companions and overviews.

    Returns:
        The places with a few words, most of them of several files or folders, and for each the word of each image.
        Places with a known word are first, then the beginning and the end of names.
    """
    companions = companion_folders(data)
    inside = [(path, path.relative_to(data).parts[:-1]) for path in filter(is_image, walk(data))]
    by_name = companions_among(data, [path for path, _ in inside])
    above = few_above([folders for _, folders in inside])
    paths = [
        path
        for path, folders in inside
        if companions.isdisjoint(folders) and folders not in above and path not in by_name
    ]
    below = [path.relative_to(data) for path in paths]
    found: dict[tuple[str, ...], Place] = {}
    for place in _places(below):
        words = tuple(word for path in below if (word := place.word(path)) is not None)
        is_whole = len(words) == len(paths) and _may_be_classes(_of_each_name(place, below))
        if is_whole and not _are_counters(place, below, words):
            found.setdefault(words, place)
    places = [(place, list(words)) for words, place in found.items()]
    return sorted(places, key=lambda each: (are_letters(each[1]), not any(word in NAMED for word in each[1])))


def has_file_words(data: Path, reading: Reading) -> bool:
    """Whether ``--classes`` maps words of names, of most images that it leaves in, rather than names of folders."""
    return reading.classes is not None and _mapped(data, Vocabulary.given(reading.classes)) is not None


def named_by_class(data: Path, reading: Reading) -> Source | None:
    """The images of a folder whose names, or whose folders' names, have words of ``--classes`` at one place; None if
    they do not.

    A folder that ``--classes`` leaves out is left out, and one that it calls a class has no such images.

    Raises:
        UserError: some images have other words there, or the words of two places say different classes.
    """
    if reading.classes is None:
        return None
    vocabulary = Vocabulary.given(reading.classes)
    mapped = _mapped(data, vocabulary)
    if mapped is None:
        return None
    place, rows = mapped
    words = [row.word or row.path.stem for row in rows]
    if not reading.is_partial and not all(word in vocabulary for word in words):
        message = f"{data}: {place.names} have words, each {place}, that --classes does not have"
        raise unknown_words(message, words, reading.classes)
    note = f"labels are read from {place.names}: {place} of each"
    return Source(layout="folders", root=data, rows=tuple(rows), notes=(note, *ignored_files([data])))


def _places(paths: Sequence[Path]) -> Iterator[Place]:
    """Those of files first, and of each name the beginning and the end."""
    depth = max((len(path.parts) - 1 for path in paths), default=0)
    for level in (None, *range(depth)):
        for kind in (_HYPHENATED, _LETTERS, _NUMBERED, _LETTER):
            for number in range(MOST_PLACES):
                yield from (Place(kind, number, level), Place(kind, -number - 1, level))


def _of_each_name(place: Place, paths: Sequence[Path]) -> list[str]:
    """The word of each file, or of each folder that has another name; empty if each folder has a word of its own."""
    if place.level is None:
        return [place.word(path) or "" for path in paths]
    folders = {place.name(path): place.word(path) or "" for path in paths}
    return list(folders.values()) if len(set(folders.values())) < len(folders) else []


def _may_be_classes(words: Sequence[str]) -> bool:
    """Whether words at one place are few, mostly recur, and are neither subjects, views nor parts of a split."""
    counts = Counter(map(_sure, words))
    singles = sum(number == 1 for number in counts.values())
    is_few = len(counts) - singles > 1 and len(counts) <= MOST_WORDS and are_few(singles, len(words))
    if not is_few or all(map(part_of, counts)):
        return False
    if are_letters(counts):
        return _may_be_letters(counts)
    if not all(map(_WORD.fullmatch, counts)):
        return False
    has_digits = any(word[-1].isdigit() for word in counts)
    return not (
        any(map(is_view, counts))
        or any(map(is_version_word, counts))
        or (has_digits and look_like_subjects(list(map(_sure, words))))
    )


def are_letters(words: Iterable[str]) -> bool:
    """Whether all words are single letters."""
    return all(map(_LETTER.fullmatch, map(_sure, words)))


def _sure(word: str) -> str:
    """A word without its question mark."""
    return word.removesuffix("?")


def _may_be_letters(letters: Iterable[str]) -> bool:
    """Whether single letters may be codes of classes, as ``N`` and ``L``: few, no sexes or sides, and not ``A``, ``B``
    and so on, which count."""
    found = {letter.casefold() for letter in letters}
    are_counters = sorted(found) == [chr(ord("a") + number) for number in range(len(found))]
    return len(found) <= MOST_LETTERS and not are_counters and found not in _OTHER_LETTERS


def _are_counters(place: Place, paths: Sequence[Path], words: Sequence[str]) -> bool:
    """Whether words tell apart the images of each folder, or of each beginning of names: ``f1`` and ``f2``, or ``DAPI``
    and ``GFP``.

    Each has the first ones of those with a digit, equally often; or each has all of the others once, although none
    suggests a class.
    """
    if place.level is not None:
        return False
    words = list(map(_sure, words))
    found: dict[Path, Counter[str]] = defaultdict(Counter)
    for path, word in zip(paths, words, strict=True):
        found[path.parent / place.name(path).rpartition(word)[0]][word] += 1
    order, groups = sorted(set(words)), list(found.values())
    if all(word[-1].isdigit() for word in order):
        are_equal = all(len(set(each.values())) == 1 and sorted(each) == order[: len(each)] for each in groups)
        return are_equal and len(groups) > 1 and max(map(len, groups)) > 1
    is_product = len(words) == len(groups) * len(order) and all(len(each) == len(order) for each in groups)
    return is_product and len(groups) >= LEAST_ALIKE and all(hinted_label(word) is None for word in order)


def _mapped(data: Path, vocabulary: Vocabulary) -> tuple[Place, list[Row]] | None:
    """The place where most images have words of a vocabulary, and all images; None if there is none.

    Raises:
        UserError: another place has words of it, too, that say other classes.
    """
    inside = [(path, path.relative_to(data).parts[:-1]) for path in filter(is_image, walk(data))]
    if any(vocabulary.label(name) is not None for name in {name for _, folders in inside for name in folders}):
        return None
    left_out = {path: name for path, folders in inside for name in reversed(folders) if vocabulary.ignores(name)}
    endings = ignored_endings(vocabulary, (name for _, folders in inside for name in folders))
    left_out |= {path: word for path, _ in inside if (word := ignored_ending(path, endings)) is not None}
    paths = [path for path, _ in inside if path not in left_out]
    below = [path.relative_to(data) for path in paths]
    found: list[tuple[int, Place, list[int | None]]] = []
    for place in _places(below):
        words = [place.word(path) for path in below]
        known = sum(word is not None and word in vocabulary for word in words)
        labels = [None if word is None else vocabulary.label(word) for word in words]
        if 2 * sum(label is not None for label in labels) > len(paths):
            found.append((known, place, labels))
    if not found:
        return None
    _, place, labels = max(found, key=lambda each: each[0])
    for _, other, others in found:
        pairs = zip(paths, labels, others, strict=True)
        odd = next((path.name for path, *pair in pairs if set(pair) == {0, 1}), None)
        if odd is not None:
            raise LabelError(
                f"{data}: {place} and {other} of {_names(place, other)} are words of --classes, but of different "
                f"classes, as those of {odd}; give a CSV Path,label"
            )
    rows = []
    for path, _ in inside:
        word = left_out.get(path, place.word(path.relative_to(data)))
        rows.append(Row(path=path, label=None if word is None else vocabulary.label(word), word=word))
    return place, rows


def _names(place: Place, other: Place) -> str:
    """Whose words those of two places are."""
    return place.names if (place.level is None) == (other.level is None) else "the names of files and folders"
