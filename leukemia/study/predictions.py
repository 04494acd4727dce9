"""Out-of-fold predictions of many runs of a study on the same images, each read once."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from leukemia.base.errors import UserError
from leukemia.base.record import RESTORE
from leukemia.study.folder import Study
from leukemia.study.records import FOLD_COLUMNS, check_scores, read_predictions

IMAGES = FOLD_COLUMNS[:4]
"""Columns that are the same for all runs: image_id, subject, group, label."""


class Predictions:
    """The predictions of a study's runs: a run is a trial, or its repeat, with one seed."""

    def __init__(self, study: Study) -> None:
        self.study = study
        self._images: dict[int, pd.DataFrame] = {}
        self._probabilities: dict[tuple[int, int, int], NDArray[np.float64]] = {}

    def of(self, number: int, seed: int, folds: Sequence[int]) -> NDArray[np.float64]:
        """Probabilities of class 1, float64 (n,), for the images of some committed folds, one fold after the other.

        Raises:
            UserError: a file is damaged, its scores are not those of its predictions, or its images are not those of
                the other runs.
        """
        return np.concatenate([self._fold(number, seed, fold) for fold in folds])

    def images(self, folds: Sequence[int]) -> pd.DataFrame:
        """Their images, in the same order, with the columns ``IMAGES``; folds of which a run was read before."""
        return pd.concat([self._images[fold] for fold in folds], ignore_index=True)

    def _fold(self, number: int, seed: int, fold: int) -> NDArray[np.float64]:
        key = number, seed, fold
        if key not in self._probabilities:
            path, record = self.study.fold_file(*key), self.study.fold(*key)
            table = read_predictions(path.with_suffix(".csv"), record)
            check_scores(path, record, table)
            images = self._images.setdefault(fold, table[list(IMAGES)])
            if not images.equals(table[list(IMAGES)]):
                raise UserError(
                    f"{path.with_suffix('.csv')}: its images are not those of the other trials in this fold; {RESTORE}"
                )
            self._probabilities[key] = table["probability_leukemic"].to_numpy(dtype=np.float64)
        return self._probabilities[key]
