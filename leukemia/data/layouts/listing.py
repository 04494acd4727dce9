"""The rows of a CSV that lists images, as text, with the column of their paths."""

from __future__ import annotations

import dataclasses
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from leukemia.base.errors import UserError, listed
from leukemia.base.quantity import are, have, quantity
from leukemia.data.layouts import path_column
from leukemia.data.layouts.csv_file import read_csv
from leukemia.data.layouts.file_index import FileIndex
from leukemia.data.layouts.name_ids import images_by_id
from leukemia.data.layouts.one_hot import one_hot_columns, one_hot_word
from leukemia.data.layouts.uploaded_names import names_on_disk
from leukemia.data.subject_words import looks_like_subjects
from leukemia.data.subjects import NotApplicable

IMAGE_OF_FOLDER = "image of the folder"
"""The column of paths of a listing whose rows stood for folders; not in the file."""

TABLE = "table of the row"
"""The column of the path of the CSV of each row, in a listing of several; not in the file."""

IN_FOLDERS, IN_NAMES = "in folders", "in files with names"
"""Where the images of a row are, if it stands for several."""

# As a spreadsheet writes long numbers, of which it keeps a few digits.
_ROUNDED = re.compile(r"\d[.,]\d+E\+\d+", re.IGNORECASE)
_BREAK = re.compile(r"[\r\n]")
_WORDS = re.compile(r"[^\W_]+")
# Letters that are taken for digits.
_ALIKE = str.maketrans("oil", "011")


