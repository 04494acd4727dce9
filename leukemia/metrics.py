"""Scores of a classifier with intervals: pure functions of labels, probabilities and groups.

Everywhere ``labels`` is an int array (n,) of 0 (normal, ``hem``) and 1 (leukemic, ``all``), and ``probabilities`` a
float array (n,) of the probability of class 1 in 0..1; an image counts as leukemic from 0.5 on. ``groups`` holds n
hashables: images of one group (a patient, or patients who share images) are not independent of each other.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from statistics import NormalDist
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

METRICS = ("accuracy", "balanced_accuracy", "weighted_f1", "sensitivity", "specificity", "auroc", "ece")
"""Every score, each in 0..1, 1 being best except for ``ece``.

accuracy           share of images that are right
balanced_accuracy  mean of sensitivity and specificity; 0.5 for a constant answer
weighted_f1        F1 of each class, weighted by its number of images
sensitivity        recall of class 1, leukemic
specificity        recall of class 0, normal
auroc              probability that a leukemic image ranks above a normal one, ties counting half; 0.5 by chance
ece                calibration error over 15 equal bins of the predicted class's confidence (Guo et al. 2017); 0 is best
"""

Ints: TypeAlias = NDArray[np.int64]
Floats: TypeAlias = NDArray[np.float64]
Groups: TypeAlias = Iterable[Hashable]

THRESHOLD = 0.5
NUM_BINS = 15
_CHUNK_CELLS = 2_000_000  # resamples x images held at once: 16 MB an array
_CLASSES_NEEDED = {"balanced_accuracy": (0, 1), "auroc": (0, 1), "sensitivity": (1,), "specificity": (0,)}


@dataclass(frozen=True)
class Interval:
    """A value and the ends of its interval. NaN stands for what is not defined."""

    value: float
    low: float
    high: float

    def to_dict(self) -> dict[str, float | None]:
        """For JSON, which has no NaN: None in its place.

        >>> Interval(0.5, 0.4, float("nan")).to_dict()
        {'value': 0.5, 'low': 0.4, 'high': None}
        """
        return {key: None if math.isnan(number) else number for key, number in asdict(self).items()}

    @classmethod
    def from_dict(cls, values: Mapping[str, float | None]) -> Interval:
        """The inverse of ``to_dict``."""
        return cls(*(math.nan if number is None else number for number in map(values.get, ("value", "low", "high"))))


def scores(
    labels: ArrayLike,
    probabilities: ArrayLike,
    groups: Groups,
    *,
    seed: int = 0,
    num_resamples: int = 1000,
    level: float = 0.95,
) -> dict[str, Interval]:
    """Every score in ``METRICS`` with its percentile interval from a cluster bootstrap (Field & Welsh 2007).

    Whole groups are drawn with replacement. A resample without a class is left out for the scores that need that class
    (sensitivity, specificity, and balanced accuracy and AUROC, which need both). A score whose class is absent from
    the data is NaN; the ends are NaN where there is one group only, since it tells nothing about other groups.

    Raises:
        ValueError: empty or unequal lengths, a label other than 0 and 1, a probability outside 0..1, a missing group.
    """
    tally = _Tally(*_checked(labels, probabilities), _codes(groups, np.size(labels)))
    samples = _resampled([tally], METRICS, seed, num_resamples)[0]
    point = tally.point()
    # Noise adds to every bin's gap, so resamples have a larger ECE than the data: centre them, or their interval can
    # lie wholly above the value.
    samples["ece"] = np.clip(samples["ece"] - samples["ece"].mean() + point["ece"], 0.0, 1.0)
    return {metric: _interval(point[metric], samples[metric], tally.num_groups, level) for metric in METRICS}


def point_scores(labels: ArrayLike, probabilities: ArrayLike) -> dict[str, float]:
    """Every score in ``METRICS`` without intervals; NaN where its class is absent.

    >>> point_scores([0, 0, 1, 1], [0.1, 0.6, 0.7, 0.9])["accuracy"]
    0.75
    """
    labels, probabilities = _checked(labels, probabilities)
    return _Tally(labels, probabilities, np.zeros(len(labels), dtype=np.int64)).point()


def confusion_matrix(labels: ArrayLike, probabilities: ArrayLike) -> Ints:
    """Counts (2, 2): rows are true classes, columns predicted ones, in the order hem, all.

    >>> confusion_matrix([0, 0, 1], [0.1, 0.6, 0.7]).tolist()
    [[1, 1], [0, 1]]
    """
    labels, probabilities = _checked(labels, probabilities)
    return np.bincount(2 * labels + (probabilities >= THRESHOLD), minlength=4).reshape(2, 2)


def majority_rate(labels: ArrayLike) -> float:
    """Accuracy of always answering the more frequent class, in 0.5..1: what any accuracy must be read against.

    >>> majority_rate([1, 1, 1, 0])
    0.75
    """
    share = float(np.mean(_checked_labels(labels)))
    return max(share, 1 - share)


def paired_difference(
    labels: ArrayLike,
    probabilities_a: ArrayLike,
    probabilities_b: ArrayLike,
    groups: Groups,
    metric: str,
    *,
    seed: int = 0,
    num_resamples: int = 2000,
    level: float = 0.95,
) -> Interval:
    """Score of a minus score of b on the same images, in -1..1, with both scored on the same resampled groups.

    How hard a patient is then cancels out, which makes the interval much narrower than that of two separate scores.

    Raises:
        ValueError: as ``scores``, or an unknown metric.
    """
    _check_metric(metric)
    codes = _codes(groups, np.size(labels))
    tallies = [_Tally(*_checked(labels, each), codes) for each in (probabilities_a, probabilities_b)]
    a, b = _resampled(tallies, (metric,), seed, num_resamples)
    value = tallies[0].point()[metric] - tallies[1].point()[metric]
    return _interval(value, a[metric] - b[metric], tallies[0].num_groups, level)


def describe_difference(interval: Interval, *, level: float = 0.95) -> str:
    """A paired difference in plain words and percentage points, for scores where more is better (all but ``ece``).

    >>> describe_difference(Interval(0.012, -0.003, 0.026))
    'better by 1.2 points, 95 % interval -0.3 to 2.6: not settled'
    """
    if math.isnan(interval.value):
        return "not defined: a class is absent"
    # Adding zero turns the -0.0 of a rounded tiny loss into 0.0.
    points, low, high = (round(100 * number, 1) + 0.0 for number in (interval.value, interval.low, interval.high))
    direction = "better" if points > 0 else "worse"
    words = f"{direction} by {abs(points):.1f} points" if points else "no difference to 0.1 points"
    if math.isnan(low):
        return f"{words}, no interval: too few groups"
    settled = "settled" if interval.low > 0 or interval.high < 0 else "not settled"
    return f"{words}, {100 * level:g} % interval {low:.1f} to {high:.1f}: {settled}"


def upper_bound(
    labels: ArrayLike, probabilities: ArrayLike, groups: Groups, metric: str, level: float = 0.95, seed: int = 0
) -> float:
    """The largest value in 0..1 that a score may plausibly have on other groups: a one-sided upper bound.

    A percentile of resamples never leaves what was seen and is too low for few groups (Hesterberg 2015),
    so the bound adds Student's t times the bootstrap's standard error. Its degrees of freedom come from the groups of
    the rarest class that the score needs; with fewer than three of them the bound is 1. Resamples that do not vary at
    all say nothing about their error: then Hoeffding's (1963) bound for that many groups holds. A constant answer is
    exempt: its balanced accuracy, or AUROC, is 0.5 by definition.

    Returns:
        the bound, or NaN where the score is not defined because a class is absent.

    Raises:
        ValueError: as ``scores``, or an unknown metric.
    """
    _check_metric(metric)
    labels, probabilities = _checked(labels, probabilities)
    codes = _codes(groups, len(labels))
    tally = _Tally(labels, probabilities, codes)
    value = tally.point()[metric]
    if math.isnan(value):
        return value
    answers = {"balanced_accuracy": probabilities >= THRESHOLD, "auroc": probabilities}.get(metric)
    if answers is not None and np.all(answers == answers[0]):
        return value
    classes = _CLASSES_NEEDED.get(metric)
    sizes = [tally.num_groups] if classes is None else [len(np.unique(codes[labels == each])) for each in classes]
    num_groups = min(sizes)
    if num_groups < 3:
        return 1.0
    samples = _resampled([tally], (metric,), seed, 1000)[0][metric]
    error = float(np.nanstd(samples)) * math.sqrt(num_groups / (num_groups - 1))
    if error < 1e-9:
        return min(1.0, value + math.sqrt(-math.log(1 - level) / (2 * num_groups)))
    return min(1.0, max(value + _student_t(level, num_groups - 1) * error, float(np.nanquantile(samples, level))))


def roc_points(labels: ArrayLike, probabilities: ArrayLike) -> tuple[Floats, Floats]:
    """The ROC curve: false and true positive rates (k,), from (0, 0) to (1, 1); NaN where a class is absent."""
    labels, probabilities = _checked(labels, probabilities)
    order = np.argsort(-probabilities, kind="stable")
    # Images of one probability cross the threshold together: only the last of them is a point of the curve.
    ends = np.append(np.flatnonzero(np.diff(probabilities[order])), len(labels) - 1)
    counts = [np.append(0.0, np.cumsum(labels[order] == label)[ends]) for label in (0, 1)]
    false_rate, true_rate = (_divide(each, np.full(each.shape, each[-1])) for each in counts)
    return false_rate, true_rate


def calibration_bins(labels: ArrayLike, probabilities: ArrayLike) -> Floats:
    """What ``ece`` is made of, (15, 3): per bin ((i - 1) / 15, i / 15] of confidence its number of images, mean
    confidence in the predicted class, and accuracy; NaN for the last two in an empty bin. With two classes no
    confidence is below 0.5, so the first bins are empty."""
    labels, probabilities = _checked(labels, probabilities)
    bins, confidence, right = _confidence(labels, probabilities)
    sums = [np.bincount(bins, each, NUM_BINS) for each in (np.ones(len(bins)), confidence, right)]
    counts, confidence, right = np.array(sums, dtype=np.float64)
    return np.column_stack([counts, _divide(confidence, counts), _divide(right, counts)])


class _Tally:
    """What each group adds to each score, so that a resample is a weighting of groups."""

    def __init__(self, labels: Ints, probabilities: Floats, codes: Ints) -> None:
        self.num_images, self.num_groups = len(labels), int(codes.max()) + 1
        cells = 4 * codes + 2 * labels + (probabilities >= THRESHOLD)
        self.confusion = np.bincount(cells, minlength=4 * self.num_groups).reshape(-1, 4).astype(np.float64)
        bins, confidence, right = _confidence(labels, probabilities)
        gaps = np.bincount(NUM_BINS * codes + bins, confidence - right, NUM_BINS * self.num_groups)
        self.gaps = gaps.reshape(-1, NUM_BINS)
        order = np.argsort(probabilities, kind="stable")
        self.sorted_codes, self.sorted_labels = codes[order], labels[order]
        self.tie_starts = np.append(0, np.flatnonzero(np.diff(probabilities[order])) + 1)

    def point(self) -> dict[str, float]:
        weighted = self.weighted(np.ones((1, self.num_groups)), METRICS)
        return {metric: float(values[0]) for metric, values in weighted.items()}

    def weighted(self, weights: Floats, metrics: Iterable[str]) -> dict[str, Floats]:
        """Scores (resamples,) where each image counts as often as its group in ``weights`` (resamples, groups)."""
        true_normal, false_leukemic, false_normal, true_leukemic = (weights @ self.confusion).T
        normal, leukemic = true_normal + false_leukemic, false_normal + true_leukemic
        total, wrong = normal + leukemic, false_leukemic + false_normal
        sensitivity, specificity = _divide(true_leukemic, leukemic), _divide(true_normal, normal)
        # F1 = 2 TP / (2 TP + FP + FN); an absent class has no weight, and its 0 / 0 must not spoil the sum.
        f1 = [np.nan_to_num(_divide(2 * right, 2 * right + wrong)) for right in (true_normal, true_leukemic)]
        formulas = {
            "accuracy": lambda: (true_normal + true_leukemic) / total,
            "balanced_accuracy": lambda: (sensitivity + specificity) / 2,
            "weighted_f1": lambda: (normal * f1[0] + leukemic * f1[1]) / total,
            "sensitivity": lambda: sensitivity,
            "specificity": lambda: specificity,
            "auroc": lambda: self._auroc(weights),
            "ece": lambda: np.abs(weights @ self.gaps).sum(axis=1) / total,
        }
        return {metric: formulas[metric]() for metric in metrics}

    def _auroc(self, weights: Floats) -> Floats:
        """Weighted Mann-Whitney statistic: per leukemic image the normal ones below it, and half of those equal."""
        images = weights[:, self.sorted_codes]
        positive = np.add.reduceat(images * self.sorted_labels, self.tie_starts, axis=1)
        negative = np.add.reduceat(images * (1 - self.sorted_labels), self.tie_starts, axis=1)
        below = np.cumsum(negative, axis=1)
        wins = np.einsum("ij,ij->i", positive, below - negative / 2)
        return _divide(wins, positive.sum(axis=1) * below[:, -1])


def _resampled(
    tallies: list[_Tally], metrics: tuple[str, ...], seed: int, num_resamples: int
) -> list[dict[str, Floats]]:
    """Per tally and metric the scores (num_resamples,), all on the same draws of groups."""
    parts: list[list[dict[str, Floats]]] = [[] for _ in tallies]
    for weights in _draws(tallies[0], seed, num_resamples):
        for part, tally in zip(parts, tallies, strict=True):
            part.append(tally.weighted(weights, metrics))
    return [{metric: np.concatenate([each[metric] for each in part]) for metric in metrics} for part in parts]


def _draws(tally: _Tally, seed: int, num_resamples: int) -> Iterator[Floats]:
    """How often each group is drawn, (resamples, groups), in chunks that fit the memory."""
    generator = np.random.default_rng(seed)
    num_groups, chunk = tally.num_groups, max(1, _CHUNK_CELLS // tally.num_images)
    for start in range(0, num_resamples, chunk):
        rows = min(chunk, num_resamples - start)
        drawn = generator.integers(num_groups, size=(rows, num_groups)) + num_groups * np.arange(rows)[:, None]
        yield np.bincount(drawn.ravel(), minlength=rows * num_groups).reshape(rows, num_groups).astype(np.float64)


def _interval(value: float, samples: Floats, num_groups: int, level: float) -> Interval:
    samples = samples[~np.isnan(samples)]
    if num_groups < 2 or math.isnan(value) or not len(samples):
        return Interval(value, math.nan, math.nan)
    low, high = np.quantile(samples, [(1 - level) / 2, (1 + level) / 2])
    return Interval(value, float(low), float(high))


def _student_t(level: float, degrees: int) -> float:
    """Quantile of Student's t from the normal one (Abramowitz & Stegun 26.7.5); within 0.5 % from 2 degrees, 0.95."""
    z = NormalDist().inv_cdf(level)
    second, third = z**3 + z, 5 * z**5 + 16 * z**3 + 3 * z
    fourth = 3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z
    fifth = 79 * z**9 + 776 * z**7 + 1482 * z**5 - 1920 * z**3 - 945 * z
    terms = (z, second / 4, third / 96, fourth / 384, fifth / 92160)
    return sum(term / degrees**power for power, term in enumerate(terms))


