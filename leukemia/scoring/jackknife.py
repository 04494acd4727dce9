"""The jackknife over groups: a paired difference of two predictions and its variance, cheap enough for every fold."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from leukemia.scoring.metrics import THRESHOLD, point_scores

MAX_BLOCKS = 200
"""Metrics without a closed form leave out blocks of groups where there are more groups than this."""


@dataclass(frozen=True)
class Difference:
    """Score of a minus score of b on the same images."""

    value: float
    """In -1..1."""

    variance: float
    """Of ``value``, over other draws of the groups; NaN with one group."""

    num_groups: int


def paired_jackknife(labels: np.ndarray, a: np.ndarray, b: np.ndarray, groups: np.ndarray, metric: str) -> Difference:
    """The difference of two predictions and its variance, leaving out one group at a time.

    The delete-one jackknife (Efron & Stein, Annals of Statistics 9, 1981) needs no formula for a metric's variance and
    treats images of one group as one observation. For accuracy it is the cluster-robust variance in closed form.

    Args:
        labels: int64 (n,), 0 or 1.
        a, b: float64 (seeds, n), probabilities of class 1 for the same images; a score is the mean over its seeds.
        groups: int64 (n,), codes of the groups; any integers.
        metric: one of ``leukemia.scoring.metrics.METRICS``.
    """
    codes = np.unique(groups, return_inverse=True)[1]
    num_groups = int(codes.max()) + 1
    if metric == "accuracy":
        right = _share_right(labels, a) - _share_right(labels, b)
        sums, sizes = np.bincount(codes, right), np.bincount(codes)
        value = float(sums.sum() / len(labels))
        rest = (sums.sum() - sums) / np.maximum(len(labels) - sizes, 1)
    else:
        value = _score(labels, a, metric) - _score(labels, b, metric)
        blocks = np.random.default_rng(0).permutation(num_groups) % MAX_BLOCKS
        kept = [blocks[codes] != block for block in range(min(num_groups, MAX_BLOCKS))] if num_groups > 1 else []
        rest = np.array([_score(labels[k], a[:, k], metric) - _score(labels[k], b[:, k], metric) for k in kept])
        # Images without which the metric is not defined tell nothing about it.
        rest = rest[~np.isnan(rest)]
    if num_groups < 2 or len(rest) < 2:
        return Difference(value, float("nan"), num_groups)
    variance = (len(rest) - 1) / len(rest) * float(np.sum((rest - rest.mean()) ** 2))
    return Difference(value, variance, num_groups)


def _share_right(labels: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """Per image the share of seeds that answer it correctly."""
    return ((probabilities >= THRESHOLD) == labels).mean(axis=0)


def _score(labels: np.ndarray, probabilities: np.ndarray, metric: str) -> float:
    return float(np.mean([point_scores(labels, each)[metric] for each in probabilities]))
