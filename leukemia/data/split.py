"""The split that a data set brings, in a column, its folders or its CSVs: recognized, said, and kept if asked for."""

from __future__ import annotations

import dataclasses
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from leukemia.base.errors import UserError, listed
from leukemia.data.layouts.copied_folders import copied_folders
from leukemia.data.layouts.source import Source
from leukemia.data.part_words import PART_WORDS, TEST, TRAIN, VALIDATION, plain
from leukemia.data.reading import Reading
from leukemia.data.subjects import key, some

COLUMNS = ("split", "fold", "set", "subset", "partition")
"""Names of columns that are looked at for a split, ignoring case."""

FOLDERS = "split"
"""The value of ``--split-column`` for a split into folders or CSVs, which have no column."""

LISTS = "the names of the lists"
"""``Source.split_from`` of lists beside folders, which have each image once."""

CSVS = "the names of the CSVs"
"""``Source.split_from`` of several CSVs, which are the parts."""

MOST_COUNTED = 10
"""Of more parts, only the smallest and the largest number of images is said."""

_COLUMN = "the column "
"""``Source.split_from`` begins with it if the split is in a column."""

_FOLD = re.compile(r"fold[\W_]*(\d+)")
_SUFFIX = re.compile(r"(set|data|daten|satz|images|imgs)$")
# As pandas writes integers if values are missing.
_NUMBER = re.compile(r"(\d+)(?:\.0*)?")
_FLAGS = {
    **dict.fromkeys(("0", "0.0", "false", "no"), False),
    **dict.fromkeys(("1", "1.0", "true", "yes"), True),
}


def part_of(text: str) -> str | None:
    """The part of a split that a folder, a file or a value is named for; None if there is none, or several.

    >>> [part_of(text) for text in ("Training", "resnet_18_test", "valset", "fold_0", "hem", "train_valid")]
    ['train', 'test', 'validation', 'fold 0', None, None]
    >>> [part_of(text) for text in ("训练集", "Validación", "Trainingsdaten")]
    ['train', 'validation', 'train']
    """
    text = plain(text)
    if fold := _FOLD.fullmatch(text):
        return f"fold {int(fold[1])}"
    words = re.split(r"[\W_]+", text)
    found = {PART_WORDS[word] for each in words for word in (each, _SUFFIX.sub("", each)) if word in PART_WORDS}
    return found.pop() if len(found) == 1 else None


def split_column(columns: Iterable[str], reading: Reading) -> str | None:
    """The lower-case name of the column to read a split from; None if there is none."""
    names = [column.lower() for column in columns]
    wanted = COLUMNS if reading.split_column is None else (reading.split_column.strip().lower(),)
    return next((name for name in wanted if name in names), None)


def with_split(source: Source, data: Path, reading: Reading, *, training: bool) -> Source:
    """The images with their part of a split, a note on it, and without the part that is not asked for.

    With ``--split-column``, training data are without the part ``test``, and test data are this part if there is one,
    else all images.

    Args:
        source: its rows have the parts as written, or none, if they are in the folders.
        data: where the images were found: a folder, or the first of one or more CSVs.
        reading: the user's options.
        training: whether the images are training data.

    Raises:
        UserError: ``--split-column`` is given, and there is no such split, or one that cannot be kept.
    """
    written, origin = [row.split for row in source.rows], source.split_from
    wanted = (reading.split_column or FOLDERS).strip().lower()
    if wanted not in (FOLDERS, origin.removeprefix(_COLUMN)):
        # Neither folders nor CSVs stand for the column that is asked for.
        written = [None] * len(written)
    elif not any(written):
        if not training and data.is_file() and part_of(data.stem):
            # The split of the training data may be in the names of CSVs, of which this one is a part.
            written, origin = [data.stem] * len(written), CSVS
        else:
            written, origin = in_folders(source), "the folders"
            if training and any(written) and (copies := copied_folders(source.root, _paths(source), part_of)):
                return _of_copies(source, copies, reading)
    column = _column_of(origin)
    parts = _parts(written, column)
    if reading.split_column is not None:
        return _kept(source, parts, written, origin, reading.split_column, training=training)
    if parts is None and column and any(written):
        expected = "train, validation and test, or folds numbered from 0 or 1"
        reason = "0 and 1 may be folds or parts" if _are_flags(written, column) else f"expected {expected}"
        note = f"{origin} is not read as a split: {reason}"
        return dataclasses.replace(_assigned(source, None), notes=(*source.notes, note))
    # CSVs of any name are parts that are worth saying, but their names may be those of patients.
    shown = written if parts is None else parts
    source = _assigned(source, shown)
    if not training or len(set(shown)) < 2 or not all(shown):
        return source
    if parts is None:
        note = f"{len(set(shown))} CSVs are cross-validated together; give one of them alone to keep it apart"
        return dataclasses.replace(source, notes=(*source.notes, note), parts=note)
    counts, way = _counts(parts), f"--split-column {column or FOLDERS} keeps it"
    note = f"the data have a split, in {origin} ({counts}), that is not kept: all are cross-validated together; {way}"
    return dataclasses.replace(source, notes=(*source.notes, note), parts=f"{counts}, together; {way}")


