"""Tables of recipes for replays of searches, in memory and as files."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks.racing.replaying.resampling import draw_recipe
from benchmarks.racing.replaying.table import Table

SPACE = {
    "optimizer.name": {"choices": ["ranger21", "adamw"]},
    "optimizer.learning_rate": {"low": 1e-4, "high": 1e-2, "log": True},
    "optimizer.weight_decay": {"low": 1e-3, "high": 0.3, "log": True, "optimizers": ["adamw"]},
    "augment.rotate": {"low": 0.0, "high": 1.0, "log": False},
    "data.grayscale": {"choices": [False, True]},
}
START = {
    "optimizer.name": "ranger21",
    "optimizer.learning_rate": 1e-3,
    "optimizer.weight_decay": None,
    "augment.rotate": 0.5,
    "data.grayscale": False,
}
NUM_FOLDS, NUM_EPOCHS = 5, 4


def make_table(
    accuracies: list[float], *, seconds: list[float] | None = None, per_fold: int = 60, seed: int = 0
) -> Table:
    """Two seeds of recipes with the given accuracies; each epoch of a recipe takes ``seconds``."""
    generator = np.random.default_rng(seed)
    num_images, shape = NUM_FOLDS * per_fold, (2, len(accuracies), NUM_FOLDS, NUM_EPOCHS)
    labels = generator.integers(2, size=num_images)
    right = generator.random((2, len(accuracies), num_images)) < np.array(accuracies)[:, None]
    probabilities = np.where(right == labels, 0.9, 0.1).astype(np.float32)
    seen = Table(
        recipes=(START, *(draw_recipe(SPACE, START, generator) for _ in accuracies[1:])),
        space=SPACE,
        labels=labels,
        groups=np.arange(num_images),
        folds=np.repeat(np.arange(NUM_FOLDS), per_fold),
        probabilities=probabilities,
        accuracy=np.zeros(shape),
        seconds=np.broadcast_to(np.array(seconds or [1.0] * len(accuracies))[:, None, None], shape).copy(),
    )
    return replace(seen, accuracy=np.repeat(seen.scores[..., None], NUM_EPOCHS, axis=3))


def write_record(folder: Path, seen: Table) -> Path:
    """Write a table as a record and return its folder."""
    folder.mkdir()
    curves, predictions = [], []
    for seed, recipe, fold in np.ndindex(*seen.scores.shape):
        key = {"recipe_id": recipe, "seed": seed, "fold": fold}
        for epoch in range(NUM_EPOCHS):
            curves.append(
                {**key, "recipe": json.dumps(seen.recipes[recipe]), "epoch": epoch + 1}
                | {name: getattr(seen, name)[seed, recipe, fold, epoch] for name in ("seconds", "accuracy")}
            )
        rows = np.arange(len(seen.labels))[seen.fold_rows[fold]]
        images = {"image_id": [f"{row:05d}" for row in rows], "group": [f"g{row}" for row in rows]}
        predictions.append(
            pd.DataFrame(images).assign(
                **key,
                label=seen.labels[rows],
                probability_leukemic=seen.probabilities[seed, recipe, rows].astype(float),
            )
        )
    pd.DataFrame(curves).to_parquet(folder / "curves.parquet")
    pd.concat(predictions).to_parquet(folder / "predictions.parquet")
    (folder / "record.json").write_text(json.dumps({"space": SPACE}))
    return folder
