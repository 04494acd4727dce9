"""Classes in the names of files: a word at the same place in each, as ``blast_0.bmp``, where ``--classes`` maps it."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from leukemia.base.errors import UserError
from leukemia.data.classes import NAMED, Vocabulary, unknown_words
from leukemia.data.layouts.beside import are_few, few_above
from leukemia.data.layouts.companions import companion_folders
from leukemia.data.layouts.folder_levels import is_view, look_like_subjects
from leukemia.data.layouts.source import Row, Source, ignored_files, is_image, walk
from leukemia.data.reading import Reading
from leukemia.data.split import part_of

MOST_WORDS = 12
"""More words are no classes: each name has a word of its own, or a patient's."""

MOST_PLACES = 6
"""Words are looked for at so many places from either end of a name."""

_HYPHENATED = re.compile(r"[^\W\d_]+(?:-[^\W\d_]+)*")
_LETTERS = re.compile(r"[^\W\d_]+")
# With a letter: a number may as well count images.
_NUMBERED = re.compile(r"(?<![^\W_])\d*[^\W\d_][^\W_]*")
# At least two letters, or one with a digit, as M3: one letter is the row of a plate, or a kind of patient.
_WORD = re.compile(r"[^\W\d_]+(?:-[^\W\d_]+)+|[^\W\d_]{2,}|[^\W\d_]\d")


@dataclass(frozen=True)
class Place:
    """Where a word is in the names of files."""

    kind: re.Pattern[str]
    """What a word is."""

    index: int
    """Of the words of a name; negative from the end."""

    def word(self, path: Path) -> str | None:
        """The word of a name; None if it has none at this place.

        >>> [Place(_HYPHENATED, 0).word(Path(name)) for name in ("Lymphocyte12.png", "B-ALL (3).png", "17.png")]
        ['Lymphocyte', 'B-ALL', None]
        >>> Place(_HYPHENATED, -1).word(Path("2023-04-11_S12_0042_blast.png"))
        'blast'
        >>> [Place(_NUMBERED, -1).word(Path(name)) for name in ("17_L1.png", "17_1.png", "1a-L2_3.png")]
        ['L1', None, 'L2']
        """
        words = self.kind.findall(path.stem)
        return words[self.index] if -len(words) <= self.index < len(words) else None

    def __str__(self) -> str:
        number = self.index + 1 if self.index >= 0 else -self.index
        order = {1: "", 2: "second ", 3: "third "}.get(number, f"{number}th ")
        if self.index >= 0:
            return f"the {order or 'first '}word"
        return f"the {order}last word" if order else "the last word"


def proposed_words(data: Path) -> list[list[str]]:
    """Words in the names of the images below ``data`` that may be classes, without those of companions and overviews.

    Returns:
        For each place with a few words, most of them of several images, the word of each image. Places with a known
        word are first, then the beginning and the end of names.
    """
    companions = companion_folders(data)
    inside = [(path, path.relative_to(data).parts[:-1]) for path in filter(is_image, walk(data))]
    above = few_above([folders for _, folders in inside])
    paths = [path for path, folders in inside if companions.isdisjoint(folders) and folders not in above]
    found: dict[tuple[str, ...], None] = {}
    for place in _places(_HYPHENATED, _LETTERS, _NUMBERED):
        words = tuple(word for path in paths if (word := place.word(path)) is not None)
        if len(words) == len(paths) and _may_be_classes(words):
            found.setdefault(words)
    return sorted(map(list, found), key=lambda words: not any(word in NAMED for word in words))


def has_file_words(data: Path, reading: Reading) -> bool:
    """Whether ``--classes`` maps the words of files rather than those of folders: of most images that it leaves in."""
    return reading.classes is not None and _mapped(data, Vocabulary.given(reading.classes)) is not None


def named_by_class(data: Path, reading: Reading) -> Source | None:
    """The images of a folder whose names have words of ``--classes`` at one place; None if they do not.

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
    if not all(word in vocabulary for word in words):
        message = f"{data}: the names of files have words, each {place}, that --classes does not have"
        raise unknown_words(message, words, reading.classes)
    note = f"labels are read from the names of the files: {place} of each"
    return Source(layout="folders", root=data, rows=tuple(rows), notes=(note, *ignored_files([data])))


def _places(*kinds: re.Pattern[str]) -> Iterator[Place]:
    """The beginning and the end of names first."""
    for kind in kinds:
        for number in range(MOST_PLACES):
            yield from (Place(kind, number), Place(kind, -number - 1))


def _may_be_classes(words: Sequence[str]) -> bool:
    """Whether words at one place are few, mostly recur, and are neither subjects, views nor parts of a split."""
    counts = Counter(words)
    singles = sum(number == 1 for number in counts.values())
    is_few = len(counts) - singles > 1 and len(counts) <= MOST_WORDS and are_few(singles, len(words))
    if not is_few or all(map(part_of, counts)) or not all(map(_WORD.fullmatch, counts)):
        return False
    has_digits = any(word[-1].isdigit() for word in counts)
    return not (any(map(is_view, counts)) or (has_digits and look_like_subjects(words)))


def _mapped(data: Path, vocabulary: Vocabulary) -> tuple[Place, list[Row]] | None:
    """The place where most images have words of a vocabulary, and all images; None if there is none.

    Raises:
        UserError: another place has words of it, too, that say other classes.
    """
    inside = [(path, path.relative_to(data).parts[:-1]) for path in filter(is_image, walk(data))]
    if any(vocabulary.label(name) is not None for name in {name for _, folders in inside for name in folders}):
        return None
    left_out = {path: name for path, folders in inside for name in reversed(folders) if vocabulary.ignores(name)}
    paths = [path for path, _ in inside if path not in left_out]
    found: list[tuple[int, Place, list[int | None]]] = []
    for place in _places(_HYPHENATED, _LETTERS, _NUMBERED):
        words = [place.word(path) for path in paths]
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
            raise UserError(
                f"{data}: {place} and {other} of the names of files are words of --classes, but of different classes, "
                f"as those of {odd}; give a CSV Path,label"
            )
    rows = []
    for path, _ in inside:
        word = left_out.get(path, place.word(path))
        rows.append(Row(path=path, label=None if word is None else vocabulary.label(word), word=word))
    return place, rows
