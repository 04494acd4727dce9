"""The share of a fold's time that is not training steps: validation, precise BatchNorm, TTA, checkpoints."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

import numpy as np

from benchmarks.training.measuring.case import CPU, Case
from leukemia.config.results import Epoch
from leukemia.training.crossval import cross_validate

NUM_FOLDS = 5


def around_share(case: Case, epochs: int) -> float:
    """Train one of five folds as a trial does, with checkpoints; the share in 0..1.

    Args:
        case: its batches are those of all images: four fifths are trained on, one fifth validates.
        epochs: of the fold.
    """
    rows = np.arange(case.num_images)
    validation, training = np.split(rows, [case.num_images // NUM_FOLDS])
    images, labels = case.images(), case.labels()
    with tempfile.TemporaryDirectory(prefix="fold-") as folder:
        start = time.perf_counter()
        reports = list(
            cross_validate(
                case.recipe.with_settings({"train.epochs": epochs}),
                images,
                labels,
                [(training, validation)],
                device=CPU,
                checkpoints=Path(folder),
            )
        )
        seconds = time.perf_counter() - start
    in_steps = sum(len(training) / report.images_per_second for report in reports if isinstance(report, Epoch))
    return 1 - in_steps / seconds
