"""The labels in a CSV: their column, and the class of each word in it."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from typing import TYPE_CHECKING

from leukemia.data.classes import (
    KNOWN,
    NO_LABEL,
    LabelError,
    Vocabulary,
    known_labels,
    mapping,
    normal_form,
    unknown_words,
    vocabularies,
    vocabulary_of,
)
from leukemia.data.layouts.class_names import names_for
from leukemia.data.layouts.merged_cells import refuse_merged_cells
from leukemia.data.reading import Reading

if TYPE_CHECKING:
    from leukemia.data.layouts.listing import Listing

_IS = re.compile(r"^is[_ -]")
_FLAGS = {"0", "1", "false", "true"}

COLUMNS = ("label", "class", "target", "diagnosis", "category", "y")
"""Where labels are looked for, ignoring case; the first one that a CSV has is read."""


def label_column(listing: Listing, reading: Reading, *, required: bool) -> tuple[str | None, tuple[str, ...]]:
    """The column of labels, in lower case, None if there is none; and notes on another one than ``label``.

    Raises:
        LabelError: there is none where labels are required.
    """
    if not reading.reads_labels:
        return None, ()
    wanted = None if reading.label_column is None else reading.label_column.strip().lower()
    if wanted is not None and listing.has(wanted):
        return _in_its_set(listing, wanted, reading)
    if wanted is not None and required:
        raise LabelError(
            f"{listing.path}: --label-column {reading.label_column}: expected one of the columns "
            f"{', '.join(listing.columns)}"
        )
    absent = () if wanted is None else ("the CSV has no such column as that of --label-column",)
    column = next((name for name in COLUMNS if listing.has(name)), None)
    if column is None:
        column = next((name for name in listing.one_hot if _has_labels(listing, name, reading)), None)
        return column, absent if column is None else (*absent, f"labels are read from the one-hot columns {column}")
    if column == "label":
        return column, absent
    if not required and not _has_labels(listing, column, reading):
        return None, (*absent, f"the column {column} has no known labels, and is not read")
    way = "; --label-column reads another" if wanted is None else ""
    return column, (*absent, f"labels are read from the column {column}{way}")


def _in_its_set(listing: Listing, column: str, reading: Reading) -> tuple[str, tuple[str, ...]]:
    """The column that ``--label-column`` means: of one-hot columns, their set if ``--classes`` has the names of all."""
    title = next((title for title, names in listing.one_hot.items() if column in map(str.lower, names)), None)
    if title is None:
        return column, ()
    typed, _ = mapping(words := listing.column(title), reading.classes)
    if reading.classes is None:
        note = (
            f"warning: the column {column} is one-hot with others ({title}), so that all of these but {column} are "
            f"normal; to say the class of each, leave --label-column out: {typed}"
        )
        return column, (note,)
    return (title if any(word in Vocabulary.given(reading.classes) for word in words) else column), ()


def read_labels(
    listing: Listing, column: str | None, reading: Reading, *, required: bool
) -> list[tuple[str | None, int | None]]:
    """Per row the word in a column and its label, 0 normal or 1 leukemic; None if ``--classes`` leaves the word out.

    If labels are not required, and the column is absent or blank, both are None in all rows.

    Args:
        column: in lower case.
        reading: the user's options.

    Raises:
        OtherWords: ``--classes`` has none of the words.
        LabelError: a row has no label, or an unknown word.
    """
    words = [] if column is None else listing.column(column)
    if column is None or not (required or any(words)):
        return [(None, None)] * len(listing.rows)
    words = [word or NO_LABEL for word in words]
    if reading.classes is None and KNOWN.label(_IS.sub("", column)) == 0 and set(map(normal_form, words)) <= _FLAGS:
        raise LabelError(
            f"{listing.path}: expected labels with 1 for leukemic, but the column is called {column}, where 1 may "
            "stand for normal; write --classes with the words of both, such as --classes normal=1 leukemic=0"
        )
    vocabulary = vocabulary_of(words, reading.classes)
    if vocabulary is None and reading.is_partial:
        return list(known_labels(words, reading.classes))
    if vocabulary is None:
        raise _wrong_labels(listing, column, reading)
    return [(word, vocabulary.label(word)) for word in words]


def check_other_columns(listing: Listing, column: str | None, labels: Sequence[int | None], reading: Reading) -> None:
    """Check labels against every other column that has only words for classes, unless the user has chosen.

    scikit-learn's LabelEncoder numbers words in alphabetical order, so that 0 may stand for leukemia.

    Args:
        column: the column of the labels, in lower case.

    Raises:
        LabelError: one says otherwise.
    """
    # The labels of a test set may be missing.
    if column is None or None in labels or reading.label_column is not None or reading.classes is not None:
        return
    for name in [each.lower() for each in listing.columns if each.lower() not in (column, listing.path_column)]:
        words = [values[name] for _, values in listing.rows]
        vocabulary = vocabulary_of(words, None)
        # Flags may mean anything, unless the column is called like one of labels.
        if vocabulary is None or (name not in COLUMNS and set(map(normal_form, words)) <= _FLAGS):
            continue
        others = [vocabulary.label(word) for word in words]
        if number := sum(one != other for one, other in zip(labels, others, strict=True)):
            raise LabelError(
                f"{listing.path}: the columns {column} and {name} have different classes in {number} of {len(words)} "
                f"rows; say which is right with --label-column {shlex.quote(name)} or --label-column {column}"
            )


def _has_labels(listing: Listing, column: str, reading: Reading) -> bool:
    """Whether a column may have labels: ``y`` may as well be a coordinate."""
    known = (*vocabularies(reading.classes), *vocabularies(None))
    return any(word in each for word in set(listing.column(column)) for each in known)


def _wrong_labels(listing: Listing, column: str, reading: Reading) -> LabelError:
    known = vocabularies(reading.classes)[0]
    numbers: dict[str, list[int]] = {}
    found = [(number, word) for (number, _), word in zip(listing.rows, listing.column(column), strict=True)]
    # A row that stands for a folder is there for each of its images.
    for number, word in found if listing.has_row_per_image else dict.fromkeys(found):
        if not word or word not in known:
            numbers.setdefault(word, []).append(number)
    numbers.pop("", None)
    empty = _without_label(listing, column)
    if empty:
        refuse_merged_cells(listing, column)
    lines = [f"{word!r}: row {rows[0]}{_more(rows)}" for word, rows in sorted(numbers.items())]
    wanted = "the label 0 (normal) or 1 (leukemic)" if reading.classes is None else "a word of --classes"
    message = f"{listing.path}: expected {wanted} in every row of the column {column}; correct these"
    words = [word for word in listing.column(column) if word]
    said = names_for(listing.path, listing.columns, words).describe(words) if lines else ""
    way = f", or map the words with --classes{said}" if lines else f", or leave them out as {NO_LABEL}"
    ignored = [NO_LABEL] if empty else []
    return unknown_words(f"{message}{way}", words, reading.classes, [*lines, *empty], ignored)


def _without_label(listing: Listing, column: str) -> list[str]:
    """The rows without a label; of several CSVs, whose rows have the same numbers, the images."""
    path = listing.path_column if "*" in str(listing.path) else None
    rows = [(number, values) for number, values in listing.rows if not values[column]]
    named = (f"row {number}" if path is None else values[path] for number, values in rows)
    return [f"{name}: no label" for name in dict.fromkeys(named)]


def _more(rows: list[int]) -> str:
    return f" and {len(rows) - 1} more" if len(rows) > 1 else ""