def _of_copies(source: Source, copies: Sequence[Path], reading: Reading) -> Source:
    """The images of folders that all have the same ones, which are no parts of a split, with a note."""
    names = some([folder.name for folder in copies])
    if reading.split_column is not None:
        raise UserError(
            f"--split-column {reading.split_column}: the folders {names} have the same images, so that a split into "
            f"these would validate on training images; give one of them as the data: {copies[0]}"
        )
    note = (
        f"warning: the folders {names} have the same images, each of which is here {len(copies)} times; give the path "
        f"of one of them as the data ({copies[0].name}), with its own split if it has one"
    )
    return dataclasses.replace(_assigned(source, None), notes=(*source.notes, note))


def _paths(source: Source) -> list[Path]:
    return [row.path for row in source.rows]


def _kept(
    source: Source,
    parts: Sequence[str] | None,
    written: Sequence[str | None],
    origin: str,
    option: str,
    *,
    training: bool,
) -> Source:
    flag = f"--split-column {option}"
    column = _column_of(origin)
    if parts is None and (training or _names_test(written, column)):
        raise UserError(f"{flag}: {_problem(source, written, column)}")
    source, num_test = _assigned(source, parts), Counter(parts)[TEST]
    if parts is None or not (training or num_test):
        # Lists of a test set have any value there, such as a fold that is none of the training data.
        note = f"{flag}: the test data have no part test, so all of them are used"
        return dataclasses.replace(source, notes=(*source.notes, note))
    if not training:
        note = f"{flag}: the {num_test} images of test, of {len(parts)}"
        rows = tuple(row for row in source.rows if row.split == TEST)
        return dataclasses.replace(source, rows=rows, notes=(*source.notes, note))
    rows = tuple(row for row in source.rows if row.split != TEST)
    found = {row.split or "" for row in rows}
    are_folds = len(found) > 1 and all(each.startswith("fold ") for each in found)
    if not are_folds and found not in ({TRAIN}, {TRAIN, VALIDATION}):
        raise UserError(
            f"{flag}: expected train, with validation or test, or at least 2 folds, got {_counts(parts)}; leave the "
            "option out to cross-validate over all"
        )
    counts = _counts([row.split or "" for row in rows])
    cross_validated = ", which is cross-validated" if found == {TRAIN} else ""
    left_out = f"; {num_test} images of test are left out, for leukemia.final --test" if num_test else ""
    if shared := _subjects_of(source, test=True) & _subjects_of(source, test=False):
        left_out += f", although {len(shared)} of their subjects have other images here"
    note = f"the split in {origin} is kept ({flag}): {counts}{cross_validated}{left_out}"
    return dataclasses.replace(source, rows=rows, notes=(*source.notes, note), parts=f"{counts}, kept apart{left_out}")


def _subjects_of(source: Source, *, test: bool) -> set[str]:
    """The subjects that are written, in their normal form, of the test images or of the others."""
    return {key(row.subject) for row in source.rows if row.subject and (row.split == TEST) == test}


