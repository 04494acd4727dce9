"""Rules that stop a cross-validated trial early: other people's, as pure functions of what both trials showed.

Each takes a challenger's fold scores so far, the best complete trial's fold scores, and which images each answered
correctly in the challenger's folds; it returns whether the challenger is stopped.
"""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable

import numpy as np
import scipy.stats

Stops = Callable[[np.ndarray, np.ndarray, np.ndarray, np.ndarray], bool]
"""challenger (k,), best (K,), and bool (images of the k folds,) what each of them has right -> is it stopped?"""

RESAMPLES = 1000


def never(challenger: np.ndarray, best: np.ndarray, right: np.ndarray, best_right: np.ndarray) -> bool:
    """Every trial has all its folds."""
    return False


def aggressive(challenger: np.ndarray, best: np.ndarray, right: np.ndarray, best_right: np.ndarray) -> bool:
    """Early-stopped cross-validation of Bergman et al. (AutoML 2024): its mean lies below the best trial's mean."""
    return bool(challenger.mean() < best.mean())


def forgiving(challenger: np.ndarray, best: np.ndarray, right: np.ndarray, best_right: np.ndarray) -> bool:
    """Of the same authors: its mean lies below the best trial's worst fold."""
    return bool(challenger.mean() < best.min())


def signed_ranks(threshold: float) -> Stops:
    """Optuna's WilcoxonPruner: signed ranks of the differences by fold, from the second fold on."""

    def stops(challenger: np.ndarray, best: np.ndarray, right: np.ndarray, best_right: np.ndarray) -> bool:
        if len(challenger) < 2 or challenger.mean() >= best.mean():
            return False
        return _p_worse(tuple((challenger - best[: len(challenger)]).tolist())) < threshold

    return stops


@functools.cache
def _p_worse(differences: tuple[float, ...]) -> float:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # few folds and ties: scipy says that its p-value is approximate
        return float(scipy.stats.wilcoxon(differences, alternative="less", zero_method="zsplit").pvalue)


def dropping(threshold: float) -> Stops:
    """Of BBCD-CV (Tsamardinos et al. 2018): in so many bootstrap samples of the images the best trial is better."""

    def stops(challenger: np.ndarray, best: np.ndarray, right: np.ndarray, best_right: np.ndarray) -> bool:
        ahead, behind = (right & ~best_right).mean(), (best_right & ~right).mean()
        draws = np.random.default_rng(0).multinomial(len(right), [ahead, behind, 1 - ahead - behind], RESAMPLES)
        return bool(np.mean(draws[:, 1] > draws[:, 0]) > threshold)

    return stops