@dataclass(frozen=True, kw_only=True)
class Listing:
    """The rows of a CSV, as text."""

    path: Path
    base: Path
    """The folder that relative paths are below; it may not exist."""

    columns: tuple[str, ...]
    """The header, as written."""

    rows: tuple[tuple[int, dict[str, str]], ...]
    """Line number in the file and the stripped values by lower-case column."""

    notes: tuple[str, ...] = ()
    """How the file was read, one line each."""

    path_column: str | None = None
    """The column of paths, in lower case; None if there is none."""

    one_hot: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Columns that are not in the file: the name of the one that has the 1, for each set of one-hot columns. A name is
    those of the columns of its set, in lower case, with commas."""

    folder_column: str | None = None
    """The column of folders, as written, if the rows of the file stand for these: each is repeated for every image in
    its folder. None: they stand for images."""

    is_in_names: bool = False
    """Whether the values of ``folder_column`` are parts of the names of files, rather than folders."""

    joined: tuple[Path, ...] = ()
    """Other tables whose columns were joined to the rows."""

    def has(self, *columns: str) -> bool:
        """Whether the header has all these columns, ignoring case."""
        return {*(column.lower() for column in self.columns), *self.one_hot} >= set(columns)

    def column(self, name: str) -> list[str]:
        """The values of a column, given by its lower-case name.

        Raises:
            UserError: one has a line break, which only columns that are not read may have.
        """
        broken = [f"row {number}: {values[name]!r}" for number, values in self.rows if _BREAK.search(values[name])]
        self.reject(f"expected one line in every value of the column {name}; correct these", broken)
        return [values[name] for _, values in self.rows]

    @property
    def num_rows(self) -> int:
        """How many rows the file has, whether they stand for images or for folders."""
        return len({number for number, _ in self.rows})

    @property
    def has_row_per_image(self) -> bool:
        """Whether the rows of the file stand for images."""
        return self.folder_column is None

    @property
    def name_column(self) -> str | None:
        """The column of what the list calls its images: ``id`` if there is one, else the paths."""
        return "id" if self.has("id") and self.has_row_per_image else self.path_column

    def subjects(self, column: str | None, default: str) -> tuple[list[str | None], tuple[str, ...]]:
        """The subjects as written, None if no column has them; and columns that look like subjects but are not read,
        unless they are empty.

        Args:
            column: the column to read, ignoring case; None: ``default``, if there is one.

        Raises:
            NotApplicable: there is no such column.
            UserError: ids are numbers such as ``8,00E+06``, of which several patients may have the same.
        """
        if column is not None and not self.has(column.strip().lower()):
            raise NotApplicable(
                f"{self.path}: --subject-column {column}: expected one of the columns {', '.join(self.columns)}"
            )
        read = (column or default).strip().lower()
        others = (name for name in self.columns if name.lower() != read and looks_like_subjects(name))
        unread = tuple(name for name in others if any(values[name.lower()] for _, values in self.rows))
        if not self.has(read):
            return [None] * len(self.rows), unread
        rounded = [f"row {number}: {values[read]}" for number, values in self.rows if _ROUNDED.fullmatch(values[read])]
        message = f"a spreadsheet has rounded the ids in the column {read}; export them again as text"
        self.reject(message, list(dict.fromkeys(rounded)))
        return list(self.column(read)), unread

    def reject(self, message: str, offenders: list[str], kind: type[UserError] = UserError) -> None:
        """Raise an error that lists the offenders, if any."""
        if offenders:
            raise kind(f"{self.path}: {message}:\n{listed(offenders)}")


def read_listing(path: Path, base: str | Path | None = None) -> Listing:
    """Read a CSV (``read_rows``), and find its column of paths.

    Args:
        base: the folder that paths are relative to; None: that of the CSV.

    Raises:
        UserError: as ``read_rows``.
    """
    return with_one_hot(_with_paths(read_rows(path, base)))


def read_rows(path: Path, base: str | Path | None = None) -> Listing:
    """Read a CSV (``read_csv``) with a header and at least one row, whose column of paths is not known.

    Raises:
        UserError: as ``read_csv``; no rows, a duplicate column, or rows whose length differs from the header.
    """
    file = read_csv(path)
    _, columns = file.header
    keys = [column.lower() for column in columns]
    twice = sorted(key for key, number in Counter(keys).items() if key and number > 1)
    if twice:
        raise UserError(f"{path}: duplicate column {', '.join(twice)}; keep one")
    if not file.rows:
        raise UserError(f"{path}: the CSV has a header but no rows; expected a row per image")
    listing = Listing(
        path=path,
        base=Path(base or path.parent),
        columns=tuple(columns),
        rows=tuple((number, dict(zip(keys, row, strict=False))) for number, row in file.rows),
        notes=file.notes,
    )
    if all(len(row) == len(keys) + 1 for _, row in file.rows):
        raise UserError(
            f"{path}: every row has {len(keys) + 1} values, but the header {len(keys)}; if the first is an index, "
            "begin the header with a separator; if the last is empty, end it with one"
        )
    uneven = [f"row {number}: {len(row)} values" for number, row in file.rows if len(row) != len(keys)]
    listing.reject(f"expected {len(keys)} values in every row, as in the header", uneven)
    return listing


def with_one_hot(listing: Listing) -> Listing:
    """The listing with a column for each set of one-hot columns."""
    columns = {name: [values[name.lower()] for _, values in listing.rows] for name in listing.columns if name}
    sets = {", ".join(names).lower(): names for names in one_hot_columns(columns)}
    rows = listing.rows
    for title, names in sets.items():
        keys = [name.lower() for name in names]
        rows = tuple(
            (number, values | {title: one_hot_word(names, [values[key] for key in keys])}) for number, values in rows
        )
    return dataclasses.replace(listing, rows=rows, one_hot=sets)


def _with_paths(listing: Listing) -> Listing:
    """The listing with its column of paths, if it has one; rows that stand for folders are repeated for each image."""
    named = next((name for name in path_column.NAMES if listing.has(name)), None)
    if not listing.base.is_dir():
        return dataclasses.replace(listing, path_column=named)
    keys = [column.lower() for column in listing.columns[: path_column.MOST_COLUMNS] if column]
    keys += [named] if named is not None and named not in keys else []
    columns = {key: [values[key] for _, values in listing.rows] for key in keys}
    root = listing.base.resolve()
    if renamed := names_on_disk(columns, root):
        columns |= renamed
        listing = _with_values(listing, renamed)
    index = FileIndex(root)
    if named is not None and (finer := path_column.finer_column(columns, named, root, index)) is not None:
        return dataclasses.replace(listing, path_column=finer)
    if named is not None and path_column.is_there(columns[named][0], root):
        return dataclasses.replace(listing, path_column=named)
    is_usual = named is not None and path_column.has_images(columns[named], index, root)
    usual = {named: columns[named]} if named is not None and is_usual else columns
    if (found := path_column.found_column(listing.path, usual, index, root)) is not None:
        return dataclasses.replace(listing, path_column=found)
    if (folders := path_column.folder_column(listing.path, usual, index)) is not None:
        images = {text: path_column.images_in(text, index) for text in columns[folders]}
        return _of_folders(listing, folders, images, index, root, IN_FOLDERS)
    ids, without_zeros = path_column.id_columns(usual), FileIndex(root, ignores_zeros=True)
    unpadded = path_column.found_column(listing.path, ids, without_zeros, root)
    if unpadded is None and (folders := path_column.patient_folders(usual, without_zeros)) is not None:
        images = {text: path_column.images_in(text, without_zeros) for text in columns[folders]}
        return _of_folders(listing, folders, images, without_zeros, root, IN_FOLDERS)
    if is_usual or unpadded is not None:
        return dataclasses.replace(listing, path_column=named or unpadded)
    unnamed = {"": [values[""] for _, values in listing.rows]} if listing.columns.count("") == 1 else {}
    if (sure := path_column.sure_column(unnamed | columns, index, root)) is not None:
        return dataclasses.replace(listing, path_column=sure)
    if named is None and (found_ids := images_by_id(columns, index)) is not None:
        return _of_folders(listing, *found_ids, index, root, IN_NAMES)
    return dataclasses.replace(listing, path_column=named)


def _with_values(listing: Listing, columns: Mapping[str, Sequence[str]]) -> Listing:
    """The listing with other values in some columns, given by their lower-case names."""
    rows = tuple(
        (number, values | {name: each[index] for name, each in columns.items()})
        for index, (number, values) in enumerate(listing.rows)
    )
    return dataclasses.replace(listing, rows=rows)


def _of_folders(
    listing: Listing, column: str, images: Mapping[str, Sequence[Path]], index: FileIndex, root: Path, place: str
) -> Listing:
    """A row for each image of the values of a column, such as folders, with its path in a new column.

    Rows without images are left out, but for those whose value differs in its spelling only from that of an image
    without a row: such a row keeps its value, which is refused with the images that are missing.
    """
    rows: list[tuple[int, dict[str, str]]] = []
    absent = []
    for number, values in listing.rows:
        paths = [path.relative_to(root).as_posix() for path in images.get(values[column], ())]
        rows += [(number, values | {IMAGE_OF_FOLDER: path}) for path in paths]
        absent += [] if paths else [(number, values | {IMAGE_OF_FOLDER: values[column]})]
    name = next(each for each in listing.columns if each.lower() == column)
    notes = list(listing.notes)
    listed_images = {values[IMAGE_OF_FOLDER] for _, values in rows}
    every = [path.relative_to(root) for path in index.images_below(root)]
    if others := [path for path in every if path.as_posix() not in listed_images]:
        notes.append(
            f"{quantity(len(others), 'image')} {are(len(others))} {place} without a row of the CSV, and not read"
        )
    spellings = {_spelling(text) for path in others for text in (*path.parts[:-1], *_WORDS.findall(path.stem))}
    misspelt = [row for row in absent if _spelling(row[1][column]) in spellings]
    rows += misspelt
    if num_absent := len(absent) - len(misspelt):
        notes.append(f"{quantity(num_absent, 'row')} of the CSV {have(num_absent)} no images")
    return dataclasses.replace(
        listing,
        rows=tuple(rows),
        path_column=IMAGE_OF_FOLDER,
        folder_column=name,
        is_in_names=place == IN_NAMES,
        notes=tuple(notes),
    )


def _spelling(text: str) -> str:
    """What the spellings of an id have in common.

    >>> [_spelling(text) for text in ("E-60", "e_6O", "P 01", "P1", "Pl")]
    ['e60', 'e60', 'p1', 'p1', 'p1']
    """
    letters = re.sub(r"[\W_]", "", text.casefold()).translate(_ALIKE)
    return re.sub(r"(?<!\d)0+(?=\d)", "", letters)
