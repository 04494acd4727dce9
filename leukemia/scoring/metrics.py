"""Scores of a classifier with intervals: pure functions of labels, probabilities and groups.

Everywhere ``labels`` is an int array (n,) of 0 (normal, ``hem``) and 1 (leukemic, ``all``), and ``probabilities`` a
float array (n,) of the probability of class 1 in 0..1; an image counts as leukemic from 0.5 on. ``groups`` holds n
hashables: images of one group (a patient, or patients who share images) are not independent of each other.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import stdtrit

from leukemia.scoring.bootstrap import (
    NUM_BINS,
    THRESHOLD,
    Floats,
    Groups,
    Interval,
    Ints,
    Tally,
    confidence_bins,
    divide,
    group_codes,
    interval_of,
    resampled,
)

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

_CLASSES_NEEDED = {"balanced_accuracy": (0, 1), "auroc": (0, 1), "sensitivity": (1,), "specificity": (0,)}


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
    tally = Tally(*checked(labels, probabilities), group_codes(groups, np.size(labels)))
    samples = resampled([tally], METRICS, seed, num_resamples)[0]
    point = tally.point(METRICS)
    # Noise adds to every bin's gap, so resamples have a larger ECE than the data: centre them, or their interval can
    # lie wholly above the value.
    samples["ece"] = np.clip(samples["ece"] - samples["ece"].mean() + point["ece"], 0.0, 1.0)
    return {metric: interval_of(point[metric], samples[metric], tally.num_groups, level) for metric in METRICS}


def point_scores(labels: ArrayLike, probabilities: ArrayLike) -> dict[str, float]:
    """Every score in ``METRICS`` without intervals; NaN where its class is absent.

    >>> point_scores([0, 0, 1, 1], [0.1, 0.6, 0.7, 0.9])["accuracy"]
    0.75
    """
    labels, probabilities = checked(labels, probabilities)
    return Tally(labels, probabilities, np.zeros(len(labels), dtype=np.int64)).point(METRICS)


def confusion_matrix(labels: ArrayLike, probabilities: ArrayLike) -> Ints:
    """Counts (2, 2): rows are true classes, columns predicted ones, in the order hem, all.

    >>> confusion_matrix([0, 0, 1], [0.1, 0.6, 0.7]).tolist()
    [[1, 1], [0, 1]]
    """
    labels, probabilities = checked(labels, probabilities)
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
    codes = group_codes(groups, np.size(labels))
    tallies = [Tally(*checked(labels, each), codes) for each in (probabilities_a, probabilities_b)]
    a, b = resampled(tallies, (metric,), seed, num_resamples)
    value = tallies[0].point((metric,))[metric] - tallies[1].point((metric,))[metric]
    return interval_of(value, a[metric] - b[metric], tallies[0].num_groups, level)


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
    labels, probabilities = checked(labels, probabilities)
    codes = group_codes(groups, len(labels))
    tally = Tally(labels, probabilities, codes)
    value = tally.point((metric,))[metric]
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
    samples = resampled([tally], (metric,), seed, 1000)[0][metric]
    error = float(np.nanstd(samples)) * math.sqrt(num_groups / (num_groups - 1))
    if error < 1e-9:
        return min(1.0, value + math.sqrt(-math.log(1 - level) / (2 * num_groups)))
    return min(1.0, max(value + float(stdtrit(num_groups - 1, level)) * error, float(np.nanquantile(samples, level))))


def roc_points(labels: ArrayLike, probabilities: ArrayLike) -> tuple[Floats, Floats]:
    """The ROC curve: false and true positive rates (k,), from (0, 0) to (1, 1); NaN where a class is absent."""
    labels, probabilities = checked(labels, probabilities)
    order = np.argsort(-probabilities, kind="stable")
    # Images of one probability cross the threshold together: only the last of them is a point of the curve.
    ends = np.append(np.flatnonzero(np.diff(probabilities[order])), len(labels) - 1)
    counts = [np.append(0.0, np.cumsum(labels[order] == label)[ends]) for label in (0, 1)]
    false_rate, true_rate = (divide(each, np.full(each.shape, each[-1])) for each in counts)
    return false_rate, true_rate


def calibration_bins(labels: ArrayLike, probabilities: ArrayLike) -> Floats:
    """What ``ece`` is made of, (15, 3): per bin ((i - 1) / 15, i / 15] of confidence its number of images, mean
    confidence in the predicted class, and accuracy; NaN for the last two in an empty bin. With two classes no
    confidence is below 0.5, so the first bins are empty."""
    labels, probabilities = checked(labels, probabilities)
    bins, confidence, right = confidence_bins(labels, probabilities)
    sums = [np.bincount(bins, each, NUM_BINS) for each in (np.ones(len(bins)), confidence, right)]
    counts, confidence, right = np.array(sums, dtype=np.float64)
    return np.column_stack([counts, divide(confidence, counts), divide(right, counts)])


def _checked_labels(labels: ArrayLike) -> Ints:
    array = np.asarray(labels)
    if array.ndim != 1 or not len(array):
        raise ValueError(f"labels: expected a non-empty array (n,), got shape {array.shape}")
    _refuse_rows("labels: expected 0 or 1", array, ~np.isin(array, (0, 1)))
    return array.astype(np.int64)


def checked(labels: ArrayLike, probabilities: ArrayLike) -> tuple[Ints, Floats]:
    """Labels as int64 and probabilities as float64, both (n,).

    Raises:
        ValueError: empty or unequal lengths, a label other than 0 and 1, a probability outside 0..1.
    """
    known, array = _checked_labels(labels), np.asarray(probabilities, dtype=np.float64)
    if array.shape != known.shape:
        raise ValueError(f"probabilities: expected shape {known.shape} as the labels, got {array.shape}")
    # A mean of float32 probabilities may exceed 1 by some 1e-7; NaN fails this comparison, as it should.
    _refuse_rows("probabilities: expected values in 0..1", array, ~((array >= -1e-6) & (array <= 1 + 1e-6)))
    return known, np.clip(array, 0.0, 1.0)


def _refuse_rows(expected: str, array: NDArray[Any], wrong: NDArray[np.bool_]) -> None:
    if wrong.any():
        first = int(np.argmax(wrong))
        raise ValueError(f"{expected}, got {array[first]} at row {first} ({int(wrong.sum())} such rows)")


def _check_metric(metric: str) -> None:
    if metric not in METRICS:
        raise ValueError(f"metric: expected one of {', '.join(METRICS)}, got {metric!r}")
