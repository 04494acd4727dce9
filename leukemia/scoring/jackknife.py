"""The jackknife over groups: a paired score difference and its variance, cheap enough to compute after every fold."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy.special import stdtrit

from leukemia.scoring.metrics import THRESHOLD, Interval, point_scores

MAX_BLOCKS = 200
"""With more groups than this, metrics without a closed form leave out blocks of groups instead of single groups."""


@dataclass(frozen=True)
class Difference:
    """Score of a minus score of b on the same images."""

    value: float
    """In -1..1."""

    variance: float
    """Sampling variance of ``value`` over groups; NaN with one group."""

    num_groups: int


def student_interval(value: float, variance: float, degrees: float, level: float = 0.95) -> Interval:
    """The interval of Student's t around a value; NaN bounds if value or variance is NaN.

    Args:
        variance: of the value.
        degrees: of freedom, at least 1: for a jackknife over groups, one less than their number.
    """
    if math.isnan(value):
        return Interval(value, math.nan, math.nan)
    spread = stdtrit(degrees, (1 + level) / 2) * math.sqrt(variance)
    return Interval(value, value - spread, value + spread)


def paired_jackknife(labels: np.ndarray, a: np.ndarray, b: np.ndarray, groups: np.ndarray, metric: str) -> Difference:
    """The score difference of two predictions and its variance, leaving out one group at a time.

    The delete-one jackknife (Efron & Stein, Annals of Statistics 9, 1981) needs no formula for a metric's variance and
    treats images of one group as one observation. For accuracy it is the cluster-robust variance in closed form.

    Args:
        labels: int64 (n,), 0 or 1.
        a, b: float64 (seeds, n), probabilities of class 1 for the same images; a score is the mean over seeds.
        groups: int64 (n,), group of each image; any integers.
        metric: one of ``leukemia.scoring.metrics.METRICS``.
    """
    codes = np.unique(groups, return_inverse=True)[1]
    num_groups = int(codes.max()) + 1
    if metric == "accuracy":
        correct = _share_correct(labels, a) - _share_correct(labels, b)
        sums, sizes = np.bincount(codes, correct), np.bincount(codes)
        value = float(sums.sum() / len(labels))
        rest = (sums.sum() - sums) / np.maximum(len(labels) - sizes, 1)
    else:
        value = _score(labels, a, metric) - _score(labels, b, metric)
        blocks = blocks_of(num_groups)
        kept = [blocks[codes] != block for block in range(min(num_groups, MAX_BLOCKS))] if num_groups > 1 else []
        rest = np.array([_score(labels[k], a[:, k], metric) - _score(labels[k], b[:, k], metric) for k in kept])
    return Difference(value, jackknife_variance(rest), num_groups)


def blocks_of(num_groups: int) -> np.ndarray:
    """The block of each group, int64 (num_groups,): with at most ``MAX_BLOCKS`` groups, each is one."""
    return np.random.default_rng(0).permutation(num_groups) % MAX_BLOCKS


def jackknife_variance(left_out: np.ndarray) -> float:
    """The variance of a statistic from its values (blocks,) without each block; NaN from fewer than two."""
    # The statistic may be undefined without a block.
    found = left_out[~np.isnan(left_out)]
    if len(found) < 2:
        return math.nan
    return (len(found) - 1) / len(found) * float(np.sum((found - found.mean()) ** 2))


def _share_correct(labels: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """Share of seeds that classify each image correctly, (n,)."""
    return ((probabilities >= THRESHOLD) == labels).mean(axis=0)


def _score(labels: np.ndarray, probabilities: np.ndarray, metric: str) -> float:
    return float(np.mean([point_scores(labels, each)[metric] for each in probabilities]))
