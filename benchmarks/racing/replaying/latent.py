"""Correct answers modelled as signs of correlated normal variables: how strongly two recipes agree."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from scipy.optimize import brentq
from scipy.special import ndtr

Pair = tuple[tuple[int, int], tuple[int, int]]
"""Two rows of an array (seeds, recipes, images)."""

_NODES, _WEIGHTS = np.polynomial.hermite_e.hermegauss(40)
_WEIGHTS = _WEIGHTS / _WEIGHTS.sum()


def correlation(by_class: Sequence[np.ndarray], level: np.ndarray, pairs: Sequence[Pair]) -> float:
    """Latent correlation that reproduces how often both members of a pair are correct, over all pairs.

    Args:
        by_class: for each class bool (seeds, recipes, images of the class), whether an image is classified correctly.
        level: float64 (classes, recipes): mean of the latent variable.
        pairs: the pairs to compare.

    Returns:
        The correlation, 0 to 0.999.
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
