"""Classes in the names of files: the word that each begins with, as ``blast_0.bmp``, where ``--classes`` maps it."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from leukemia.data.classes import Vocabulary, unknown_words
from leukemia.data.layouts.companions import companion_folders
from leukemia.data.layouts.source import Row, Source, ignored_files, is_image, walk
from leukemia.data.reading import Reading

MOST_WORDS = 8
"""More words are no classes: each name begins with a word of its own, or with a patient's."""

# At least two letters: one is the row of a plate, or a kind of patient.
_WORD = re.compile(r"[^\W\d_]{2,}(?:-[^\W\d_]+)*")


def file_word(path: Path) -> str | None:
    """The word that a name begins with; None if it begins with none.

    >>> [file_word(Path(name)) for name in ("blast_0.bmp", "Lymphocyte12.png", "B-ALL (3).png", "17.png")]
    ['blast', 'Lymphocyte', None, None]
    """
    match = _WORD.match(path.stem)
    return match[0] if match else None


def file_words(data: Path) -> list[str]:
    """Per image below ``data``, without companions, the word that its name begins with.

    Returns:
        Empty unless these are a few words, each of several images: then they may be classes.
    """
    companions = companion_folders(data)
    paths = [path for path in walk(data) if is_image(path) and companions.isdisjoint(path.relative_to(data).parts[:-1])]
    words = [word for path in paths if (word := file_word(path)) is not None]
    counts = Counter(words)
    is_possible = len(words) == len(paths) and 1 < len(counts) <= MOST_WORDS and min(counts.values()) > 1
    return words if is_possible else []


def has_file_words(data: Path, reading: Reading) -> bool:
    """Whether ``--classes`` maps the words of files rather than those of folders: of most images that it leaves in."""
    return reading.classes is not None and _are_mapped(_rows(data, Vocabulary.given(reading.classes)))


def named_by_class(data: Path, reading: Reading) -> Source | None:
    """The images of a folder whose names begin with words of ``--classes``; None if they do not.

    A folder that ``--classes`` leaves out is left out, and one that it calls a class has no such images.

    Raises:
        UserError: the names of some images begin with other words.
    """
    if reading.classes is None:
        return None
    rows = _rows(data, Vocabulary.given(reading.classes))
    if not _are_mapped(rows):
        return None
    words = [row.word or row.path.stem for row in rows]
    vocabulary = Vocabulary.given(reading.classes)
    if not all(word in vocabulary for word in words):
        message = f"{data}: the names of files begin with words that --classes does not have"
        raise unknown_words(message, words, reading.classes)
    note = "labels are read from the names of the files: the words that they begin with"
    return Source(layout="folders", root=data, rows=tuple(rows), notes=(note, *ignored_files([data])))


def _rows(data: Path, vocabulary: Vocabulary) -> list[Row]:
    """The images with their words, or the folder that leaves them out; empty if a folder is called a class."""
    rows = []
    for path in filter(is_image, walk(data)):
        folders = path.relative_to(data).parts[:-1]
        if any(vocabulary.label(name) is not None for name in folders):
            return []
        word = next((name for name in folders if vocabulary.ignores(name)), None)
        word = file_word(path) if word is None else word
        rows.append(Row(path=path, label=None if word is None else vocabulary.label(word), word=word))
    return rows


def _are_mapped(rows: Sequence[Row]) -> bool:
    """Whether most of the images have a label, not counting folders that are left out."""
    return 2 * sum(row.label is not None for row in rows) > sum(
        row.label is not None or row.word is None or row.word == file_word(row.path) for row in rows
    )
