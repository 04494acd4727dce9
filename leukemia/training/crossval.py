"""Cross-validation as a generator: each fold has a new model, optimizer and random state."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator, Sequence
from contextlib import closing
from pathlib import Path

import numpy as np
import torch

from leukemia.config.recipe import Recipe
from leukemia.config.results import Epoch, FoldResult
from leukemia.data.augmentation.loaders import training_loader
from leukemia.scoring.metrics import point_scores
from leukemia.training.checkpoint_writer import BY_TIME, CheckpointSchedule
from leukemia.training.device import compute_dtype, describe_device
from leukemia.training.inference import predict_views
from leukemia.training.train import Split, fit


def cross_validate(
    recipe: Recipe,
    images: np.ndarray,
    labels: np.ndarray,
    folds: Sequence[tuple[np.ndarray, np.ndarray]],
    *,
    device: torch.device,
    only: Collection[int] | None = None,
    num_workers: int = 0,
    checkpoints: Path | None = None,
    schedule: CheckpointSchedule = BY_TIME,
) -> Iterator[Epoch | FoldResult]:
    """Train and validate a recipe once per fold.

    All folds take their batches from one loader: its processes start, and a GPU receives the images, once.

    Yields are the only points at which a trial reports or is stopped: the caller stops it by closing the generator.

    Args:
        recipe: resolved.
        images: uint8 (n, H, W, 3), in the recipe's crop and size.
        labels: int64 (n,).
        folds: training and validation rows of each fold.
        only: the folds to train; None: all.
        num_workers: number of loading processes (``loader_processes``). Does not affect the results.
        checkpoints: folder for one checkpoint per fold. None: no checkpoints.
        schedule: after which epochs of each fold they are written.

    Raises:
        NonFinite: training diverged, or gave a network whose probabilities are not finite.
        OSError: a checkpoint could not be written, as ``fit``.
    """
    with closing(training_loader(recipe, images, labels, device, num_workers)) as loader:
        for fold, (training, validation) in enumerate(folds):
            if only is not None and fold not in only:
                continue
            start = time.perf_counter()
            checkpoint = None if checkpoints is None else checkpoints / f"seed_{recipe.train.seed}" / f"fold_{fold}.pt"
            split = Split(images=images, labels=labels, training=training, validation=validation)
            model = yield from fit(
                recipe, split, fold=fold, device=device, loader=loader, checkpoint=checkpoint, schedule=schedule
            )
            views = predict_views(model, recipe, images, validation, device=device, tta=recipe.evaluate.tta)
            # The first view is the image itself.
            plain, probabilities = views[0], views.mean(axis=0)
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
