"""Tables beside images with classes in folders or names, with a row for each folder of a patient, an order or a slide,
or for each of these in the names of files: they have the subjects of the images."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from leukemia.base.errors import UserError
from leukemia.data.classes import LabelError
from leukemia.data.layouts.class_folders import class_folders
from leukemia.data.layouts.file_words import named_by_class
from leukemia.data.layouts.label_column import label_column, read_labels
from leukemia.data.layouts.listing import Listing, read_rows
from leukemia.data.layouts.name_ids import MOST_IDS, ids_of
from leukemia.data.layouts.source import Row, Source, walk
from leukemia.data.layouts.tables import is_table
from leukemia.data.reading import Reading
from leukemia.data.subject_words import looks_like_subjects

LEAST_IMAGES = 0.9
"""Such a share of the images is in a folder of one of the rows."""

MOST_TABLES = 5
"""So many tables are tried."""

_SEPARATORS = "_-. "


@dataclass(frozen=True, kw_only=True)
class FolderTable:
    """A table whose rows stand for folders at one level above the images, or for a part of the names of files."""

    listing: Listing
    column: str
    """As written: its values are the names of the folders, or what these begin with, as ``12`` of ``12_slide1``; or
    parts of the names of files."""

    is_in_names: bool = False
    """Whether the values are parts of the names of files."""

    rows: Mapping[Path, Mapping[str, str]]
    """The row of each image that has one, by lower-case column."""

    @property
    def subjects(self) -> tuple[str, ...]:
        """The columns, as written, that are called like subjects."""
        return tuple(name for name in self.listing.columns if looks_like_subjects(name))


def with_folder_subjects(data: Path, reading: Reading, *, folders: Sequence[Path]) -> Source | None:
    """The images of class folders, with the subjects that a table has for their other folders in ``--subject-column``;
    None if there is no such table, or no such classes.

    If the words of ``--classes``, or known words, are labels of the table as well, its rows are read instead.

    Args:
        data: the folder that was given.
        folders: where class folders are looked for, ``data`` first.
    """
    wanted = (reading.subject_column or "").strip().lower()
    if not wanted or reading.label_column is not None or reading.base is not None:
        return None
    readers = (partial(read, folder) for read in (class_folders, named_by_class) for folder in folders)
    source = next(filter(None, (_read(reader, reading) for reader in readers)), None)
    if source is None:
        return None
    for table in folder_tables(data, source.rows):
        if table.listing.has(wanted) and not _has_labels(table.listing, reading):
            rows = tuple(
                dataclasses.replace(row, subject=table.rows[row.path][wanted] if row.path in table.rows else None)
                for row in source.rows
            )
            path = table.listing.path
            what = (
                "parts of the names of files" if table.is_in_names else "the names of folders, or what these begin with"
            )
            note = (
                f"subjects are read from the column {reading.subject_column} of {path.name}, whose column "
                f"{table.column} has {what}"
            )
            tables = (*source.tables, path)
            return dataclasses.replace(source, rows=rows, tables=tables, named_notes=(*source.named_notes, note))
    return None


def with_subject_columns(source: Source, data: Path) -> Source:
    """The images of folders, with the columns that ``--subject-column`` would read from a table of these."""
    columns = dict.fromkeys(name for table in folder_tables(data, source.rows) for name in table.subjects)
    return dataclasses.replace(source, unread_columns=(*source.unread_columns, *columns))


def folder_tables(data: Path, rows: Sequence[Row]) -> list[FolderTable]:
    """The tables below ``data`` with a row for each folder, at one level, that has the images.

    Args:
        rows: the images; those without a label are left out, and need no row.
    """
    used = [row.path for row in rows if row.label is not None] or [row.path for row in rows]
    found = []
    words = {row.word for row in rows}
    for path in [path for path in walk(data) if is_table(path)][:MOST_TABLES]:
        try:
            listing = read_rows(path)
        except UserError:
            continue
        table = _of_folders(listing, used, data, words) or _of_names(listing, used)
        if table is not None:
            found.append(table)
    return found


def _of_folders(
    listing: Listing, paths: Sequence[Path], data: Path, words: Collection[str | None]
) -> FolderTable | None:
    """The table, if it has a row for each folder of a level that is not that of the classes."""
    inside = {path: path.relative_to(data).parts[:-1] for path in paths}
    for name in filter(None, listing.columns):
        by_id = {values[name.lower()].casefold(): values for _, values in listing.rows}
        if len(by_id) < len(listing.rows) or "" in by_id:
            continue
        for level in range(max(map(len, inside.values()), default=0)):
            names = {folders[level] for folders in inside.values() if len(folders) > level}
            ids = {folder: _id_of(folder, by_id) for folder in names - set(words)}
            rows = {
                path: by_id[key]
                for path, folders in inside.items()
                if len(folders) > level and (key := ids.get(folders[level])) is not None
            }
            if len(set(ids.values()) - {None}) > 1 and len(rows) >= LEAST_IMAGES * len(paths):
                return FolderTable(listing=listing, column=name, rows=rows)
    return None


def _of_names(listing: Listing, paths: Sequence[Path]) -> FolderTable | None:
    """The table, if it has a row for each id at one place of the names of files."""
    for name in filter(None, listing.columns):
        by_id = {values[name.lower()]: values for _, values in listing.rows}
        if len(by_id) < len(listing.rows) or "" in by_id or not 1 < len(by_id) <= MOST_IDS:
            continue
        if not all(map(str.isdecimal, by_id)) and (found := ids_of(list(by_id), paths)):
            rows = {path: by_id[each] for each, images in found.items() for path in images}
            return FolderTable(listing=listing, column=name, rows=rows, is_in_names=True)
    return None


def _id_of(folder: str, ids: Iterable[str]) -> str | None:
    """The id that a folder is called, or the longest one that it begins with; None if there is none.

    >>> [_id_of(folder, {"23-10", "23-1"}) for folder in ("23-10", "23-10_2", "23-1_2", "23-104")]
    ['23-10', '23-10', '23-1', None]
    """
    name = folder.casefold()
    ids = set(ids)
    ends = [len(name), *(place for place in range(len(name) - 1, 0, -1) if name[place] in _SEPARATORS)]
    return next((name[:end] for end in ends if name[:end] in ids), None)


def _has_labels(listing: Listing, reading: Reading) -> bool:
    """Whether the table has the labels that are asked for."""
    try:
        column = label_column(listing, reading, required=True)[0]
        return column is not None and bool(read_labels(listing, column, reading, required=True))
    except LabelError:
        return False


def _read(reader: partial[Source | None], reading: Reading) -> Source | None:
    """What a reader of folders finds; None if it refuses, which is said later."""
    try:
        return reader(reading)
    except UserError:
        return None
