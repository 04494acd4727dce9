"""Tables with a row for each patient, slide or the like, whose columns are joined to a table of images by an id."""

from __future__ import annotations

import contextlib
import dataclasses
import re
from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from leukemia.base.errors import UserError
from leukemia.data.classes import LabelError, normal_form
from leukemia.data.layouts.companions import names_companions
from leukemia.data.layouts.file_index import FileIndex
from leukemia.data.layouts.label_candidates import may_be_split
from leukemia.data.layouts.label_column import label_column
from leukemia.data.layouts.listing import Listing, read_rows, with_one_hot
from leukemia.data.layouts.part_tables import part_listings
from leukemia.data.layouts.source import direct_others, is_image, walk
from leukemia.data.layouts.tables import is_table
from leukemia.data.part_words import plain
from leukemia.data.reading import Reading
from leukemia.data.split import COLUMNS as SPLITS
from leukemia.data.subject_words import looks_like_subjects

MOST_TABLES = 12
"""Of more tables elsewhere, none are joined: they are of single images, or of patients."""

MOST_JOINS = 4
"""A table of images is joined with so many others, one after the other: cells, slides, patients."""

_NO_OWNERS = frozenset("id ids no nr num number code key name nummer n".split())


class Contradiction(LabelError):
    """Tables of which one must be moved away before anything is read."""


@dataclass(frozen=True, kw_only=True)
class _Join:
    """The columns that a table adds to another one."""

    path: Path
    files: tuple[Path, ...]
    """All files of the table."""

    column: str
    """Of the images' table, in lower case, whose values are the ids of the other one."""

    depth: int
    """How many of the last parts of a path are an id; 0: it is no path."""

    added: tuple[str, ...]
    """The names of the columns, as written."""

    values: dict[str, dict[str, str]]
    """Their values by id and lower-case column."""


def with_key_tables(listing: Listing, folder: Path, reading: Reading, *, is_given: bool) -> Listing:
    """A table of images with the columns of other tables, which have a row for each value of one of its columns.

    Of a table that has labels, or of one of the same images, only parts of a split and subjects are added: a patient's
    diagnosis is not the label of each of its cells.

    Args:
        listing: of any kind; only one with a row per image is changed.
        folder: the tables are in it or below; directly in it, if the path of the table was given.
        reading: the user's options.
        is_given: whether the path of the table was given: if it has labels, nothing but columns that options name is
            added.

    Raises:
        Contradiction: two tables have different values for an id.
    """
    if listing.path_column is None or not listing.has_row_per_image:
        return listing
    if is_given and _has_labels(listing, reading) and all(map(listing.has, _named(reading))):
        return listing
    files = direct_others(folder) if is_given else [path for path in walk(folder) if not is_image(path)]
    rest = _readable([path for path in files if is_table(path) and path.resolve() != listing.path.resolve()])
    rest += part_listings(files)
    for _ in range(MOST_JOINS):
        joins = [join for table in rest if (join := _join(listing, table, reading, is_given=is_given))]
        if not joins:
            return listing
        _check_equal(listing, joins)
        listing = _joined(listing, joins[0])
        rest = [table for table in rest if table.path != joins[0].path]
    return listing


def _named(reading: Reading) -> set[str]:
    """The columns that options name, in lower case."""
    names = (reading.label_column, reading.subject_column, reading.split_column)
    return {name.strip().lower() for name in names if name}


def _has_labels(listing: Listing, reading: Reading) -> bool:
    return label_column(listing, reading, required=False)[0] is not None


def _check_equal(listing: Listing, joins: Sequence[_Join]) -> None:
    """Refuse tables that say different things in a column of the same name, such as an old version of another one."""
    first = joins[0]
    for other in joins[1:]:
        names = {name.lower() for name in first.added} & {name.lower() for name in other.added}
        for values in (values for _, values in listing.rows):
            one = first.values.get(_key(values[first.column], first.depth))
            another = other.values.get(_key(values[other.column], other.depth))
            if one and another and (name := next((each for each in sorted(names) if one[each] != another[each]), None)):
                raise Contradiction(
                    f"{listing.path}: {first.path.name} and {other.path.name} have different values of {name} for "
                    f"{values[first.column]}; move one of them away"
                )


def _joined(listing: Listing, join: _Join) -> Listing:
    empty = {name.lower(): "" for name in join.added}
    rows = tuple(
        (number, values | join.values.get(_key(values[join.column], join.depth), empty))
        for number, values in listing.rows
    )
    absent = sum(_key(values[join.column], join.depth) not in join.values for _, values in listing.rows)
    without = f"; {absent} rows have none there" if absent else ""
    note = f"columns of another table, joined by {join.column or 'name'}: {', '.join(join.added)}{without}"
    return with_one_hot(
        dataclasses.replace(
            listing,
            columns=(*listing.columns, *join.added),
            rows=rows,
            notes=(*listing.notes, note),
            joined=(*listing.joined, *join.files),
        )
    )


