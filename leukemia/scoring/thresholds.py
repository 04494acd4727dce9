"""Thresholds, from which an image is called leukemic, and the rules that choose them.

A rule is ``youden``, the largest sum of sensitivity and specificity (Youden 1950); ``sensitivity=S``, the highest
threshold that reaches this sensitivity; or a number, which is the threshold itself.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike

from leukemia.scoring.bootstrap import THRESHOLD, Floats, Ints
from leukemia.scoring.metrics import checked

YOUDEN, SENSITIVITY = "youden", "sensitivity="

DEFAULT_RULE = f"{THRESHOLD:g}"

RULES = (DEFAULT_RULE, YOUDEN, *(f"{SENSITIVITY}{each:g}" for each in (0.9, 0.95, 0.99)))
"""Rules that are always compared."""


def parse_rule(text: str) -> str:
    """A rule as it is written everywhere.

    Raises:
        ValueError: it is none.

    >>> parse_rule("Youden"), parse_rule("sensitivity=.90"), parse_rule("0.50")
    ('youden', 'sensitivity=0.9', '0.5')
    """
    rule = text.strip().lower()
    kind, number = (SENSITIVITY, rule.removeprefix(SENSITIVITY)) if rule.startswith(SENSITIVITY) else ("", rule)
    if rule == YOUDEN:
        return rule
    try:
        value = float(number)
    except ValueError:
        value = math.nan
    if not 0 < value < 1:
        raise ValueError(
            f"expected youden, sensitivity=S, or a threshold, S and the threshold between 0 and 1, got {text!r}"
        )
    return f"{kind}{value:g}"


def is_fixed(rule: str) -> bool:
    """Whether a rule is the threshold itself."""
    return rule != YOUDEN and not rule.startswith(SENSITIVITY)


class Ranked:
    """Some of the images by ascending probability."""

    def __init__(self, labels: Ints, probabilities: Floats, codes: Ints) -> None:
        """All (n,), as in ``leukemia.scoring.bootstrap``."""
        order = np.argsort(probabilities, kind="stable")
        self.probabilities = probabilities[order]
        self._codes, self._labels = codes[order], labels[order]
        self.starts = np.append(0, np.flatnonzero(np.diff(self.probabilities)) + 1)
        """First position of each distinct probability."""

    def weigh(self, weights: Floats) -> tuple[Floats, Floats]:
        """Weight of the normal and of the leukemic images from each position on, (resamples, n + 1) each.

        Args:
            weights: (resamples, groups).
        """
        images = weights[:, self._codes]
        found = []
        for label in (0, 1):
            below = np.cumsum(images * (self._labels == label), axis=1)
            found.append(np.concatenate([below[:, -1:], below[:, -1:] - below], axis=1))
        return found[0], found[1]

    def choose(self, rule: str, normal: Floats, leukemic: Floats) -> Floats:
        """Thresholds (resamples,) by a rule, for the weights of ``weigh``; NaN if a class that it needs is absent."""
        values = self.probabilities[self.starts]
        from_normal, from_leukemic = normal[:, self.starts], leukemic[:, self.starts]
        if rule.startswith(SENSITIVITY):
            wanted = float(rule.removeprefix(SENSITIVITY)) * leukemic[:, :1]
            # The weight falls with the position. A product such as 0.9 * 10 may be rounded up.
            last = (from_leukemic >= wanted - 1e-9).sum(axis=1) - 1
            return np.where(leukemic[:, 0] > 0, values[last], np.nan)
        if rule == YOUDEN:
            # Sensitivity minus the rate of false alarms, times both totals: whole numbers, so that ties are exact.
            gain = from_leukemic * normal[:, :1] - from_normal * leukemic[:, :1]
            # Of equal ones the lowest, so that fewer leukemic cells are missed.
            first = np.argmax(gain, axis=1)
            # Any threshold down to the next probability gives the same classes: the middle is the safest.
            middles = (values + np.append(0.0, values[:-1])) / 2
            return np.where((leukemic[:, 0] > 0) & (normal[:, 0] > 0), middles[first], np.nan)
        return np.full(len(normal), float(rule))

    def count(self, thresholds: Floats, normal: Floats, leukemic: Floats) -> Floats:
        """Weights of the images called leukemic, of class 0 and 1, and of all of both classes: (4, resamples)."""
        positions = np.searchsorted(self.probabilities, thresholds, side="left")
        rows = np.arange(len(thresholds))
        found = np.stack([normal[rows, positions], leukemic[rows, positions], normal[:, 0], leukemic[:, 0]])
        return np.where(np.isnan(thresholds), np.nan, found)


def choose_threshold(rule: str, labels: ArrayLike, probabilities: ArrayLike) -> float:
    """The threshold that a rule gives on these images, in 0..1; NaN if a class that it needs is absent.

    Raises:
        ValueError: as ``leukemia.scoring.metrics.scores``.

    >>> choose_threshold("sensitivity=0.6", [0, 1, 0, 1, 1], [0.1, 0.3, 0.4, 0.7, 0.8])
    0.7
    >>> choose_threshold("youden", [0, 1, 0, 1, 1], [0.1, 0.3, 0.4, 0.6, 0.8])
    0.5
    """
    labels, probabilities = checked(labels, probabilities)
    ranked = Ranked(labels, probabilities, np.zeros(len(labels), dtype=np.int64))
    return float(ranked.choose(rule, *ranked.weigh(np.ones((1, 1))))[0])
