"""The text of a CSV: its encoding, separator and comments, and its rows, none of which may be lost in a value."""

from __future__ import annotations

import codecs
import contextlib
import csv
import io
import itertools
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from leukemia.base.errors import UserError
from leukemia.base.files import open_file
from leukemia.base.quantity import are, have, quantity
from leukemia.data.layouts.record_file import SUFFIXES as RECORDS
from leukemia.data.layouts.record_file import table_of
from leukemia.data.layouts.signed_lists import has_signed_ids
from leukemia.data.layouts.source import is_image
from leukemia.data.layouts.tables import LISTED
from leukemia.data.layouts.title_lines import MOST_TITLES, Record, is_footnote, is_title, num_bare_titles

MAX_MEGABYTES = 200
"""A larger file is not a list of images; reading it could take all memory. That is about two million rows."""

SEPARATORS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "vertical bars"}
"""What may separate values, and its name."""

# UTF-32 first: its mark begins with that of UTF-16.
_MARKS = {
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
_EXCEL = "cp1252"
# Written by Excel, as the first line.
_SEP_LINE = re.compile(r'"?sep=([,;\t|])"?', re.IGNORECASE)
_COMMENT = "#"


@dataclass(frozen=True, kw_only=True)
class CsvFile:
    """The header and the rows of a CSV, as text."""

    header: Record
    rows: tuple[Record, ...]
    notes: tuple[str, ...]
    """What was detected, one line each."""


def read_csv(path: Path) -> CsvFile:
    """Read a text file of values: UTF-8, UTF-16 or UTF-32 with a byte order mark, or Windows-1252, as Excel writes it.

    The separator is one of ``SEPARATORS``: that of a first line ``sep=;``, else detected. Without any, the first blank
    after the path of an image is one, as in lists ``a.png 0``, or after an id, as in VOC's lists ``a -1``. Blank
    lines are ignored. A line that begins with ``#`` is a comment above the header; below it, if a blank follows or if
    it is not as long as the header. A file whose first line is an image, or an image and a value, or a file of such
    ids, has the header ``Path,label``. Lines above the header with one value, and several empty ones or no separator,
    are titles, and lines at the end with one value and empty ones are remarks, if they are texts. Files of records
    (``record_file``) are read as tables.

    Raises:
        UserError: not such a file, larger than ``MAX_MEGABYTES``, no header, quotation marks that are not closed, or a
            value with a line break that may have taken in rows.
    """
    if path.suffix.lower() in RECORDS:
        return _of_records(path)
    content = _read(path)
    text, encoding = _decoded(path, content)
    lines = io.StringIO(text, newline="").readlines()
    if lines and "\0" in lines[0]:
        # UTF-16 without its mark; within a row, it is in a name.
        raise UserError(f"{path}: expected a CSV in UTF-8, got bytes of value 0; export it again as CSV UTF-8")
    named = _SEP_LINE.fullmatch(lines[0].strip(" \r\n")) if lines else None
    skipped = 1 if named else 0
    separator, num_titles = named[1] if named else _detected(path, lines), 0
    if not named and (below := _below_titles(path, lines)) is not None:
        skipped, separator, num_titles = below
    are_signed = not named and has_signed_ids(lines)
    if are_blanks := not named and separator == "," and (are_signed or _have_blanks(lines)):
        lines, separator = [_with_tab(line) for line in lines], "\t"
    records = _Records(path, lines, skipped, separator)
    every = list(records) or [(0, [])]
    titles = list(itertools.takewhile(is_title, every[:-1]))
    header, *rows = every[len(titles) :]
    footnotes = list(itertools.takewhile(is_footnote, reversed(rows))) if len(header[1]) > 2 else []
    rows = rows[: len(rows) - len(footnotes)] or rows
    if not header[1]:
        raise UserError(f"{path}: the CSV is empty; expected the columns Path and label, and a row per image")
    notes = []
    if encoding == _EXCEL:
        notes.append(
            "the CSV is not in UTF-8 and was read as Windows-1252; if letters are wrong, export it as CSV UTF-8"
        )
    elif not encoding.startswith("utf-8"):
        notes.append(f"the CSV is in {encoding.upper()}")
    if are_blanks:
        notes.append("the values in the CSV are separated by blanks")
    elif separator != ",":
        notes.append(f"the values in the CSV are separated by {SEPARATORS[separator]}")
    num_titles += len(titles)
    if num_titles:
        notes.append(
            f"{quantity(num_titles, 'line')} above the header of the CSV {have(num_titles)} one value "
            f"each, and {are(num_titles)} not read"
        )
    if footnotes and len(footnotes) < len(every) - len(titles) - 1:
        number = len(footnotes)
        notes.append(
            f"{quantity(number, 'line')} at the end of the CSV {have(number)} one value each, which is a text, and "
            f"{are(number)} not read"
        )
    if records.num_comments:
        number = records.num_comments
        verbs = "begins with # and was taken as a comment" if number == 1 else "begin with # and were taken as comments"
        notes.append(f"{quantity(number, 'line')} in the CSV {verbs}")
    return _with_header(CsvFile(header=header, rows=tuple(rows), notes=tuple(notes)), are_signed=are_signed)


def _of_records(path: Path) -> CsvFile:
    """A file of records as a table, whose rows are numbered from 1."""
    table = table_of(path)
    if table is None:
        raise UserError(f"{path}: expected records with the names of images; write a CSV Path,label from it")
    columns, records = table
    rows = tuple((number, [each.get(name, "") for name in columns]) for number, each in enumerate(records, 1))
    return CsvFile(header=(0, columns), rows=rows, notes=("the records of the file are read as the rows of a CSV",))


def _with_header(file: CsvFile, *, are_signed: bool) -> CsvFile:
    """A file whose first line is an image, or an image and a value, with a header."""
    number, values = file.header
    are_images = [True, False] if are_signed else [is_image(Path(value)) for value in values[:3]]
    if len(values) > 2 or sum(are_images) != 1:
        return file
    header = ["Path" if each else "label" for each in are_images]
    note = f"the CSV has no header: its columns were taken as {' and '.join(header)}"
    return CsvFile(header=(0, header), rows=((number, values), *file.rows), notes=(*file.notes, note))


def _decoded(path: Path, content: bytes) -> tuple[str, str]:
    """The text of a file, and its encoding."""
    marked = next((name for mark, name in _MARKS.items() if content.startswith(mark)), None)
    try:
        return content.decode(marked or "utf-8"), marked or "utf-8"
    except UnicodeDecodeError as error:
        wanted = (marked or "utf-8").removesuffix("-sig").upper()
        wrong = UserError(f"{path}: expected a CSV in {wanted} ({error}); export it again as CSV UTF-8")
    if marked is None and b"\0" not in content:
        # Text in another encoding of one byte a letter only gets other letters, and no path of it would exist.
        with contextlib.suppress(UnicodeDecodeError):
            return content.decode(_EXCEL), _EXCEL
    raise wrong


def _read(path: Path) -> bytes:
    try:
        with open_file(path) as stream:
            num_bytes = os.fstat(stream.fileno()).st_size
            if num_bytes <= MAX_MEGABYTES * 1_000_000:
                return stream.read()
    except OSError as error:
        raise UserError(f"cannot read {path} ({error.strerror})") from None
    raise UserError(
        f"{path}: expected a CSV of at most {MAX_MEGABYTES} MB, got {num_bytes / 1e6:,.0f} MB; give the list of images"
    )


def _detected(path: Path, lines: list[str]) -> str:
    """The separator of which the header has most, if possible among those of which the first row has as many."""
    widths = {separator: [len(values) for _, values in _first(path, lines, separator, 2)] for separator in SEPARATORS}
    several = [separator for separator, found in widths.items() if found and found[0] > 1]
    equal = [separator for separator in several if len(set(widths[separator])) == 1]
    return max(equal or several, key=lambda each: widths[each][0], default=",")


def _have_blanks(lines: list[str]) -> bool:
    """Whether the second line, or the only one, is a path of an image and a value, and no other separator occurs."""
    first = [line for line in lines if line.strip()][:2]
    found = LISTED.match(first[-1]) if first else None
    rest = first[-1][found.end() :] if found else ""
    return bool(rest.strip()) and rest[0] == " " and not any(each in line for line in first for each in SEPARATORS)


def _with_tab(line: str) -> str:
    """A line with a tab in the place of the blanks after its path, or after the first word of a header."""
    found = LISTED.match(line)
    path, blank, value = (line[: found.end()], " ", line[found.end() :]) if found else line.partition(" ")
    return f"{path}\t{value.lstrip(' ')}" if blank and value.strip() else line


def _below_titles(path: Path, lines: list[str]) -> tuple[int, str, int] | None:
    """The index of the header below titles without separators, its separator, and the number of titles; None without
    any."""
    first = {separator: _first(path, lines, separator, MOST_TITLES + 2) for separator in SEPARATORS}
    found = {separator: number for separator, records in first.items() if (number := num_bare_titles(records))}
    widths = [[len(values) for _, values in records[:2]] for records in first.values()]
    if not found or any(len(each) == 2 and 1 < each[0] == each[1] for each in widths):
        return None
    separator = max(found, key=lambda each: len(first[each][found[each]][1]))
    number, _ = first[separator][found[separator]]
    return number - 1, separator, found[separator]


def _first(path: Path, lines: list[str], separator: str, number: int) -> list[Record]:
    """The header and the first rows, as far as they can be read."""
    found: list[Record] = []
    # The row is named when the file is read.
    with contextlib.suppress(UserError):
        found.extend(itertools.islice(_Records(path, lines, 0, separator), number))
    return found


class _Records:
    """The rows of a CSV, the header first, without blank lines and comments."""

    def __init__(self, path: Path, lines: list[str], num_skipped: int, separator: str) -> None:
        self._path, self._lines, self._separator = path, lines, separator
        self._next = num_skipped
        """Index of the next line."""
        self._width = 0
        """Number of values in the header; 0 above it."""
        self.num_comments = 0

    def __iter__(self) -> Iterator[Record]:
        start = self._next
        reader = csv.reader(self._taken(), delimiter=self._separator, strict=True, skipinitialspace=True)
        while True:
            self._skip_comments()
            start = self._next
            try:
                values = next(reader, None)
            except csv.Error as error:
                raise self._unreadable(start, str(error)) from None
            if values is None:
                return
            self._check_breaks(start, values)
            values = [value.strip() for value in values]
            if any(values):
                self._width = self._width or len(values)
                yield start + 1, values

    def _taken(self) -> Iterator[str]:
        while self._next < len(self._lines):
            self._next += 1
            yield self._lines[self._next - 1]

    def _skip_comments(self) -> None:
        """Skip comments where a row would begin; a line within quotation marks is none."""
        while self._next < len(self._lines) and self._is_comment(self._lines[self._next]):
            self._next += 1
            self.num_comments += 1

    def _is_comment(self, line: str) -> bool:
        if not line.startswith(_COMMENT):
            return False
        return not self._width or line[1:2].isspace() or self._naive_width(line) != self._width

    def _check_breaks(self, start: int, values: list[str]) -> None:
        """Refuse values that may have taken in a row, because a quotation mark is not closed.

        A row that is taken in brings its separators with it: in all, one fewer than the header has values.
        """
        broken = next((value for value in values if "\n" in value or "\r" in value), None)
        if broken is not None and sum(value.count(self._separator) for value in values) >= self._width - 1:
            raise self._unreadable(start, f"a line break in {broken[:40]!r}")

    def _naive_width(self, line: str) -> int:
        return line.count(self._separator) + 1

    def _unreadable(self, start: int, reason: str) -> UserError:
        return UserError(
            f"{self._path}: row {start + 1}: expected values separated by {SEPARATORS[self._separator]}, each at most "
            f"{csv.field_size_limit()} characters, with quotation marks in pairs ({reason}); correct it"
        )
