"""What training yields, and what a search can optimize: epochs, fold results, objectives. Needs no heavy library."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

OBJECTIVES = ("tta_accuracy", "tta_balanced_accuracy", "tta_weighted_f1", "tta_auroc")
"""Scores of a fold that a search can maximize, each 0..1."""

COST = "cost"
"""Second objective that a search may minimize: device seconds of a trial."""

ALL_OBJECTIVES = (*OBJECTIVES, *(f"{name},{COST}" for name in OBJECTIVES))
"""What ``--objective`` may be: a score, or a score and the cost."""


def score_name(objective: str) -> str:
    """The score of an objective, which is a score alone or a score and the cost.

    >>> score_name("tta_accuracy,cost")
    'tta_accuracy'
    """
    return objective.split(",")[0]


@dataclass(frozen=True, kw_only=True)
class Epoch:
    """What one pass over the training images gave. Validation is without TTA; NaN where there is no validation side."""

    seed: int
    fold: int
    epoch: int
    """From 1."""

    train_loss: float
    """Mean cross-entropy over the epoch's images, in nats, under augmentation; under the recipe's class weights."""

    train_accuracy: float
    """Share of the epoch's images classified correctly at their step, 0..1."""

    validation_loss: float
    validation_accuracy: float
    learning_rate: float
    """Of the epoch's last step."""

    seconds: float
    images_per_second: float
    """Training images only; evaluation counts in ``seconds``."""

    device_memory_mb: float
    """Peak memory that torch allocated on a GPU, 0 elsewhere."""


@dataclass(frozen=True, kw_only=True)
class FoldResult:
    """A finished fold: out-of-fold probabilities under TTA and what they cost."""

    seed: int
    fold: int
    rows: np.ndarray
    """int64 (n,), validation rows of the catalogue's table, ascending."""

    probabilities: np.ndarray
    """float64 (n,), of class 1 (leukemic), averaged over the views of ``evaluate.tta``."""

    scores: dict[str, float]
    """Metrics of ``leukemia.scoring.metrics`` under TTA (``tta_accuracy``, ...), and ``plain_accuracy`` without TTA."""

    seconds: float
    """Device seconds of this fold in this process; epochs before an interruption are not in it."""

    device: str
    precision: str
