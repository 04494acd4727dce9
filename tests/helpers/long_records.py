"""A small record of learning curves over a schedule, as ``record_rungs`` writes it, without training."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pandas as pd
from helpers.replay_tables import SPACE, START

from benchmarks.racing.replaying.resampling import draw_recipe
from benchmarks.racing.rungs.curve import Curve, Measurement
from benchmarks.racing.rungs.jobs import Extent, Job, jobs_of
from benchmarks.racing.rungs.tables import ABOUT, IMAGES, PARTS, gather, save_part

NUM_RECIPES, NUM_FOLDS, NUM_EPOCHS, FOLD_IMAGES = 6, 4, 4, 60
EXTENT = Extent(num_recipes=NUM_RECIPES, num_folds=NUM_FOLDS, num_best=2, num_others=1, num_repeated=1)


def write_long_record(folder: Path, *, without: int = 0) -> Path:
    """Write a record whose recipes are better the higher their number, and return its folder.

    Args:
        without: number of folds that are not finished.
    """
    (folder / PARTS).mkdir(parents=True)
    generator = np.random.default_rng(0)
    recipes = [START, *(draw_recipe(SPACE, START, generator) for _ in range(NUM_RECIPES - 1))]
    recipes = [{"optimizer.restart_epochs": None, "optimizer.restart_factor": None} | recipe for recipe in recipes]
    about = {"spec": {"extent": asdict(EXTENT), "settings": {"train.epochs": NUM_EPOCHS}}, "space": SPACE}
    (folder / ABOUT).write_text(json.dumps(about | {"recipes": recipes}))
    labels = np.arange(FOLD_IMAGES) % 2
    images = [
        pd.DataFrame({"row": np.arange(FOLD_IMAGES), "image_id": "", "label": labels, "fold": fold}).assign(
            sample=np.arange(FOLD_IMAGES) < 20
        )
        for fold in range(NUM_FOLDS)
    ]
    pd.concat(images, ignore_index=True).to_parquet(folder / IMAGES)
    jobs = list(jobs_of(EXTENT, lambda job: job.recipe))
    for job in jobs[: len(jobs) - without]:
        save_part(folder, job, _curve(job, labels))
    gather(folder)
    return folder


def _curve(job: Job, labels: np.ndarray) -> Curve:
    """Each epoch classifies more images correctly; all of them are measured at epochs 2 and 4."""
    generator = np.random.default_rng([job.seed, job.recipe, job.fold])
    measurements = []
    for epoch in range(1, NUM_EPOCHS + 1):
        rows = slice(None) if epoch % 2 == 0 else slice(20)
        right = generator.permutation(len(labels)) < len(labels) * (0.6 + 0.05 * job.recipe + 0.02 * epoch)
        probabilities = np.where(right == (labels == 1), 0.8, 0.2)[rows]
        found = Measurement(epoch=epoch, form="plain", extent="sample", probabilities=probabilities, seconds=0.1)
        measurements.append(found if epoch % 2 else replace(found, extent="all"))
    measurements.append(replace(measurements[-1], form="tta"))
    return Curve(measurements=measurements, seconds=[1.0] * NUM_EPOCHS, train_losses=[0.5] * NUM_EPOCHS)
