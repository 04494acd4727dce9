"""What a study folder holds, read back and checked: against the data, against the folds, against the journal."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import pandas as pd

from leukemia.base.errors import MissingFile, UserError
from leukemia.base.record import RESTORE
from leukemia.data.catalog import Catalog
from leukemia.data.folds import Splits
from leukemia.study import layout
from leukemia.study.folder import Study
from leukemia.study.records import check_images
from leukemia.study.schema import State

Validation = Sequence[pd.DataFrame]
"""Per fold: the catalogue's rows of the images that it validates, in their order."""


def validation_of(splits: Splits, catalog: Catalog) -> Validation:
    """What each fold validates."""
    return [catalog.table.loc[rows] for _, rows in splits.rows(catalog)]


def observations(rows: pd.DataFrame, protocol: str) -> np.ndarray:
    """What is compared as one observation, text (n,): a group, or an image where the split was by images."""
    return rows["image_id" if protocol == "random-cell" else "group"].to_numpy()


def check_journal(study: Study, journal: Mapping[int, State | None]) -> None:
    """Refuse a journal and trial folders of which one lacks a trial that the other has.

    A driver that died leaves neither: the journal knows a trial before its folder is made, and the end of a trial is
    written to its folder before the journal hears of it.

    Args:
        journal: how each trial that the journal has begun ended, None while it has not.

    Raises:
        UserError: the trials are named.
    """
    unknown = [number for number in study.trials() if number not in journal]
    if unknown:
        raise UserError(
            f"{study.folder / layout.JOURNAL}: knows nothing of trials {_names(unknown)}, which lie in "
            f"{study.folder / layout.TRIALS}; restore it from a backup, or move folders away that this study "
            "did not make"
        )
    known, ended = study.trials(), [number for number, state in journal.items() if state is not None]
    lost = [number for number in ended if number not in known or study.end(number) is None]
    if lost:
        raise UserError(
            f"{study.folder / layout.TRIALS}: {layout.RECIPE} or {layout.STATE} is missing of trials {_names(lost)}, "
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


def check_ended(study: Study, number: int, objective: str) -> None:
    """Refuse a complete trial that lacks a fold of its first seed, or its objective in one; others may.

    Raises:
        UserError: the file is named.
    """
    end, seed = study.end(number), study.recipe(number).train.seed
    if end is None or end.state != "complete":
        return
    for fold in range(study.info.folds):
        path = study.fold_file(number, seed, fold)
        if fold not in study.folds_done(number, seed):
            raise MissingFile(f"{path}: is missing, but trial {number:04d} is complete; {RESTORE}")
        if study.fold(number, seed, fold).scores.get(objective) is None:
            raise UserError(f"{path}: {objective} is undefined, but trial {number:04d} is complete; {RESTORE}")


def predictions(study: Study, number: int, seed: int, validation: Validation) -> Iterator[tuple[int, pd.DataFrame]]:
    """Each finished fold of a job with its predictions, which are of the very images that it validates.

    Raises:
        UserError: they are not, or a fold is none of the study's; the file is named.
    """
    seen = study.out_of_fold(number, seed)
    for fold in study.folds_done(number, seed):
        path = study.fold_file(number, seed, fold)
        if fold >= len(validation):
            raise UserError(f"{path}: the study has {len(validation)} folds, counted from 0; remove the file")
        table = seen[seen["fold"] == fold].reset_index(drop=True)
        check_images(path.with_suffix(".csv"), table, validation[fold])
        yield fold, table
