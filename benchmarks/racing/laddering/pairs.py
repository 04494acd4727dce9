"""How two recipes of a world compare on some folds: what the race needs to know of a pair."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np

from leukemia.scoring.jackknife import Difference


class Pairs(Protocol):
    """All pairs of recipes of a world."""

    def difference(self, a: int, b: int, folds: Sequence[int]) -> Difference:
        """Score of recipe ``a`` minus score of recipe ``b`` over some folds."""


class ByImage:
    """Compares answers image by image: the jackknife over images in closed form. A test compares it with the search's.

    With the sum S of the differences of n images, of which q are not 0, the variance is (q - S^2 / n) / (n (n - 1)).
    """

    def __init__(self, right: np.ndarray, fold_rows: Sequence[slice]) -> None:
        """
        Args:
            right: bool (recipes, images), whether an image is classified correctly; each image is a group.
            fold_rows: the images of each fold.
        """
        self._sizes = [rows.stop - rows.start for rows in fold_rows]
        self._right = np.stack([right[:, rows].sum(axis=1) for rows in fold_rows], axis=1).tolist()
        by_fold = [right[:, rows].astype(np.float32) for rows in fold_rows]
        self._both = np.stack([each @ each.T for each in by_fold])

    def difference(self, a: int, b: int, folds: Sequence[int]) -> Difference:
        ones, others = self._right[a], self._right[b]
        size = excess = unequal = 0
        for fold in folds:
            size += self._sizes[fold]
            excess += ones[fold] - others[fold]
            unequal += ones[fold] + others[fold] - 2 * int(self._both[fold, a, b])
        variance = (unequal - excess**2 / size) / (size * (size - 1))
        return Difference(excess / size, variance, size)


class ByVariance:
    """Compares scores whose difference has a known sampling variance, the same for all pairs."""

    def __init__(self, scores: np.ndarray, variance: float, num_groups: int) -> None:
        """
        Args:
            scores: float64 (recipes, folds), 0..1.
            variance: of the difference in one fold, as estimated from its images.
            num_groups: of one fold.
        """
        self._scores, self._variance, self._num_groups = scores.tolist(), variance, num_groups

    def difference(self, a: int, b: int, folds: Sequence[int]) -> Difference:
        ones, others = self._scores[a], self._scores[b]
        value = sum(ones[fold] - others[fold] for fold in folds) / len(folds)
        return Difference(value, self._variance / len(folds), self._num_groups * len(folds))
