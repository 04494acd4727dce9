"""Results of training (epochs, folds) and the objectives of a search. Imports no heavy library."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from leukemia.base.quantity import quantity

if TYPE_CHECKING:
    import numpy as np

OBJECTIVES = ("tta_accuracy", "tta_balanced_accuracy", "tta_weighted_f1", "tta_auroc")
"""Scores of a fold that a search can maximize, each in 0..1."""

COST = "cost"
"""Optional second objective, minimized: device seconds of a trial."""

ALL_OBJECTIVES = (*OBJECTIVES, *(f"{name},{COST}" for name in OBJECTIVES))
"""Values of ``--objective``: a score, or a score and the cost."""


def score_name(objective: str) -> str:
    """The name of the score in an objective, with or without the cost.

    >>> score_name("tta_accuracy,cost")
    'tta_accuracy'
    """
    return objective.split(",")[0]


def num_folds_text(number: int) -> str:
    """The number of folds in words; a split that the data bring may have one.

    >>> num_folds_text(1), num_folds_text(5)
    ('1 fold', '5 folds')
    """
    return quantity(number, "fold")


def fold_name(fold: int) -> str:
    """A fold as people read it, counted from 1; in files, names of files and Python, ``fold`` counts from 0.

    >>> fold_name(0)
    'fold 1'
    """
    return f"fold {fold + 1}"


def fold_range(first: int, last: int) -> str:
    """Consecutive folds, from 0 in the arguments, as people read them.

    >>> fold_range(1, 4), fold_range(1, 1)
    ('folds 2 to 5', 'fold 2')
    """
    return fold_name(first) if first == last else f"folds {first + 1} to {last + 1}"


@dataclass(frozen=True, kw_only=True)
class Epoch:
    """Metrics of one epoch. Validation is without TTA, and NaN if there are no validation images."""

    seed: int
    fold: int
    """Counts from 0."""

    epoch: int
    """Counts from 1."""

    train_loss: float
    """Mean cross-entropy over the epoch's images, in nats, with augmentation and the recipe's class weights."""

    train_accuracy: float
    """Share of images classified correctly during training, 0..1."""

    validation_loss: float
    validation_accuracy: float
    learning_rate: float
    """At the epoch's last step."""

    seconds: float
    images_per_second: float
    """Training only; ``seconds`` includes evaluation."""

    device_memory_mb: float
    """Peak GPU memory allocated by torch; 0 on other devices."""


@dataclass(frozen=True, kw_only=True)
class FoldResult:
    """A finished fold: out-of-fold probabilities with TTA, scores and cost."""

    seed: int
    fold: int
    """Counts from 0."""

    rows: np.ndarray
    """int64 (n,), validation rows of the catalogue's table, ascending."""

    probabilities: np.ndarray
    """float64 (n,), of class 1 (leukemic), averaged over the views of ``evaluate.tta``."""

    scores: dict[str, float]
    """Metrics of ``leukemia.scoring.metrics`` with TTA (``tta_accuracy``, ...), and ``plain_accuracy`` without TTA."""

    seconds: float
    """Device seconds of this fold in this process, without epochs before an interruption."""

    device: str
    precision: str
