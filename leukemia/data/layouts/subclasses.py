"""Subclasses: finer classes of the data, of which several are one of the two classes."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Sequence

from leukemia.base.errors import listed
from leukemia.data.classes import CLASSES, LabelError, Vocabulary, counted, counts, normal_form
from leukemia.data.layouts.source import Row, Source
from leukemia.data.reading import Reading


def with_subclasses(source: Source, reading: Reading, *, all_words: bool) -> Source:
    """The images that have a class, with the subclasses, and a note on how many were left out.

    A subclass is the commonest spelling of a word where several words stand for its class; the words of ``--classes``
    count even if the data lack some of them.

    Args:
        source: of a layout's reader; rows with a word but no label are those that ``--classes`` leaves out.
        reading: the user's options.
        all_words: whether each word of ``--classes`` must occur.

    Raises:
        LabelError: one does not.
    """
    words = [row.word for row in source.rows if row.word is not None]
    if not words:
        return source
    given = None if reading.classes is None else Vocabulary.given(reading.classes)
    if given is not None and all_words:
        _check_all(given, words)
    labels = {normal_form(row.word): row.label for row in source.rows if row.word is not None}
    several = Counter((labels if given is None else given.labels).values())
    names = {normal_form(word): word for word, _ in counts(words)}
    rows = tuple(
        row if row.word is None or several[row.label] < 2 else _with_subclass(row, names[normal_form(row.word)])
        for row in source.rows
        if row.word is None or row.label is not None or reading.is_partial
    )
    num_left_out = len(source.rows) - len(rows)
    note = (f"--classes leaves out {num_left_out} of {len(source.rows)} images (ignore=...)",) if num_left_out else ()
    return dataclasses.replace(source, rows=rows, notes=(*note, *source.notes))


def class_notes(source: Source) -> tuple[str, ...]:
    """What was taken for which class, with the numbers of the images.

    Args:
        source: only the images that are used.
    """
    words = [[row.word for row in source.rows if row.word is not None and row.label == label] for label in (0, 1)]
    taken = [f"{name} = {', '.join(counted(each))}" for name, each in zip(CLASSES, words, strict=True) if each]
    return (f"classes (images): {'; '.join(taken)}",) if taken else ()


def _with_subclass(row: Row, subclass: str) -> Row:
    return dataclasses.replace(row, subclass=subclass)


def _check_all(given: Vocabulary, words: Sequence[str]) -> None:
    found = set(map(normal_form, words))
    absent = [word for word in (*given.labels, *sorted(given.ignored)) if word not in found]
    if absent:
        raise LabelError(
            f"--classes: no image has the word {', '.join(map(repr, absent))}; correct it, or leave it out. The data "
            f"have these words, with their numbers of images:\n{listed(counted(words))}"
        )


def words_of(rows: Sequence[Row]) -> list[str]:
    """The known words of folders, as values of ``--classes``. They have no commas."""
    words = [{row.word for row in rows if row.word is not None and row.label == label} for label in range(len(CLASSES))]
    return [f"{name}={','.join(sorted(each)) or 'WORD'}" for name, each in zip(CLASSES, words, strict=True)]
