"""Scores of a classifier with confidence intervals, as pure functions of labels, probabilities and groups.

Throughout, ``labels`` is an int array (n,) of 0 (normal, ``hem``) and 1 (leukemic, ``all``), and ``probabilities`` a
float array (n,) of the probability of class 1 in 0..1; an image is classified as leukemic from 0.5. ``groups`` holds n
hashables: images of one group (a patient, or patients who share images) are not independent of each other.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import stdtrit

from leukemia.scoring.bootstrap import (
    THRESHOLD,
    Floats,
    Groups,
    Interval,
    Ints,
    Tally,
    divide,
    group_codes,
    interval_of,
    resampled,
)

METRICS = ("accuracy", "balanced_accuracy", "weighted_f1", "sensitivity", "specificity", "auroc", "ece")
"""All scores, each in 0..1; 1 is best except for ``ece``.

accuracy           share of images classified correctly
balanced_accuracy  mean of sensitivity and specificity; 0.5 for a constant prediction
weighted_f1        F1 of each class, weighted by its number of images
sensitivity        recall of class 1, leukemic
specificity        recall of class 0, normal
auroc              probability that a leukemic image ranks above a normal one, ties count half; 0.5 by chance
ece                calibration error over 15 equal-width bins of predicted-class confidence (Guo et al. 2017); 0 is best
"""

_CLASSES_NEEDED = {"balanced_accuracy": (0, 1), "auroc": (0, 1), "sensitivity": (1,), "specificity": (0,)}


def scores(
    labels: ArrayLike,
    probabilities: ArrayLike,
    groups: Groups,
    *,
    threshold: float = THRESHOLD,
    seed: int = 0,
    num_resamples: int = 1000,
    level: float = 0.95,
) -> dict[str, Interval]:
    """All scores in ``METRICS`` with percentile intervals from a cluster bootstrap (Field & Welsh 2007).

    Whole groups are drawn with replacement. A resample that lacks a class is skipped for the scores that need that
    class (sensitivity, specificity, and balanced accuracy and AUROC, which need both). A score is NaN if a class it
    needs is absent from the data; the bounds are NaN with a single group. An image is classified as leukemic from
    ``threshold``; ``ece`` is of the classes from 0.5.

    Raises:
        ValueError: empty or unequal lengths, a label other than 0 and 1, a probability outside 0..1, a missing group.
    """
    tally = Tally(*checked(labels, probabilities), group_codes(groups, np.size(labels)), threshold)
    samples = resampled([tally], METRICS, seed, num_resamples)[0]
    point = tally.point(METRICS)
    # Noise widens every bin's gap, so resamples have a larger ECE than the data. Without centring, the whole interval
    # could be above the value.
    samples["ece"] = np.clip(samples["ece"] - samples["ece"].mean() + point["ece"], 0.0, 1.0)
    return {metric: interval_of(point[metric], samples[metric], tally.num_groups, level) for metric in METRICS}


def point_scores(labels: ArrayLike, probabilities: ArrayLike, threshold: float = THRESHOLD) -> dict[str, float]:
    """All scores in ``METRICS`` without intervals, as ``scores``; NaN if a needed class is absent.

    >>> point_scores([0, 0, 1, 1], [0.1, 0.6, 0.7, 0.9])["accuracy"]
    0.75
    """
    labels, probabilities = checked(labels, probabilities)
    return Tally(labels, probabilities, np.zeros(len(labels), dtype=np.int64), threshold).point(METRICS)


def confusion_matrix(labels: ArrayLike, probabilities: ArrayLike, threshold: float = THRESHOLD) -> Ints:
    """Counts (2, 2): rows are true classes, columns predicted classes from ``threshold``, in the order hem, all.

    >>> confusion_matrix([0, 0, 1], [0.1, 0.6, 0.7]).tolist()
    [[1, 1], [0, 1]]
    """
    labels, probabilities = checked(labels, probabilities)
    return np.bincount(2 * labels + (probabilities >= threshold), minlength=4).reshape(2, 2)


def majority_rate(labels: ArrayLike) -> float:
    """Accuracy of always predicting the more frequent class, in 0.5..1: the baseline for any accuracy.

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

    The difficulty of each patient cancels out, so the interval is much narrower than for two separate scores.

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
    """A paired difference as text, in percentage points, for scores where higher is better (all but ``ece``).

    >>> describe_difference(Interval(0.012, -0.003, 0.026))
    'better by 1.2 points, 95 % interval -0.3 to 2.6: not significant'
    """
    if math.isnan(interval.value):
        return "not defined: a class is absent"
    # Adding 0.0 turns -0.0, a small difference rounded to zero, into 0.0.
    points, low, high = (round(100 * number, 1) + 0.0 for number in (interval.value, interval.low, interval.high))
    direction = "better" if points > 0 else "worse"
    difference = f"{direction} by {abs(points):.1f} points" if points else "no difference to 0.1 points"
    if math.isnan(low):
        return f"{difference}, no interval: too few groups"
    verdict = "significant" if interval.low > 0 or interval.high < 0 else "not significant"
    return f"{difference}, {100 * level:g} % interval {low:.1f} to {high:.1f}: {verdict}"


