"""Studies whose trials report random results without training: made-up images, the default space, reports."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from leukemia.base import provenance
from leukemia.config.recipe import Recipe
from leukemia.config.results import Epoch, FoldResult
from leukemia.data.catalog import Catalog
from leukemia.data.folds import Splits, make_splits
from leukemia.scoring.metrics import point_scores
from leukemia.study.folder import Study
from leukemia.study.schema import DataSource, StudyInfo
from search.policy.space import Space, make_space
from search.policy.task import Task

NUM_FOLDS = 2
NUM_REPORTS = 2 * NUM_FOLDS
"""Reports of a trial: one epoch and one fold result for each fold."""

NUM_SUBJECTS, IMAGES_PER_SUBJECT = 24, 12
"""As in the sample data set: predictions are part of what is written and tracked."""


def made_up_catalog() -> Catalog:
    """A catalog of images that do not exist, each subject in one class."""
    rows = [
        {
            "image_id": f"{subject:02d}_{image:02d}.bmp",
            "path": f"/nowhere/{subject:02d}_{image:02d}.bmp",
            "label": int(subject % 12 < 7),
            "subject": str(subject),
            "subclass": None,
            "group": str(subject),
            "pixel_sha256": f"{subject:032x}{image:032x}",
            "width": 32,
            "height": 32,
        }
        for subject in range(NUM_SUBJECTS)
        for image in range(IMAGES_PER_SUBJECT)
    ]
    return Catalog(table=pd.DataFrame(rows), root=Path("/nowhere"), layout="csv", fingerprint="0" * 64, duplicates=())


def space() -> Space:
    """The default search space, for images of 32 px."""
    settings = {"train.epochs": 1, "data.size_px": 32}
    return make_space(Recipe().with_settings(settings).resolved([(32, 32)]), settings)


def create_study(folder: Path, command: str) -> tuple[Catalog, Splits, Study]:
    """Create ``folder/study``; ``command`` is recorded in it."""
    catalog = made_up_catalog()
    splits = make_splits(catalog, NUM_FOLDS, 0, "grouped")
    info = StudyInfo(
        study_uid="0be4ead0",
        created=provenance.now(),
        command=command,
        folds=NUM_FOLDS,
        protocol=splits.protocol,
        data=DataSource(uri="nowhere", fingerprint=catalog.fingerprint),
        splits_sha256=splits.sha256(),
        versions=provenance.versions(),
        commit=provenance.commit(),
        hardware=provenance.hardware("cpu"),
    )
    return catalog, splits, Study.create(folder / "study", info)


def reports(task: Task, labels: Any, folds: Sequence[tuple[Any, Any]]) -> tuple[Epoch, FoldResult]:
    """The reports of a fold: random predictions, 85 % of them correct."""
    number, seed, fold = task.job.number, task.job.seed, task.fold
    _, validation = folds[fold]
    generator = np.random.default_rng([number, fold])
    right = generator.random(len(validation)) < 0.85
    far = generator.uniform(0.5, 1.0, len(validation))
    probabilities = np.where(right == (labels[validation] == 1), far, 1 - far)
    found = point_scores(labels[validation], probabilities)
    epoch = Epoch(
        seed=seed,
        fold=fold,
        epoch=1,
        train_loss=float(generator.random()),
        train_accuracy=0.85,
        validation_loss=0.5,
        validation_accuracy=found["accuracy"],
        learning_rate=1e-3,
        seconds=1.0,
        images_per_second=100.0,
        device_memory_mb=0.0,
    )
    return (
        epoch,
        FoldResult(
            seed=seed,
            fold=fold,
            rows=validation,
            probabilities=probabilities,
            scores={f"tta_{name}": score for name, score in found.items()} | {"plain_accuracy": found["accuracy"]},
            seconds=1.0,
            device="cpu",
            precision="float32",
        ),
    )
