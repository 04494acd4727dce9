"""Cross-validation as a generator: a fresh model, optimizer and random state in each fold."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from leukemia.config import Recipe
from leukemia.device import compute_dtype, describe_device
from leukemia.metrics import point_scores
from leukemia.predict import predict
from leukemia.train import Epoch, Side, fit

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
class FoldResult:
    """A finished fold: out-of-fold probabilities under TTA and what they cost."""

    seed: int
    fold: int
    rows: np.ndarray
    """int64 (n,), validation rows of the catalogue's table, ascending."""

    probabilities: np.ndarray
    """float64 (n,), of class 1 (leukemic), averaged over the views of ``evaluate.tta``."""

    scores: dict[str, float]
    """The metrics of ``leukemia.metrics`` under TTA, as ``tta_accuracy`` etc., and ``plain_accuracy`` without it."""

    seconds: float
    """Device seconds of this fold in this process; epochs before an interruption are not in it."""

    device: str
    precision: str


def cross_validate(
    recipe: Recipe,
    images: np.ndarray,
    labels: np.ndarray,
    folds: Sequence[tuple[np.ndarray, np.ndarray]],
    *,
    device: torch.device,
    skip: Collection[int] = (),
    num_workers: int = 0,
    checkpoints: Path | None = None,
) -> Iterator[Epoch | FoldResult]:
    """Train and validate a recipe once per fold.

    Each yield is the one place where a trial reports or is stopped: the caller stops it by asking for no more.

    Args:
        recipe: resolved.
        images: uint8 (n, H, W, 3), the recipe's view.
        labels: int64 (n,).
        folds: per fold training and validation rows.
        skip: folds that are finished already.
        checkpoints: folder for one checkpoint per fold, or None.

    Raises:
        NonFiniteLoss: training diverged.
    """
    for fold, (training, validation) in enumerate(folds):
        if fold in skip:
            continue
        start = time.perf_counter()
        checkpoint = None if checkpoints is None else checkpoints / f"seed_{recipe.train.seed}" / f"fold_{fold}.pt"
        side = Side(images=images, labels=labels, training=training, validation=validation)
        model = yield from fit(recipe, side, fold=fold, device=device, num_workers=num_workers, checkpoint=checkpoint)
        plain = predict(model, recipe, images, validation, device=device, tta="none", num_workers=num_workers)
        tta = recipe.evaluate.tta
        probabilities = (
            plain
            if tta == "none"
            else predict(model, recipe, images, validation, device=device, tta=tta, num_workers=num_workers)
        )
        yield FoldResult(
            seed=recipe.train.seed,
            fold=fold,
            rows=validation,
            probabilities=probabilities,
            scores={f"tta_{name}": value for name, value in point_scores(labels[validation], probabilities).items()}
            | {"plain_accuracy": float(((plain >= 0.5) == labels[validation]).mean())},
            seconds=time.perf_counter() - start,
            device=describe_device(device),
            precision=str(compute_dtype(recipe, device)).removeprefix("torch."),
        )
