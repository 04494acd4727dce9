"""What lies in a study folder, read and checked: a file that was changed by hand or by accident is named."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from leukemia.base.errors import UserError, first_line
from leukemia.base.files import Fields, check_fields, read_record
from leukemia.config.fields import FIELDS
from leukemia.config.protocol import PROTOCOLS
from leukemia.config.results import ALL_OBJECTIVES

INFO: Fields = {
    "study_uid": str,
    "created": str,
    "command": str,
    "folds": int,
    "seed": int,
    "objective": str,
    "protocol": str,
    "data": dict,
    "versions": dict,
    "commit": str,
}
"""What ``study.json`` holds at least."""

END: Fields = {"state": str, "reason": str, "score": (int, float, type(None))}
ORIGIN: Fields = {"study": str, "study_uid": str, "trial": str, "seeds": list}
FOLD: Fields = {"fold": int, "seed": int, "n": int, "scores": dict, "seconds": (int, float), "device": str}
HINDSIGHT: Fields = {"lines": list, "importances": dict}
"""What ``state.json``, ``origin.json``, ``fold_K.json`` and ``hindsight.json`` hold at least."""

FOLD_COLUMNS = ("image_id", "subject", "group", "label", "probability_leukemic")

RESTORE = "restore the file from a copy"

MOST_SECONDS = 1e9
"""No device has worked for longer on one epoch or fold."""

_UID = re.compile(r"[0-9a-f]{8}")


def check_info(info: Mapping[str, Any], path: Path) -> None:
    """Refuse a ``study.json``, read from ``path``, that no search writes.

    Raises:
        UserError: the field is named.
    """
    check_fields(info, INFO, path)
    checks = {
        # Folders are named by it: it must not lead elsewhere.
        "study_uid": _UID.fullmatch(info["study_uid"]),
        "folds": type(info["folds"]) is int and info["folds"] >= 2,
        "seed": type(info["seed"]) is int and info["seed"] >= 0,
        "objective": info["objective"] in ALL_OBJECTIVES,
        "protocol": info["protocol"] in PROTOCOLS,
    }
    for name, passed in checks.items():
        if not passed:
            raise UserError(f"{path}: field {name!r} has an unexpected value ({repr(info[name])[:60]}); {RESTORE}")


def read_end(path: Path, states: Collection[str]) -> dict[str, Any]:
    """``state.json``.

    Raises:
        UserError: the state is none of ``states``, or the score is no number in 0..1.
    """
    end = read_record(path, END)
    if end["state"] not in states:
        raise UserError(f"{path}: expected a state of {', '.join(states)}, got {end['state']!r}; {RESTORE}")
    _check_score(end["score"], "the score", path)
    return end


def read_fold(path: Path, objective: str) -> dict[str, Any]:
    """``fold_K.json``. A score is None where it is undefined.

    Raises:
        UserError: a score is no number in 0..1, that of the objective is missing, or the seconds are no time span.
    """
    record = read_record(path, FOLD)
    require_score(record, objective, path)
    for name, score in record["scores"].items():
        _check_score(score, f"the score {name}", path)
    _check_seconds([record["seconds"]], path)
    return record


def require_score(record: dict[str, Any], name: str, path: Path) -> None:
    """Refuse the record of a fold, read from ``path``, that lacks a score."""
    if name not in record["scores"]:
        raise UserError(f"{path}: expected a score {name}, found none; {RESTORE}")


def _check_seconds(spans: Collection[float], path: Path) -> None:
    for seconds in spans:
        # NaN lies in no range.
        if not 0 <= seconds <= MOST_SECONDS:
            raise UserError(f"{path}: expected seconds from 0 to {MOST_SECONDS:g}, got {repr(seconds)[:60]}; {RESTORE}")


def _check_score(score: Any, name: str, path: Path) -> None:
    is_number = isinstance(score, int | float) and not isinstance(score, bool)
    if score is not None and not (is_number and 0 <= score <= 1):
        raise UserError(f"{path}: expected {name} to be null or from 0 to 1, got {repr(score)[:60]}; {RESTORE}")


def read_hindsight(path: Path) -> dict[str, Any]:
    """``hindsight.json``: ``lines``, sentences; ``importances``, a share in 0..1 for each field that was searched.

    Raises:
        UserError: a line is no text, or an importance is of no field of a recipe or no number in 0..1.
    """
    record = read_record(path, HINDSIGHT)
    for name, share in record["importances"].items():
        if name not in FIELDS:
            raise UserError(f"{path}: field 'importances': expected fields of a recipe, got {name[:60]!r}; {RESTORE}")
        # NaN fails the comparison, as it should; true is no number. A sum of shares may exceed 1 by the last bits.
        if type(share) not in (int, float) or not 0 <= share <= 1 + 1e-9:
            raise UserError(
                f"{path}: field 'importances.{name}': expected a number in 0..1, got {repr(share)[:60]}; {RESTORE}"
            )
    if not all(isinstance(line, str) for line in record["lines"]):
        raise UserError(f"{path}: field 'lines': expected sentences only; {RESTORE}")
    return record


def read_predictions(path: Path, num_images: int) -> pd.DataFrame:
    """``fold_K.csv``: ``FOLD_COLUMNS``, label int64, probability float64, the rest text.

    Raises:
        UserError: other columns or another number of lines, a label other than 0 and 1, a probability outside of 0..1.
    """
    table = read_table(path, FOLD_COLUMNS, exact=FOLD_COLUMNS[4:], text=FOLD_COLUMNS[:3])
    if len(table) != num_images:
        raise UserError(f"{path}: lines are missing or too many; {RESTORE}")
    strange = table.loc[~table["label"].map(str).isin(["0", "1"]), "label"]
    if len(strange):
        raise UserError(f"{path}: expected labels 0 and 1, got {strange.iloc[0]!s}; {RESTORE}")
    probabilities = table["probability_leukemic"].to_numpy(dtype=np.float64)
    # NaN lies in no range.
    outside = probabilities[~((probabilities >= 0) & (probabilities <= 1))]
    if len(outside):
        raise UserError(f"{path}: expected probabilities from 0 to 1, got {outside[0]}; {RESTORE}")
    return table


def check_images(path: Path, table: pd.DataFrame, expected: pd.DataFrame) -> None:
    """Refuse predictions, read from ``path``, that are not of the images that the fold validates, in their order.

    Args:
        table: as ``read_predictions`` returns it.
        expected: rows of the catalogue's table.
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
                f"{path}: row {row} is not of the data: expected {column} {wanted[row]}, got {found[row]}; {RESTORE}"
            )


