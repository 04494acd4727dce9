"""Right answers as signs of correlated normal variables: how strongly two recipes' answers hang together."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from scipy.optimize import brentq
from scipy.special import ndtr, ndtri

Pair = tuple[tuple[int, int], tuple[int, int]]
"""Two rows of an array (seeds, recipes, images)."""

_NODES, _WEIGHTS = np.polynomial.hermite_e.hermegauss(40)
_WEIGHTS = _WEIGHTS / _WEIGHTS.sum()


def level_of(num_right: np.ndarray, num_answers: int) -> np.ndarray:
    """The mean of a unit normal variable that is positive as often as answers are right; finite for all and none."""
    return ndtri((num_right + 0.5) / (num_answers + 1))


def correlation(by_class: Sequence[np.ndarray], level: np.ndarray, pairs: Sequence[Pair]) -> float:
    """The latent correlation under which pairs answer correctly together as often as they did, over all pairs.

    Args:
        by_class: for each class bool (seeds, recipes, images of the class), whether an image is answered correctly.
        level: float64 (classes, recipes).
        pairs: what is held against each other.
    """
    ones, others = (np.array([pair[side] for pair in pairs]) for side in (0, 1))
    observed = [
        np.mean(right[ones[:, 0], ones[:, 1]] & right[others[:, 0], others[:, 1]], axis=1) for right in by_class
    ]

    def excess(correlation: float) -> float:
        along = math.sqrt(correlation) * _NODES[:, None]
        apart = math.sqrt(1 - correlation)
        total = 0.0
        for seen, each in zip(observed, level, strict=True):
            chances = ndtr((each - along) / apart)
            total += float(np.sum(_WEIGHTS @ (chances[:, ones[:, 1]] * chances[:, others[:, 1]]) - seen))
        return total

    if excess(1e-4) >= 0:
        return 0.0
    return float(brentq(excess, 1e-4, 0.999)) if excess(0.999) > 0 else 0.999
