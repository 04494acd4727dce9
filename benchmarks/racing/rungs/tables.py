"""The tables of a record of learning curves, in a folder:

    images.parquet        row, image_id, label, fold; sample: whether it is measured after every epoch
    epochs.parquet        seed, recipe, fold, epoch, train_loss, seconds (CPU time of the steps)
    measurements.parquet  seed, recipe, fold, epoch, form, seconds, extent (all, sample), log_odds (by image)
    record.json           recipes, space, schedule, versions and hardware

``form`` is ``plain``, an average of weights, or ``tta``, the fold's result. Log-odds of class 1 are in half precision:
rounded probabilities near 0 and 1 would have no logarithm. A diverged training has only the epochs before,
or epoch 0 alone.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from benchmarks.racing.rungs.curve import Curve
from benchmarks.racing.rungs.jobs import Job
from leukemia.base.files import atomic, read_json

PARTS = "parts"
"""Subfolder with one file per finished job, until they are gathered."""

EPOCHS, MEASUREMENTS, IMAGES, ABOUT = "epochs.parquet", "measurements.parquet", "images.parquet", "record.json"
KEY = ["seed", "recipe", "fold"]

LARGEST_LOG_ODDS = 17.0
"""Beyond it float32 probabilities are 0 or 1."""


def save_part(folder: Path, job: Job, curve: Curve) -> None:
    """Keep a finished job until the next ``gather``."""
    with atomic(folder / PARTS / f"{job.seed}_{job.recipe:03d}_{job.fold}.json") as temporary:
        temporary.write_text(json.dumps(_content(job, curve)))


def scores_of(folder: Path) -> dict[Job, float]:
    """Accuracy under TTA of each finished job; -inf if it diverged."""
    gather(folder)
    if not (folder / EPOCHS).is_file():
        return {}
    labels = pd.read_parquet(folder / IMAGES).groupby("fold")["label"].agg(np.asarray)
    found = {Job(*key): float("-inf") for key in pd.read_parquet(folder / EPOCHS)[KEY].drop_duplicates().to_numpy()}
    results = pd.read_parquet(folder / MEASUREMENTS, filters=[("form", "==", "tta")])
    for *key, log_odds in results[[*KEY, "log_odds"]].itertuples(index=False):
        found[Job(*key)] = float(((log_odds >= 0) == labels[key[2]]).mean())
    return found


def gather(folder: Path) -> None:
    """Add the finished jobs to the tables."""
    parts = sorted((folder / PARTS).glob("*.json"))
    if not parts:
        return
    contents = [read_json(part) for part in parts]
    for name, columns in ((EPOCHS, None), (MEASUREMENTS, "log_odds")):
        new = pd.DataFrame([row for content in contents for row in content[name]])
        if columns:
            new[columns] = new[columns].map(lambda values: np.asarray(values, dtype=np.float16))
        before = [pd.read_parquet(folder / name)] if (folder / name).is_file() else []
        # A part whose table was written before an interruption is there twice.
        order = [*KEY, "epoch", *(["form"] if "form" in new else [])]
        both = pd.concat([*before, new], ignore_index=True).drop_duplicates(order).sort_values(order)
        with atomic(folder / name) as temporary:
            both.to_parquet(temporary, index=False, compression="zstd")
    for part in parts:
        part.unlink()


def _content(job: Job, curve: Curve) -> dict[str, list[dict[str, Any]]]:
    key = job._asdict()
    epochs = [
        {**key, "epoch": epoch, "train_loss": loss, "seconds": seconds}
        for epoch, (loss, seconds) in enumerate(zip(curve.train_losses, curve.seconds, strict=True), start=1)
    ]
    if not epochs:
        epochs = [{**key, "epoch": 0, "train_loss": None, "seconds": 0.0}]
    measurements = []
    for found in curve.measurements:
        with np.errstate(divide="ignore"):
            log_odds = np.log(found.probabilities) - np.log1p(-found.probabilities)
        bounded = np.clip(log_odds, -LARGEST_LOG_ODDS, LARGEST_LOG_ODDS)
        measurements.append(
            {
                **key,
                "epoch": found.epoch,
                "form": found.form,
                "seconds": found.seconds,
                "extent": found.extent,
                "log_odds": bounded.astype(np.float16).tolist(),
            }
        )
    return {EPOCHS: epochs, MEASUREMENTS: measurements}