def read_epochs(path: Path, columns: Sequence[str]) -> pd.DataFrame:
    """``epochs.csv`` or ``repeated.csv``: seed, fold and epoch int64, what follows float64.

    Raises:
        UserError: other columns, a seed, fold or epoch that is no whole number, or seconds that are no time span.
    """
    table = read_table(path, columns, exact=columns[3:])
    for column in columns[:3]:
        if len(table) and not pd.api.types.is_integer_dtype(table[column]):
            raise UserError(f"{path}: expected whole numbers as {column}; {RESTORE}")
        least = 1 if column == "epoch" else 0
        if (table[column] < least).any():
            raise UserError(f"{path}: expected {column}s from {least} on, got {table[column].min()}; {RESTORE}")
    _check_seconds(table["seconds"].tolist(), path)
    return table


def read_table(path: Path, columns: Sequence[str], *, exact: Sequence[str], text: Sequence[str] = ()) -> pd.DataFrame:
    """A table of ours with exactly ``columns``, or in one line what is wrong with the file.

    Args:
        exact: columns of floats, which come back to the last bit.
        text: columns that are text, whatever they look like.
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
    # Where every line has more values than the header, pandas takes the first ones for an index, and shifts the rest.
    if tuple(table.columns) != tuple(columns) or not isinstance(table.index, pd.RangeIndex):
        raise UserError(f"{path}: expected the columns {', '.join(columns)}; {RESTORE}")
    return table


def _exact(text: str) -> float:
    """The float that was written: pandas' own parser may miss the last bit (its option for that is deprecated)."""
    return float(text) if text else float("nan")