def upper_bound(
    labels: ArrayLike, probabilities: ArrayLike, groups: Groups, metric: str, level: float = 0.95, seed: int = 0
) -> float:
    """A one-sided upper confidence bound, in 0..1, on a score over other groups.

    A percentile of resamples cannot exceed the observed range and is too low for few groups (Hesterberg 2015),
    so the bound adds Student's t times the bootstrap standard error. The degrees of freedom come from the groups of
    the rarest class that the score needs; with fewer than three such groups the bound is 1. If the resamples do not
    vary at all, their standard error is uninformative, and Hoeffding's (1963) bound for that many groups is used.
    Constant predictions are exempt: their balanced accuracy, or AUROC, is 0.5 by definition.

    Returns:
        the bound, or NaN if the score is undefined because a class is absent.

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
    predictions = {"balanced_accuracy": probabilities >= THRESHOLD, "auroc": probabilities}.get(metric)
    if predictions is not None and np.all(predictions == predictions[0]):
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
    """The ROC curve: false and true positive rates (k,), from (0, 0) to (1, 1); NaN if a class is absent."""
    labels, probabilities = checked(labels, probabilities)
    order = np.argsort(-probabilities, kind="stable")
    # Images of equal probability cross the threshold together: only the last of them is a point of the curve.
    ends = np.append(np.flatnonzero(np.diff(probabilities[order])), len(labels) - 1)
    counts = [np.append(0.0, np.cumsum(labels[order] == label)[ends]) for label in (0, 1)]
    false_rate, true_rate = (divide(each, np.full(each.shape, each[-1])) for each in counts)
    return false_rate, true_rate


def precision_recall_points(labels: ArrayLike, probabilities: ArrayLike) -> tuple[Floats, Floats]:
    """Recall of class 1 (sensitivity) and precision (PPV), (k,), one point for each distinct probability as threshold,
    by descending threshold; NaN if class 1 is absent."""
    labels, probabilities = checked(labels, probabilities)
    order = np.argsort(-probabilities, kind="stable")
    ends = np.append(np.flatnonzero(np.diff(probabilities[order])), len(labels) - 1)
    found = np.cumsum(labels[order])[ends].astype(np.float64)
    return divide(found, np.full(found.shape, found[-1])), found / (ends + 1)


def average_precision(labels: ArrayLike, probabilities: ArrayLike) -> float:
    """Area under the steps of the precision-recall curve, in 0..1; by chance the share of class 1. NaN without class 1.

    >>> round(average_precision([0, 0, 1, 1], [0.1, 0.4, 0.35, 0.8]), 3)
    0.833
    """
    recall, precision = precision_recall_points(labels, probabilities)
    return float(np.sum(np.diff(recall, prepend=0.0) * precision))


def _checked_labels(labels: ArrayLike) -> Ints:
    array = np.asarray(labels)
    if array.ndim != 1 or not len(array):
        raise ValueError(f"labels: expected a non-empty array (n,), got shape {array.shape}")
    _reject_rows("labels: expected 0 or 1", array, ~np.isin(array, (0, 1)))
    return array.astype(np.int64)


def checked(labels: ArrayLike, probabilities: ArrayLike) -> tuple[Ints, Floats]:
    """Labels as int64 and probabilities as float64, both (n,).

    Raises:
        ValueError: empty or unequal lengths, a label other than 0 and 1, a probability outside 0..1.
    """
    known, array = _checked_labels(labels), np.asarray(probabilities, dtype=np.float64)
    if array.shape != known.shape:
        raise ValueError(f"probabilities: expected shape {known.shape}, like the labels, got {array.shape}")
    # A mean of float32 probabilities may exceed 1 by about 1e-7. NaN fails this comparison, as intended.
    _reject_rows("probabilities: expected values in 0..1", array, ~((array >= -1e-6) & (array <= 1 + 1e-6)))
    return known, np.clip(array, 0.0, 1.0)


def _reject_rows(expected: str, array: NDArray[Any], wrong: NDArray[np.bool_]) -> None:
    if wrong.any():
        first = int(np.argmax(wrong))
        raise ValueError(f"{expected}, got {array[first]} at row {first} ({int(wrong.sum())} such rows)")


def _check_metric(metric: str) -> None:
    if metric not in METRICS:
        raise ValueError(f"metric: expected one of {', '.join(METRICS)}, got {metric!r}")
