"""Pure decisions: is there any hope left for this trial? which complete trial is best?"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from leukemia.metrics import THRESHOLD, upper_bound

HOPELESS = 0.55
"""A trial is given up when the upper bound of its balanced accuracy lies below this: 0.5 is a coin."""

CONFIDENCE = 0.95
"""Level of the one-sided upper bound."""


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """Whether a trial goes on, and why not."""

    go_on: bool
    reason: str = ""


GO_ON = Verdict(go_on=True)


def judge_fold(labels: np.ndarray, probabilities: np.ndarray, groups: np.ndarray, folds: np.ndarray) -> Verdict:
    """Judge a trial by all out-of-fold images that it has predicted so far.

    A trial is hopeless when a fold gives one answer to all images, or when it cannot be told from guessing: the
    one-sided upper bound (bootstrap over groups) of its balanced accuracy lies below 0.55. Accuracy would not do:
    always naming the larger class scores the majority rate.

    Args:
        labels: int64 (n,), 0 or 1.
        probabilities: float64 (n,), of class 1.
        groups: (n,), images of one group are resampled together.
        folds: int64 (n,), the fold that predicted each image.
    """
    for fold in np.unique(folds):
        answers = probabilities[folds == fold] >= THRESHOLD
        if answers.all() or not answers.any():
            return Verdict(go_on=False, reason=f"hopeless: one answer to all images of fold {fold}")
    bound = upper_bound(labels, probabilities, groups, "balanced_accuracy", level=CONFIDENCE)
    if bound < HOPELESS:
        return Verdict(
            go_on=False, reason=f"hopeless: upper bound of balanced accuracy {bound:.3f}, below {HOPELESS:.2f}"
        )
    return GO_ON


@dataclass(frozen=True, kw_only=True)
class Contender:
    """A complete trial and the objective of each of its folds."""

    number: int
    fold_scores: tuple[float, ...]

    @property
    def score(self) -> float:
        """Mean over the folds."""
        return float(np.mean(self.fold_scores))


def best_of(contenders: Iterable[Contender]) -> Contender | None:
    """The contender of the highest mean over all its folds; of equals the earliest. None where there is none."""
    return max(contenders, key=lambda contender: (contender.score, -contender.number), default=None)
