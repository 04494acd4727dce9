"""Published rules that stop a cross-validated trial early, as pure functions of both trials' results.

Each takes the challenger's fold scores so far, the fold scores of the best complete trial, and which images each of
them classified correctly in the challenger's folds; it returns whether to stop the challenger.
"""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable

import numpy as np
import scipy.stats

Stops = Callable[[np.ndarray, np.ndarray, np.ndarray, np.ndarray], bool]
"""challenger (k,), best (K,), bool (images of the k folds,) correct answers of each -> stop the challenger?"""

NUM_RESAMPLES = 1000
"""Bootstrap samples of ``dropping``."""


def never(challenger: np.ndarray, best: np.ndarray, right: np.ndarray, best_right: np.ndarray) -> bool:
    """Never stop: every trial runs all its folds."""
    return False


def aggressive(challenger: np.ndarray, best: np.ndarray, right: np.ndarray, best_right: np.ndarray) -> bool:
    """Early-stopped CV, aggressive (Bergman et al., AutoML 2024): stop if the mean is below the best trial's mean."""
    return bool(challenger.mean() < best.mean())


def forgiving(challenger: np.ndarray, best: np.ndarray, right: np.ndarray, best_right: np.ndarray) -> bool:
    """Early-stopped CV, forgiving (same authors): stop if the mean is below the best trial's worst fold."""
    return bool(challenger.mean() < best.min())


def signed_ranks(threshold: float) -> Stops:
    """Optuna's WilcoxonPruner: signed-rank test of the per-fold differences, from the second fold on."""

    def stops(challenger: np.ndarray, best: np.ndarray, right: np.ndarray, best_right: np.ndarray) -> bool:
        if len(challenger) < 2 or challenger.mean() >= best.mean():
            return False
        return _p_worse(tuple((challenger - best[: len(challenger)]).tolist())) < threshold

    return stops


@functools.cache
def _p_worse(differences: tuple[float, ...]) -> float:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # with few folds and ties scipy warns that its p-value is approximate
        return float(scipy.stats.wilcoxon(differences, alternative="less", zero_method="zsplit").pvalue)


def dropping(threshold: float) -> Stops:
    """BBCD-CV (Tsamardinos et al. 2018): stop if the best trial wins in more than this share of bootstrap samples."""

    def stops(challenger: np.ndarray, best: np.ndarray, right: np.ndarray, best_right: np.ndarray) -> bool:
        ahead, behind = (right & ~best_right).mean(), (best_right & ~right).mean()
        draws = np.random.default_rng(0).multinomial(len(right), [ahead, behind, 1 - ahead - behind], NUM_RESAMPLES)
        return bool(np.mean(draws[:, 1] > draws[:, 0]) > threshold)

    return stops
