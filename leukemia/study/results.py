"""What a study found, as data frames for Python and notebooks: ``leukemia.Study``."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from leukemia.base.errors import UserError
from leukemia.study.best import Best
from leukemia.study.comparison import comparison_table
from leukemia.study.epochs import EPOCH_COLUMNS
from leukemia.study.folder import Study
from leukemia.study.records import FOLD_COLUMNS
from leukemia.study.table import trial_table
from leukemia.study.verification import verify


class StudyResults:
    """A study, finished or running. It is read at each call, and nothing in it is changed.

    Trials are named as everywhere, by four digits; where one is asked for, its number will do.
    """

    def __init__(self, folder: str | Path) -> None:
        """Args:
        folder: such as ``runs/STUDY``.

        Raises:
            MissingFile: there is no study in the folder.
            UserError: a file was changed after it was written, is missing, or contradicts another one.
        """
        self._study = Study.open(Path(folder))
        verify(self._study)

    def __repr__(self) -> str:
        return f"<study {self.folder}: {len(self._study.trials())} trials>"

    @property
    def folder(self) -> Path:
        """The folder of the study."""
        return self._study.folder

    @property
    def best(self) -> Best:
        """The winner: ``trial``, ``recipe``, ``score`` with its corrections, all ``scores`` with intervals.

        Raises:
            MissingFile: no trial has finished all folds.
        """
        return Best.of(self._study)

    def trials(self) -> pd.DataFrame:
        """A row per trial, complete ones first, by descending score.

        The columns are those of ``leukemia.study.table.COLUMNS``, such as ``trial``, ``state``, ``score`` (the mean
        over folds and seeds) and ``seconds``; and every field of the recipe by its dotted key, as ``model.depth``.
        """
        table = trial_table(self._study)
        recipes = [self._study.recipe(int(trial)).flat() for trial in table["trial"]]
        return pd.concat([table, pd.DataFrame(recipes, index=table.index)], axis=1)

    def comparison(self) -> pd.DataFrame:
        """A row per recipe of a comparison, in their order; without rows for a search.

        The columns are those of ``leukemia.study.comparison.COLUMNS``: score and paired difference from the first
        recipe, both from 0 to 1 and with 95 % intervals, NaN without.
        """
        return comparison_table(self._study)

    def epochs(self, trial: str | int | None = None) -> pd.DataFrame:
        """A row per epoch of a trial, or of all trials: ``trial``, ``seed``, ``fold``, ``epoch``, and its losses,
        accuracies, learning rate, seconds, images per second and memory of the device in MB.

        Raises:
            UserError: the study has no such trial.
        """
        tables = [self._study.epochs(number).assign(trial=f"{number:04d}") for number in self._numbers(trial)]
        return _joined(tables, ["trial", *EPOCH_COLUMNS])

    def out_of_fold(self, trial: str | int | None = None) -> pd.DataFrame:
        """A row per prediction of a trial, or of all trials: ``trial``, ``seed``, ``fold``, ``image_id``, ``subject``,
        ``group``, ``label`` and ``probability_leukemic``, each by the model that has not seen the image's fold.

        Raises:
            UserError: the study has no such trial.
        """
        tables = [
            self._study.out_of_fold(number, seed).assign(trial=f"{number:04d}", seed=seed)
            for number in self._numbers(trial)
            for seed in self._study.seeds(number)
        ]
        return _joined(tables, ["trial", "seed", "fold", *FOLD_COLUMNS])

    def _numbers(self, trial: str | int | None) -> list[int]:
        known = self._study.trials()
        if trial is None:
            return known
        if not str(trial).isdecimal() or int(trial) not in known:
            raise UserError(f"{self.folder}: expected one of {len(known)} trials, by its number, got {trial!r}")
        return [int(trial)]


def _joined(tables: list[pd.DataFrame], columns: list[str]) -> pd.DataFrame:
    """Tables of some trials as one, with these columns."""
    # pandas would take the types of empty tables into account.
    filled = [table for table in tables if len(table)]
    return pd.concat(filled, ignore_index=True)[columns] if filled else pd.DataFrame(columns=columns)
