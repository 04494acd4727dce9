"""The interval of a paired difference of two recipes: what differs between groups, and what the seed alone changes."""

from __future__ import annotations

import math
from collections.abc import Sequence

from leukemia.scoring.bootstrap import Interval
from leukemia.scoring.jackknife import Difference, student_interval

PRIOR_NOISE = 0.01
"""Standard deviation of the fold noise, in score, until the study has its own repeats."""


def fold_noise(differences: Sequence[Difference], prior: float = PRIOR_NOISE) -> float:
    """Standard deviation of the fold noise, from differences between two seeds of one recipe in one fold.

    The variance of such a difference is twice that of the noise, plus what its images explain. ``prior`` counts as one
    more pair and keeps estimates from few folds away from zero.
    """
    excess = sum(each.value**2 - each.variance for each in differences if not math.isnan(each.variance)) / 2
    return math.sqrt((prior**2 + max(0.0, excess)) / (1 + len(differences)))


def with_noise(difference: Difference, noise: float, num_folds: int, seeds: tuple[int, int]) -> float:
    """Variance of a difference over all folds: between groups, plus the noise of each fold and seed.

    Args:
        noise: standard deviation, as ``fold_noise``.
        seeds: number of seeds of either side, whose score is the mean over them.
    """
    return difference.variance + sum(noise**2 / num_folds / number for number in seeds)


def paired_interval(
    difference: Difference, noise: float, num_folds: int, seeds: tuple[int, int], level: float = 0.95
) -> Interval:
    """A difference over all folds with its Student's t interval over groups; NaN bounds with one group.

    Args:
        difference: as ``leukemia.scoring.jackknife.paired_jackknife``.
        noise, num_folds, seeds: as for ``with_noise``.
    """
    variance = with_noise(difference, noise, num_folds, seeds)
    return student_interval(difference.value, variance, max(1, difference.num_groups - 1), level)
