"""Names of scores and recipe fields as people say them, and numbers to the digits that their intervals carry."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from leukemia.config.results import fold_name, fold_range
from leukemia.scoring.metrics import Interval
from leukemia.study.given_recipes import compares
from leukemia.study.schema import SearchOptions

_SCORES = {
    "weighted_f1": "weighted F1",
    "sensitivity": "sensitivity (leukemic cells found)",
    "specificity": "specificity (normal cells found)",
    "auroc": "AUROC",
    "ece": "calibration error of the predicted class (ECE)",
}

_SHORT = {"auroc": "AUROC", "weighted_f1": "weighted F1"}

_FIELDS = {
    "optimizer.name": "optimizer",
    "optimizer.restart_epochs": "first cycle (epochs)",
    "optimizer.restart_factor": "growth of cycles",
    "optimizer.warmup_epochs": "warm-up (epochs)",
    "augment.rotate": "rotation",
    "augment.rotate_limit": "largest rotation (degrees)",
    "augment.border": "border of rotations",
    "evaluate.tta": "test-time augmentation",
    "evaluate.precise_bn": "precise BatchNorm",
}

MOST_DIGITS = 4
"""Decimal places of a score with a very narrow interval."""


def metric_name(metric: str) -> str:
    """The name of a metric, with its meaning where clinicians use another word.

    >>> metric_name("balanced_accuracy"), metric_name("sensitivity")
    ('balanced accuracy', 'sensitivity (leukemic cells found)')
    """
    return _SCORES.get(metric, metric.replace("_", " "))


def objective_name(objective: str) -> str:
    """The name of the score that a search maximizes; all are with test-time augmentation.

    >>> objective_name("tta_accuracy"), objective_name("tta_auroc")
    ('accuracy', 'AUROC')
    """
    metric = objective.removeprefix("tta_")
    return _SHORT.get(metric, metric.replace("_", " "))


def more_often(info: SearchOptions) -> str:
    """Why trials with one value differ from those with another, as the end of a sentence; empty for a comparison.

    >>> more_often(SearchOptions())
    ', and a search tries promising values more often'
    """
    return "" if compares(info) else ", and a search tries promising values more often"


def field_name(key: str) -> str:
    """The name of a recipe field, without its section.

    >>> field_name("optimizer.learning_rate"), field_name("augment.rotate")
    ('learning rate', 'rotation')
    """
    return _FIELDS.get(key, key.partition(".")[2].replace("_", " "))


def value_text(value: Any) -> str:
    """A value of a recipe field, with three significant digits.

    >>> value_text(0.00123456), value_text(True), value_text(None), value_text(18)
    ('0.00123', 'yes', '–', '18')
    """
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def folds_text(folds: Sequence[int]) -> str:
    """Folds in ascending order, from 0 in the arguments, as people read them.

    >>> folds_text([0]), folds_text([0, 1, 2]), folds_text([0, 2])
    ('fold 1', 'folds 1 to 3', 'fold 1 and fold 3')
    """
    if len(folds) == folds[-1] - folds[0] + 1:
        return fold_range(folds[0], folds[-1])
    *others, last = map(fold_name, folds)
    return f"{', '.join(others)} and {last}"


def digits_of(interval: Interval) -> int:
    """Decimal places that an interval carries: two significant digits of half its width, at least 2 decimal places.

    >>> digits_of(Interval(0.8734, 0.851, 0.894)), digits_of(Interval(0.87, 0.6, 0.97))
    (3, 2)
    """
    half = (interval.high - interval.low) / 2
    # One without a width, as of a score of 1, says nothing.
    return min(max(1 - math.floor(math.log10(half)), 2), MOST_DIGITS) if half > 0 else 3


def describe_interval(interval: Interval) -> str:
    """A score and its interval, or why it is undefined.

    >>> describe_interval(Interval(0.8734, 0.851, 0.894))
    '0.873 (0.851 to 0.894)'
    >>> describe_interval(Interval(0.8734, 0.651, 0.974))
    '0.87 (0.65 to 0.97)'
    """
    if math.isnan(interval.value):
        return "undefined: only one class"
    digits = digits_of(interval)
    if math.isnan(interval.low):
        return f"{interval.value:.{digits}f} (no interval: too few groups)"
    return f"{interval.value:.{digits}f} ({interval.low:.{digits}f} to {interval.high:.{digits}f})"
