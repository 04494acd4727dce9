"""Check a study folder against data, folds and journal."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from leukemia.base.errors import UserError
from leukemia.base.record import RESTORE
from leukemia.data.catalog import Catalog
from leukemia.data.folds import Splits
from leukemia.study import layout
from leukemia.study.folder import Study
from leukemia.study.records import check_images
from leukemia.study.verification import check_trial
from search.sampling.entry import Entry
from search.sampling.journal import Journal

Validation = Sequence[pd.DataFrame]
"""Per fold: the catalog rows of its validation images, in order."""


def validation_of(splits: Splits, catalog: Catalog) -> Validation:
    """The validation images of each fold."""
    return splits.validation(catalog)


def observations(rows: pd.DataFrame, protocol: str) -> np.ndarray:
    """Units of resampling, text (n,): groups, or images under the random-cell protocol."""
    return rows["image_id" if protocol == "random-cell" else "group"].to_numpy()


def check_journal(study: Study, journal: Journal) -> None:
    """Check that journal and trial folders have the same trials with the same recipes, scores and ends.

    A crashed driver cannot cause a contradiction: a trial is in the journal before its folder exists, and its scores
    and its end are in the folder before they are in the journal.

    Raises:
        UserError: they differ; the message names the trials, or both files and their values.
    """
    entries, known = journal.entries(), study.trials()
    unknown = [number for number in known if number not in entries]
    if unknown:
        raise UserError(
            f"{journal.path}: has no record of trials {_names(unknown)}, which are in {study.folder / layout.TRIALS}; "
            "restore it from a backup, or move away folders that do not belong to this study"
        )
    ended = [number for number, entry in entries.items() if entry.state is not None]
    lost = [number for number in ended if number not in known or study.end(number) is None]
    if lost:
        raise UserError(
            f"{study.folder / layout.TRIALS}: {layout.RECIPE} or {layout.STATE} is missing for trials {_names(lost)}, "
            "which have ended; restore their folders from a backup"
        )
    surplus = journal.num_trials() - study.info.trials
    if surplus > 0:
        raise UserError(
            f"{journal.path}: expected at most {study.info.trials} trials of this search (--trials), found {surplus} "
            f"more, up to {max(entries):04d}; {RESTORE}"
        )
    for number in known:
        _check_entry(study, journal, number, entries[number])


def _check_entry(study: Study, journal: Journal, number: int, entry: Entry) -> None:
    check_trial(study, number)
    folder, recipe, end = study.trial_folder(number), study.recipe(number), study.end(number)
    try:
        proposed = journal.space.recipe(entry.parameters).flat()
    except UserError as error:
        raise UserError(f"{journal.path}: trial {number:04d}: {error}; {RESTORE}") from None
    _compare(
        journal,
        number,
        folder / layout.RECIPE,
        ((name, proposed.get(name), value) for name, value in recipe.flat().items()),
    )
    folds = {fold: study.fold(number, recipe.train.seed, fold) for fold in study.folds_done(number, recipe.train.seed)}
    for fold, score in entry.fold_scores.items():
        path = study.fold_file(number, recipe.train.seed, fold)
        found = folds[fold].scores[study.objective] if fold in folds else None
        _compare(journal, number, path, [(f"scores.{study.objective}", score, found)])
    if entry.state is not None and end is not None:
        cost = sum(each.seconds for each in folds.values())
        values = [("state", entry.state, end.state), ("score", entry.score, end.score)]
        _compare(journal, number, folder / layout.STATE, values)
        if entry.cost is not None:
            _compare(journal, number, study.seed_folder(number, recipe.train.seed), [("seconds", entry.cost, cost)])


def _compare(journal: Journal, number: int, path: Path, values: Iterable[tuple[str, Any, Any]]) -> None:
    """Compare the journal's values with those of a file of the study, each as name, in the journal, in the file."""
    for name, recorded, found in values:
        is_same = recorded == found
        if isinstance(recorded, float) and isinstance(found, float):
            # Costs are sums, whose last bits depend on the order of the folds.
            is_same = math.isclose(recorded, found, rel_tol=1e-12)
        if not is_same:
            raise UserError(
                f"{path}: {name} is {found!r}, but {recorded!r} for trial {number:04d} in {journal.path}; restore the "
                "one that was changed from a backup"
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
