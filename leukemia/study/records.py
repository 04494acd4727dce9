"""The CSV tables of a study folder, read and validated, and compared with their scores; tracebacks."""

from __future__ import annotations

import hashlib
import io
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from leukemia.base.errors import UserError, first_line
from leukemia.base.files import read_file, write_text
from leukemia.base.record import RESTORE, changed
from leukemia.base.spreadsheet import cell_of, path_of
from leukemia.scoring.metrics import METRICS, point_scores
from leukemia.study import layout
from leukemia.study.schema import FoldRecord

FOLD_COLUMNS = ("image_id", "subject", "group", "label", "probability_leukemic")

ROUNDING = 1e-12
"""Largest difference of a score that is computed again on another machine."""


def predictions_csv(table: pd.DataFrame) -> str:
    """The text of ``fold_K.csv``: the ``FOLD_COLUMNS`` of a table, with paths as ``spreadsheet.cell_of``.

    Without a subject, the group is a path, too.
    """
    written = table[list(FOLD_COLUMNS)].assign(image_id=table["image_id"].map(cell_of))
    unknown = table["subject"].isna()
    written.loc[unknown, "group"] = table.loc[unknown, "group"].map(cell_of)
    return written.to_csv(index=False)


def read_predictions(path: Path, record: FoldRecord) -> pd.DataFrame:
    """``fold_K.csv``: ``FOLD_COLUMNS``, label int64, probability float64, the rest text.

    Args:
        record: content of ``fold_K.json`` next to it.

    Raises:
        UserError: the file was changed after it was written; other columns, another number of rows, a label other than
            0 and 1, or a probability outside 0..1.
    """
    content = read_bytes(path)
    if record.predictions_sha256 not in ("", hashlib.sha256(content).hexdigest()):
        raise changed(path)
    table = parse_table(path, content, FOLD_COLUMNS, exact=FOLD_COLUMNS[4:], text=FOLD_COLUMNS[:3])
    if len(table) != record.n:
        raise UserError(f"{path}: expected {record.n} rows, got {len(table)}; {RESTORE}")
    invalid = table.loc[~table["label"].map(str).isin(["0", "1"]), "label"]
    if len(invalid):
        raise UserError(f"{path}: expected labels 0 and 1, got {invalid.iloc[0]!s}; {RESTORE}")
    probabilities = table["probability_leukemic"].to_numpy(dtype=np.float64)
    # The negation also catches NaN.
    outside = probabilities[~((probabilities >= 0) & (probabilities <= 1))]
    if len(outside):
        raise UserError(f"{path}: expected probabilities from 0 to 1, got {outside[0]}; {RESTORE}")
    unknown = table["subject"] == ""
    table.loc[unknown, "group"] = table.loc[unknown, "group"].map(path_of)
    return table.assign(image_id=table["image_id"].map(path_of))


def check_scores(path: Path, record: FoldRecord, predictions: pd.DataFrame) -> None:
    """Compare the scores of a fold, read from ``path``, with those of its predictions.

    A score that was undefined when it was written is not compared.

    Raises:
        UserError: a score differs.
    """
    found = point_scores(predictions["label"], predictions["probability_leukemic"])
    for metric in METRICS:
        check_score(path, f"scores.tta_{metric}", record.scores.get(f"tta_{metric}"), found[metric], "the predictions")


def check_score(path: Path, field: str, recorded: float | None, found: float, source: str) -> None:
    """Compare a score read from ``path`` with its value computed from ``source``; None is not compared.

    Raises:
        UserError: they differ by more than ``ROUNDING``.
    """
    if recorded is not None and not math.isclose(recorded, found, rel_tol=0, abs_tol=ROUNDING):
        raise UserError(f"{path}: field {field!r}: {source} give {found!r}, the file has {recorded!r}; {RESTORE}")


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


def read_bytes(path: Path) -> bytes:
    """The content of a file.

    Raises:
        UserError: it cannot be read.
    """
    try:
        return read_file(path)
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({first_line(error)}); {RESTORE}") from None


def parse_table(
    path: Path, content: bytes, columns: Sequence[str], *, exact: Sequence[str], text: Sequence[str] = ()
) -> pd.DataFrame:
    """A table with exactly ``columns`` from the content of the CSV file ``path``.

    Args:
        exact: columns of floats, read without rounding.
        text: columns read as text even if they look like numbers.

    Raises:
        UserError: the content is no table, or has other columns.
    """
    try:
        table = pd.read_csv(
            io.BytesIO(content),
            dtype=dict.fromkeys(text, str),
            keep_default_na=not text,
            converters=dict.fromkeys(exact, _exact),
        )
    except ValueError as error:
        raise UserError(f"{path}: cannot be read ({first_line(error)}); {RESTORE}") from None
    # If every line has more values than the header, pandas uses the first ones as an index and shifts the rest.
    if tuple(table.columns) != tuple(columns) or not isinstance(table.index, pd.RangeIndex):
        raise UserError(f"{path}: expected the columns {', '.join(columns)}; {RESTORE}")
    return table


def _exact(text: str) -> float:
    """Parse a float exactly: pandas' default parser may be off by the last bit (its option for that is deprecated)."""
    return float(text) if text else float("nan")


def write_traceback(folder: Path, traceback: str | None) -> None:
    """Write ``traceback.txt``; without a traceback, remove a file left by a driver that crashed at this point."""
    if traceback is None:
        (folder / layout.TRACEBACK).unlink(missing_ok=True)
    else:
        write_text(folder / layout.TRACEBACK, traceback)