def _problem(source: Source, written: Sequence[str | None], column: str) -> str:
    if not any(written):
        return (
            f"{source.root} has no such split; give a column of the CSV, or {FOLDERS} for folders or CSVs called "
            "train, validation and test, or fold_0, fold_1, ..."
        )
    if _are_flags(written, column):
        return (
            f"the column has {' and '.join(sorted(set(filter(None, written))))}, which may be folds or parts; write "
            "train, validation and test, or fold_0, fold_1, ...; or call the column is_valid or is_test (0 is train), "
            "or fold"
        )
    unknown = Counter(text or "" for text in written if part_of(text or "") is None)
    if all(map(_NUMBER.fullmatch, unknown)) and len(unknown) == len(set(written)):
        return f"expected folds numbered from 0 or 1 without gaps, got {some(sorted(unknown, key=float))}"
    names = sorted(text for text in set(written) if text and not _NUMBER.fullmatch(text))
    if any(map(_NUMBER.fullmatch, unknown)) and names and not _flagged(column):
        return (
            f"expected fold numbers in all rows, or train, validation and test in all, got {some(names)} beside "
            "numbers; move the rows of a test set to a CSV of their own, for leukemia.final --test"
        )
    # Numbers may be folds, and False and True a part, once the others are corrected.
    flags = _FLAGS if _flagged(column) else {}
    others = {
        text: number for text, number in unknown.items() if not _NUMBER.fullmatch(text) and text.casefold() not in flags
    } or unknown
    values = [f"{text or 'no value'}: {number} images" for text, number in sorted(others.items())]
    taken = [f"{text} as {part}" for text in names if (part := part_of(text))]
    known = f" ({', '.join(taken)} are read)" if taken else ""
    return f"expected train, validation and test, or fold numbers, in all rows{known}; correct these:\n{listed(values)}"


def _names_test(written: Sequence[str | None], column: str) -> bool:
    """Whether a value, or the name of a column that has any, is one for the part ``test``."""
    return TEST in map(part_of, {text or "" for text in written}) or (any(written) and _flagged(column) == TEST)


def _column_of(origin: str) -> str:
    """The lower-case name of the column that a split is from; empty for folders and CSVs."""
    return origin.removeprefix(_COLUMN) if origin.startswith(_COLUMN) else ""


def _are_flags(written: Iterable[str | None], column: str) -> bool:
    """Whether a column has only 0 and 1, or False and True, and not as the numbers of two folds."""
    return bool(column) and "fold" not in column and all((text or "").casefold() in _FLAGS for text in written)


def _flagged(column: str) -> str | None:
    """The part that 1 stands for in a column of this name, where 0 is ``train``; None if its name does not say so."""
    part = part_of(column.removeprefix("is"))
    # What is not for training may be for validation or for the test.
    return part if part in (VALIDATION, TEST) else None


def _parts(written: Sequence[str | None], column: str) -> list[str] | None:
    """The part of each image; None unless each has one."""
    values = set(written)
    if None in values or "" in values:
        return None
    texts = {text for text in values if text is not None}
    numbers = {text: match for text in texts if (match := _NUMBER.fullmatch(text))}
    names: dict[str, str | None]
    if _are_flags(texts, column):
        part = _flagged(column)
        names = {text: part if part is None or _FLAGS[text.casefold()] else TRAIN for text in texts}
    elif len(numbers) == len(texts):
        names = {text: f"fold {int(match[1])}" for text, match in numbers.items()}
        if not _consecutive({int(match[1]) for match in numbers.values()}):
            return None
    else:
        names = {text: part_of(text) for text in texts}
    parts = [names[text] for text in written if text is not None]
    return [part for part in parts if part is not None] if all(parts) else None


def _consecutive(numbers: set[int]) -> bool:
    return sorted(numbers) in (list(range(len(numbers))), list(range(1, len(numbers) + 1)))


def in_folders(source: Source) -> list[str | None]:
    """The folder of each image at the outermost level where all folders are named for parts, of which there are two."""
    folders = [row.path.relative_to(source.root).parts[:-1] for row in source.rows]
    for level in range(min(map(len, folders), default=0)):
        names = [each[level] for each in folders]
        if len({part_of(name) for name in set(names)} - {None}) > 1 and all(map(part_of, set(names))):
            return list(names)
    return [None] * len(folders)


def _assigned(source: Source, parts: Sequence[str | None] | None) -> Source:
    values = [None] * len(source.rows) if parts is None else parts
    rows = (dataclasses.replace(row, split=part) for row, part in zip(source.rows, values, strict=True))
    return dataclasses.replace(source, rows=tuple(rows))


def _counts(parts: Sequence[str | None]) -> str:
    order = [TRAIN, VALIDATION, TEST]
    numbers = Counter(part or "" for part in parts)
    if len(numbers) > MOST_COUNTED:
        return f"{len(numbers)} parts with {min(numbers.values())} to {max(numbers.values())} images"
    names = sorted(numbers, key=lambda name: (order.index(name) if name in order else len(order), len(name), name))
    return ", ".join(f"{numbers[name]} {name}" for name in names) + " images"
