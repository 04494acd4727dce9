"""The cluster bootstrap (Field & Welsh 2007): whole groups drawn with replacement; a resample is a weight per group.

Throughout, labels are int64 (n,) of 0 or 1, probabilities float64 (n,) of class 1 in 0..1, and codes int64 (n,), the
index of each image's group from 0. Contributions of a group to a score are computed once and weighted in each resample.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Ints: TypeAlias = NDArray[np.int64]
Floats: TypeAlias = NDArray[np.float64]
Groups: TypeAlias = Iterable[Hashable]

THRESHOLD = 0.5
"""An image is classified as leukemic if its probability of class 1 is at least this, unless a delivered model has
another threshold."""

NUM_BINS = 15
"""Number of bins of the calibration error."""

_CHUNK_CELLS = 2_000_000  # resamples x images in memory at once: 16 MB per array


@dataclass(frozen=True)
class Interval:
    """A value and the bounds of its interval. NaN if undefined."""

    value: float
    low: float
    high: float

    def to_dict(self) -> dict[str, float | None]:
        """As a dict for JSON, with None instead of NaN.

        >>> Interval(0.5, 0.4, float("nan")).to_dict()
        {'value': 0.5, 'low': 0.4, 'high': None}
        """
        return {key: None if math.isnan(number) else number for key, number in asdict(self).items()}

    @classmethod
    def from_dict(cls, values: Mapping[str, float | None]) -> Interval:
        """The inverse of ``to_dict``."""
        return cls(*(math.nan if number is None else number for number in map(values.get, ("value", "low", "high"))))


class Tally:
    """Contributions of each group to each score, from which weighted scores are computed."""

    def __init__(self, labels: Ints, probabilities: Floats, codes: Ints, threshold: float = THRESHOLD) -> None:
        """Args:
        threshold: from which an image is called leukemic.
        """
        self.num_images, self.num_groups = len(labels), int(codes.max()) + 1
        self._labels, self._probabilities, self._codes = labels, probabilities, codes
        cells = 4 * codes + 2 * labels + (probabilities >= threshold)
        self._confusion = np.bincount(cells, minlength=4 * self.num_groups).reshape(-1, 4).astype(np.float64)

    def point(self, metrics: Iterable[str]) -> dict[str, float]:
        """Scores with each image counted once; NaN if a class needed by a score is absent."""
        weighted = self.weighted(np.ones((1, self.num_groups)), metrics)
        return {metric: float(values[0]) for metric, values in weighted.items()}

    def weighted(self, weights: Floats, metrics: Iterable[str]) -> dict[str, Floats]:
        """Scores (resamples,) with each image weighted by its group's entry in ``weights`` (resamples, groups).

        ``metrics`` are from ``leukemia.scoring.metrics.METRICS``; NaN if a needed class is absent from the resample.
        """
        true_normal, false_leukemic, false_normal, true_leukemic = (weights @ self._confusion).T
        normal, leukemic = true_normal + false_leukemic, false_normal + true_leukemic
        total, wrong = normal + leukemic, false_leukemic + false_normal

        def f1(correct: Floats) -> Floats:
            # F1 = 2 TP / (2 TP + FP + FN); an absent class has weight 0, and its 0 / 0 must not make the sum NaN.
            return np.nan_to_num(divide(2 * correct, 2 * correct + wrong))

        formulas = {
            "accuracy": lambda: divide(true_normal + true_leukemic, total),
            "balanced_accuracy": lambda: (divide(true_leukemic, leukemic) + divide(true_normal, normal)) / 2,
            "weighted_f1": lambda: divide(normal * f1(true_normal) + leukemic * f1(true_leukemic), total),
            "sensitivity": lambda: divide(true_leukemic, leukemic),
            "specificity": lambda: divide(true_normal, normal),
            "auroc": lambda: self._auroc(weights),
            "ece": lambda: divide(np.abs(weights @ self._gaps).sum(axis=1), total),
        }
        return {metric: formulas[metric]() for metric in metrics}

    @cached_property
    def _gaps(self) -> Floats:
        """Sum of confidence minus accuracy, (groups, NUM_BINS)."""
        bins, confidence, correct = confidence_bins(self._labels, self._probabilities)
        gaps = np.bincount(NUM_BINS * self._codes + bins, confidence - correct, NUM_BINS * self.num_groups)
        return gaps.astype(np.float64).reshape(-1, NUM_BINS)

    @cached_property
    def _ranked(self) -> tuple[Ints, Ints, Ints]:
        """Codes and labels by ascending probability, and the first index of each distinct probability."""
        order = np.argsort(self._probabilities, kind="stable")
        starts = np.append(0, np.flatnonzero(np.diff(self._probabilities[order])) + 1)
        return self._codes[order], self._labels[order], starts

    def _auroc(self, weights: Floats) -> Floats:
        """Weighted Mann-Whitney statistic: normal images ranked below each leukemic one, ties counting half."""
        codes, labels, starts = self._ranked
        images = weights[:, codes]
        positive = np.add.reduceat(images * labels, starts, axis=1)
        negative = np.add.reduceat(images * (1 - labels), starts, axis=1)
        below = np.cumsum(negative, axis=1)
        wins = np.einsum("ij,ij->i", positive, below - negative / 2)
        return divide(wins, positive.sum(axis=1) * below[:, -1])


def resampled(tallies: list[Tally], metrics: tuple[str, ...], seed: int, num_resamples: int) -> list[dict[str, Floats]]:
    """Scores (num_resamples,) per tally and metric, all on the same resampled groups."""
    parts: list[list[dict[str, Floats]]] = [[] for _ in tallies]
    for weights in draws(tallies[0], seed, num_resamples):
        for part, tally in zip(parts, tallies, strict=True):
            part.append(tally.weighted(weights, metrics))
    return [{metric: np.concatenate([each[metric] for each in part]) for metric in metrics} for part in parts]


def draws(tally: Tally, seed: int, num_resamples: int) -> Iterator[Floats]:
    """How often each group is drawn, (resamples, groups), in chunks that fit into memory."""
    generator = np.random.default_rng(seed)
    num_groups, chunk = tally.num_groups, max(1, _CHUNK_CELLS // tally.num_images)
    for start in range(0, num_resamples, chunk):
        rows = min(chunk, num_resamples - start)
        drawn = generator.integers(num_groups, size=(rows, num_groups)) + num_groups * np.arange(rows)[:, None]
        yield np.bincount(drawn.ravel(), minlength=rows * num_groups).reshape(rows, num_groups).astype(np.float64)


def interval_of(value: float, samples: Floats, num_groups: int, level: float) -> Interval:
    """The value with percentiles of its resamples, ignoring NaN; the bounds are NaN with fewer than two groups."""
    samples = samples[~np.isnan(samples)]
    if num_groups < 2 or math.isnan(value) or not len(samples):
        return Interval(value, math.nan, math.nan)
    low, high = np.quantile(samples, [(1 - level) / 2, (1 + level) / 2])
    return Interval(value, float(low), float(high))


def confidence_bins(labels: Ints, probabilities: Floats) -> tuple[Ints, Floats, Floats]:
    """Per image: its bin, the confidence in the predicted class (0.5..1), and 1 if that class is correct, else 0."""
    predicted = probabilities >= THRESHOLD
    confidence = np.where(predicted, probabilities, 1 - probabilities)
    bins = np.ceil(confidence * NUM_BINS).astype(np.int64) - 1
    return bins, confidence, (predicted == labels).astype(np.float64)


def divide(numerator: Floats, denominator: Floats) -> Floats:
    """Elementwise quotient; NaN where the denominator is 0."""
    return np.divide(numerator, denominator, out=np.full(numerator.shape, np.nan), where=denominator > 0)


def group_codes(groups: Groups, num_images: int) -> Ints:
    """Groups numbered from 0 in order of appearance, (n,).

    Raises:
        ValueError: a missing group, or a number of groups other than ``num_images``.
    """
    known: dict[Hashable, int] = {}
    codes: list[int] = []
    for row, group in enumerate(groups):
        if group is None or group != group:
            raise ValueError(f"groups: expected a group for every image, got {group} at row {row}")
        codes.append(known.setdefault(group, len(known)))
    if len(codes) != num_images:
        raise ValueError(f"groups: expected {num_images} values, one per label, got {len(codes)}")
    return np.array(codes, dtype=np.int64)
