"""Read and validate the CSV tables of a study folder."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from leukemia.base.errors import UserError, first_line
from leukemia.base.record import RESTORE
from leukemia.study.schema import MOST_SECONDS

FOLD_COLUMNS = ("image_id", "subject", "group", "label", "probability_leukemic")


def read_predictions(path: Path, num_images: int) -> pd.DataFrame:
    """``fold_K.csv``: ``FOLD_COLUMNS``, label int64, probability float64, the rest text.

    Raises:
        UserError: other columns, another number of rows, a label other than 0 and 1, or a probability outside 0..1.
    """
    table = read_table(path, FOLD_COLUMNS, exact=FOLD_COLUMNS[4:], text=FOLD_COLUMNS[:3])
    if len(table) != num_images:
        raise UserError(f"{path}: expected {num_images} rows, got {len(table)}; {RESTORE}")
    invalid = table.loc[~table["label"].map(str).isin(["0", "1"]), "label"]
    if len(invalid):
        raise UserError(f"{path}: expected labels 0 and 1, got {invalid.iloc[0]!s}; {RESTORE}")
    probabilities = table["probability_leukemic"].to_numpy(dtype=np.float64)
    # The negation also catches NaN.
    outside = probabilities[~((probabilities >= 0) & (probabilities <= 1))]
    if len(outside):
        raise UserError(f"{path}: expected probabilities from 0 to 1, got {outside[0]}; {RESTORE}")
    return table


def check_images(path: Path, table: pd.DataFrame, expected: pd.DataFrame) -> None:
    """Check that predictions read from ``path`` are for the fold's validation images, in order.

    Args:
        table: as ``read_predictions`` returns it.
        expected: rows of the catalogue's table.

    Raises:
        UserError: another number of images, or a row of another image.
    """
    if len(table) != len(expected):
        raise UserError(f"{path}: expected {len(expected)} images, got {len(table)}; {RESTORE}")
    for column in FOLD_COLUMNS[:4]:
        wanted = expected[column].to_numpy() if column == "label" else expected[column].fillna("").to_numpy(dtype=str)
        found = table[column].to_numpy()
        differing = np.flatnonzero(found != wanted)
        if len(differing):
            row = int(differing[0])
            raise UserError(
                f"{path}: row {row} does not match the data: "
                f"expected {column} {wanted[row]}, got {found[row]}; {RESTORE}"
            )


def read_epochs(path: Path, columns: Sequence[str]) -> pd.DataFrame:
    """``epochs.csv`` or ``repeated.csv``: seed, fold and epoch int64, the rest float64.

    Raises:
        UserError: other columns, a seed, fold or epoch that is not an integer or too small, or invalid seconds.
    """
    table = read_table(path, columns, exact=columns[3:])
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


def read_table(path: Path, columns: Sequence[str], *, exact: Sequence[str], text: Sequence[str] = ()) -> pd.DataFrame:
    """Read a table with exactly ``columns``.

    Args:
        exact: columns of floats, read without rounding.
        text: columns read as text even if they look like numbers.

    Raises:
        UserError: the file cannot be read or has other columns.
    """
    try:
        table = pd.read_csv(
            path,
            dtype=dict.fromkeys(text, str),
            keep_default_na=not text,
            converters=dict.fromkeys(exact, _exact),
        )
    except (ValueError, OSError) as error:
        raise UserError(f"{path}: cannot be read ({first_line(error)}); {RESTORE}") from None
    # If every line has more values than the header, pandas uses the first ones as an index and shifts the rest.
    if tuple(table.columns) != tuple(columns) or not isinstance(table.index, pd.RangeIndex):
        raise UserError(f"{path}: expected the columns {', '.join(columns)}; {RESTORE}")
    return table


def _exact(text: str) -> float:
    """Parse a float exactly: pandas' default parser may be off by the last bit (its option for that is deprecated)."""
    return float(text) if text else float("nan")
