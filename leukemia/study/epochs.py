"""``epochs.csv`` and ``repeated.csv``: one line per epoch, each with a checksum."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path

import pandas as pd

from leukemia.base.errors import UserError
from leukemia.base.files import write_text
from leukemia.base.record import RESTORE, changed
from leukemia.config.results import Epoch
from leukemia.study.field_types import MOST_SECONDS
from leukemia.study.records import parse_table, read_bytes

EPOCH_COLUMNS = tuple(field.name for field in dataclasses.fields(Epoch))
"""Columns of ``epochs.csv``. Seed, fold and epoch are integers, the rest floats."""

REPEATED_COLUMNS = ("seed", "fold", "epoch", "seconds")
"""Columns of ``repeated.csv``."""

CHECKSUM = "checksum"
"""Last column of the file: the first 16 hexadecimal digits of the SHA-256 of the line and the checksum before it; of
the first line, that of the file's place instead."""


def write_epochs(path: Path, table: pd.DataFrame, place: str = "") -> None:
    """Write epochs with the checksum of each line; ``place`` as for ``write_record``."""
    header, *lines = table.to_csv(index=False).splitlines()
    sums = _checksums(lines, place)
    rows = [f"{line},{checksum}" for line, checksum in zip(lines, sums, strict=True)]
    write_text(path, "\n".join([f"{header},{CHECKSUM}", *rows]) + "\n")


def read_epochs(path: Path, columns: Sequence[str], place: str = "") -> pd.DataFrame:
    """Seed, fold and epoch int64, the rest float64; without the checksums, which are verified. Empty without a file.

    Files of earlier versions have no checksums, or those without a place.

    Raises:
        UserError: a line was changed after it was written; other columns; a seed, fold or epoch that is not an integer
            or too small, or invalid seconds.
    """
    if not path.is_file():
        return pd.DataFrame(columns=list(columns))
    table = parse_table(path, _verified(path, read_bytes(path), place), columns, exact=columns[3:])
    for column in columns[:3]:
        if len(table) and not pd.api.types.is_integer_dtype(table[column]):
            raise UserError(f"{path}: expected integers in column {column}; {RESTORE}")
        least = 1 if column == "epoch" else 0
        if (table[column] < least).any():
            raise UserError(f"{path}: expected {column} >= {least}, got {table[column].min()}; {RESTORE}")
    for seconds in table["seconds"]:
        # The negation also catches NaN.
        if not 0 <= seconds <= MOST_SECONDS:
            raise UserError(f"{path}: expected seconds from 0 to {MOST_SECONDS:g}, got {seconds!r}; {RESTORE}")
    return table


def _verified(path: Path, content: bytes, place: str) -> bytes:
    """The content without the column of checksums."""
    header, *lines = content.decode("utf-8", errors="replace").split("\n")
    columns, _, last = header.rpartition(",")
    if last != CHECKSUM:
        return content
    if lines[-1:] != [""]:
        raise changed(path, what="the last line")
    values, found = [line.rpartition(",")[0] for line in lines[:-1]], [line.rpartition(",")[2] for line in lines[:-1]]
    expected = list(_checksums(values, place))
    if found != expected and found != list(_checksums(values, "")):
        row = next(row for row, pair in enumerate(zip(found, expected, strict=True)) if pair[0] != pair[1])
        raise changed(path, place, f"line {row + 2}, or one before it,")
    return "\n".join([columns, *values, ""]).encode()


def _checksums(lines: Sequence[str], place: str) -> Iterator[str]:
    """Of each line, chained, so that a line that is missing or moved is found as well."""
    checksum = place
    for line in lines:
        checksum = hashlib.sha256(f"{checksum}\n{line}".encode()).hexdigest()[:16]
        yield checksum


def epochs_of(table: pd.DataFrame, seed: int) -> list[Epoch]:
    """The epochs of one seed in a table with ``EPOCH_COLUMNS``, in its order."""
    rows = table[table["seed"] == seed].to_dict("records")
    return [Epoch(**{str(name): value for name, value in row.items()}) for row in rows]