def _confidence(labels: Ints, probabilities: Floats) -> tuple[Ints, Floats, Floats]:
    """Per image its bin, the confidence in its predicted class (0.5..1), and 1 where that class is right, else 0."""
    predicted = probabilities >= THRESHOLD
    confidence = np.where(predicted, probabilities, 1 - probabilities)
    bins = np.ceil(confidence * NUM_BINS).astype(np.int64) - 1
    return bins, confidence, (predicted == labels).astype(np.float64)


def _divide(numerator: Floats, denominator: Floats) -> Floats:
    """The quotient, NaN where the denominator is 0."""
    return np.divide(numerator, denominator, out=np.full(numerator.shape, np.nan), where=denominator > 0)


def _checked_labels(labels: ArrayLike) -> Ints:
    array = np.asarray(labels)
    if array.ndim != 1 or not len(array):
        raise ValueError(f"labels: expected a non-empty array (n,), got shape {array.shape}")
    _refuse_rows("labels: expected 0 or 1", array, ~np.isin(array, (0, 1)))
    return array.astype(np.int64)


def _checked(labels: ArrayLike, probabilities: ArrayLike) -> tuple[Ints, Floats]:
    checked, array = _checked_labels(labels), np.asarray(probabilities, dtype=np.float64)
    if array.shape != checked.shape:
        raise ValueError(f"probabilities: expected shape {checked.shape} as the labels, got {array.shape}")
    # A mean of float32 probabilities may exceed 1 by some 1e-7; NaN fails this comparison, as it should.
    _refuse_rows("probabilities: expected values in 0..1", array, ~((array >= -1e-6) & (array <= 1 + 1e-6)))
    return checked, np.clip(array, 0.0, 1.0)


def _refuse_rows(expected: str, array: NDArray[Any], wrong: NDArray[np.bool_]) -> None:
    if wrong.any():
        first = int(np.argmax(wrong))
        raise ValueError(f"{expected}, got {array[first]} at row {first} ({int(wrong.sum())} such rows)")


def _codes(groups: Groups, num_images: int) -> Ints:
    """Groups numbered from 0 in order of appearance, (n,)."""
    known: dict[Hashable, int] = {}
    codes: list[int] = []
    for row, group in enumerate(groups):
        if group is None or group != group:
            raise ValueError(f"groups: expected a group for every image, got {group} at row {row}")
        codes.append(known.setdefault(group, len(known)))
    if len(codes) != num_images:
        raise ValueError(f"groups: expected {num_images} values as the labels, got {len(codes)}")
    return np.array(codes, dtype=np.int64)


def _check_metric(metric: str) -> None:
    if metric not in METRICS:
        raise ValueError(f"metric: expected one of {', '.join(METRICS)}, got {metric!r}")