def _join(listing: Listing, table: Listing, reading: Reading, *, is_given: bool) -> _Join | None:
    """How a table can be joined; None if it cannot, or adds nothing that is wanted."""
    for key in _ordered(table):
        for column in sorted(_columns(listing), key=lambda name: not _agree(name, table, key)):
            depth = _depth(listing, column, table, key)
            by_id: dict[str, list[dict[str, str]]] = defaultdict(list)
            for _, values in table.rows:
                by_id[_key(values[key], depth)].append(values)
            if not _is_key(listing, column, table, key, set(by_id), depth):
                continue
            names = [name for name in table.columns if name and name.lower() != key]
            constant = [
                name for name in names if all(len({row[name.lower()] for row in each}) == 1 for each in by_id.values())
            ]
            added = tuple(
                name for name in constant if _is_wanted(name, table, listing, column, reading, is_given=is_given)
            )
            if added:
                texts = {each: {name.lower(): same[0][name.lower()] for name in added} for each, same in by_id.items()}
                files = table.joined or (table.path,)
                return _Join(path=table.path, files=files, column=column, depth=depth, added=added, values=texts)
    return None


def _is_wanted(name: str, table: Listing, listing: Listing, column: str, reading: Reading, *, is_given: bool) -> bool:
    if listing.has(name.lower()):
        return False
    if name.lower() == (reading.label_column or "").strip().lower():
        # Another list of the same images is read itself.
        return column != listing.path_column
    if name.lower() in _named(reading):
        return True
    has_labels = _has_labels(listing, reading)
    is_split = name.lower() in SPLITS or may_be_split(name, [values[name.lower()] for _, values in table.rows])
    if is_split or name.lower() == "subject" or looks_like_subjects(name):
        return not (is_given and has_labels)
    return column != listing.path_column and not has_labels


def _ordered(table: Listing) -> list[str]:
    """The columns, in lower case, which may be ids, those of patients first."""
    names = [name.lower() for name in table.columns if name]
    return sorted(names, key=lambda name: (not looks_like_subjects(name), not name.endswith("id")))


def _columns(listing: Listing) -> list[str]:
    """The columns of a table of images, in lower case; that of the images last."""
    names = [name.lower() for name in listing.columns if name.lower() != listing.path_column]
    return [*names, *([] if listing.path_column is None else [listing.path_column])]


def _depth(listing: Listing, column: str, table: Listing, key: str) -> int:
    """How many of the last parts of a path are an id: those that all paths of both tables have; 0 for other columns."""
    if column != listing.path_column:
        return 0
    texts = [*(values[column] for _, values in listing.rows), *(values[key] for _, values in table.rows)]
    return max(1, min(len(_parts(text)) for text in texts))


def _is_key(listing: Listing, column: str, table: Listing, key: str, ids: set[str], depth: int) -> bool:
    """Whether the values of a column are ids of another table: nearly all of them, with names that agree if the ids are
    numbers or single letters, which may be anything."""
    texts = {row[column] for _, row in listing.rows}
    values = {_key(text, depth) for text in texts} - {""}
    shared = len(values & ids)
    if "" in ids or shared < 2:
        return False
    if depth:
        return len(values) == len(texts) == shared and (depth > 1 or _are_single(listing, texts))
    agree = _agree(column, table, key)
    if all(value.isdecimal() or len(value) == 1 for value in values):
        return agree and shared == len(values)
    return shared == len(values) or (agree and 2 * shared > len(values))


def _are_single(listing: Listing, texts: Collection[str]) -> bool:
    """Whether each name of an image is there once, apart from masks: images may be numbered in each folder."""
    root = listing.base.resolve()
    index = FileIndex(root)
    for name in (_parts(text)[-1] for text in texts if _parts(text)):
        folders = [path.relative_to(root).parts[:-1] for path in index.called(name)]
        if sum(not any(map(names_companions, each)) for each in folders) != 1:
            return False
    return True


def _agree(column: str, table: Listing, key: str) -> bool:
    """Whether two columns are called for the same thing, as ``patient`` and ``patient_id``, or ``id`` in a table
    ``patients``."""
    if column == key or (looks_like_subjects(column) and looks_like_subjects(key)):
        return True
    owners = _owners(column)
    return bool(owners & (_owners(key) or _owners(table.path.stem)))


def _owners(name: str) -> set[str]:
    words = {word.rstrip("s") for word in re.split(r"[\W_]+", plain(name)) if word}
    return words - _NO_OWNERS - {""}


def _key(text: str, depth: int) -> str:
    """The normal form of an id; of a path, that of its last parts, without the suffix of an image."""
    if not depth:
        return normal_form(text)
    name = "/".join(_parts(text)[-depth:])
    return normal_form(name.removesuffix(Path(name).suffix) if is_image(Path(name)) else name)


def _parts(text: str) -> list[str]:
    return [part for part in text.replace("\\", "/").split("/") if part not in ("", ".")]


def _readable(paths: Sequence[Path]) -> list[Listing]:
    """Tables, as far as they can be read; none if there are many."""
    found = []
    for path in paths if len(paths) <= MOST_TABLES else ():
        with contextlib.suppress(UserError):
            found.append(read_rows(path))
    return found
