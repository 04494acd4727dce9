"""Check a study folder against data, folds and journal."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import pandas as pd

from leukemia.base.errors import UserError
from leukemia.base.record import RESTORE
from leukemia.data.catalog import Catalog
from leukemia.data.folds import Splits
from leukemia.study import layout
from leukemia.study.folder import Study
from leukemia.study.records import check_images
from leukemia.study.schema import State

Validation = Sequence[pd.DataFrame]
"""Per fold: the catalog rows of its validation images, in order."""


def validation_of(splits: Splits, catalog: Catalog) -> Validation:
    """The validation images of each fold."""
    return [catalog.table.loc[rows] for _, rows in splits.rows(catalog)]


def observations(rows: pd.DataFrame, protocol: str) -> np.ndarray:
    """Units of resampling, text (n,): groups, or images under the random-cell protocol."""
    return rows["image_id" if protocol == "random-cell" else "group"].to_numpy()


def check_journal(study: Study, journal: Mapping[int, State | None]) -> None:
    """Check that journal and trial folders have the same trials.

    A crashed driver cannot cause a mismatch: a trial is in the journal before its folder exists, and its end is in the
    folder before it is in the journal.

    Args:
        journal: how each trial started in the journal ended; None if it has not.

    Raises:
        UserError: they differ; the message lists the trials.
    """
    unknown = [number for number in study.trials() if number not in journal]
    if unknown:
        raise UserError(
            f"{study.folder / layout.JOURNAL}: has no record of trials {_names(unknown)}, which are in "
            f"{study.folder / layout.TRIALS}; restore it from a backup, or move away folders that do not belong to "
            "this study"
        )
    known, ended = study.trials(), [number for number, state in journal.items() if state is not None]
    lost = [number for number in ended if number not in known or study.end(number) is None]
    if lost:
        raise UserError(
            f"{study.folder / layout.TRIALS}: {layout.RECIPE} or {layout.STATE} is missing for trials {_names(lost)}, "
            "which have ended; restore their folders from a backup"
        )
    for number in ended:
        end = study.end(number)
        if end is not None and end.state != journal[number]:
            raise UserError(
                f"{study.trial_folder(number) / layout.STATE}: expected {journal[number]}, as in the journal, got "
                f"{end.state}; {RESTORE}"
            )


def _names(numbers: Sequence[int]) -> str:
    return ", ".join(f"{number:04d}" for number in numbers)


def predictions(study: Study, number: int, seed: int, validation: Validation) -> Iterator[tuple[int, pd.DataFrame]]:
    """Each finished fold of a job with its predictions, checked to be of its validation images.

    Raises:
        UserError: they are of other images, or the study has no such fold; the message names the file.
    """
    seen = study.out_of_fold(number, seed)
    for fold in study.folds_done(number, seed):
        path = study.fold_file(number, seed, fold)
        if fold >= len(validation):
            raise UserError(f"{path}: the study has {len(validation)} folds, counted from 0; remove the file")
        table = seen[seen["fold"] == fold].reset_index(drop=True)
        check_images(path.with_suffix(".csv"), table, validation[fold])
        yield fold, table
