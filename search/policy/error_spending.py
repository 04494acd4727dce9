"""Alpha spending: the error rate is divided over interim looks at growing data (Lan & DeMets, Biometrika 70, 1983)."""

from __future__ import annotations

import functools

import numpy as np
from scipy.special import ndtr

EARLY_SHARE = 0.45
"""Share of the error spent at each of the first two looks, where stopping saves most; the others split the rest."""

_STEP = 0.02
_GRID = np.arange(-15.0, 15.0, _STEP)


def shares(num_looks: int) -> tuple[float, ...]:
    """Share of the error spent at each look.

    >>> [round(share, 3) for share in shares(4)]
    [0.45, 0.45, 0.05, 0.05]
    """
    if num_looks <= 2:
        return (1 / num_looks,) * num_looks
    return (EARLY_SHARE, EARLY_SHARE) + ((1 - 2 * EARLY_SHARE) / (num_looks - 2),) * (num_looks - 2)


@functools.cache
def nominal_levels(error: float, num_looks: int, first_look: int = 1) -> tuple[float, ...]:
    """Significance level of each look such that the overall error rate is ``error``.

    Looks are correlated, so that a later look may test at a higher level than the error it spends. Computed by
    propagating the density of the sum of normal increments among trials not yet stopped from look to look (Armitage,
    McPherson & Rowe 1969).

    Args:
        error: overall error rate, 0..1.
        num_looks: at equal increments of information.
        first_look: number of increments before the first look.

    >>> [round(level, 4) for level in nominal_levels(0.05, 4)]
    [0.0225, 0.0315, 0.0093, 0.008]
    >>> [round(level, 4) for level in nominal_levels(0.05, 3, first_look=2)]
    [0.0225, 0.0356, 0.0186]
    """
    step = np.exp(-(np.arange(-8.0, 8.0 + _STEP / 2, _STEP) ** 2) / 2) * _STEP / np.sqrt(2 * np.pi)
    density = np.exp(-(_GRID**2) / (2 * first_look)) / np.sqrt(2 * np.pi * first_look)
    levels = []
    for look, share in enumerate(shares(num_looks), start=first_look):
        crossed = np.cumsum(density) * _STEP
        bound = float(np.interp(share * error, crossed, _GRID + _STEP / 2))
        levels.append(float(ndtr(bound / np.sqrt(look))))
        density = np.convolve(np.where(bound > _GRID, 0.0, density), step, mode="same")
    return tuple(levels)
