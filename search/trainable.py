"""What a worker process does: one recipe, cross-validated, reported epoch by epoch and fold by fold."""

from __future__ import annotations

import shutil
import traceback
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import ray.tune
import torch

from leukemia.config import Recipe
from leukemia.crossval import FoldResult, cross_validate
from search.race import Job
from search.resources import Resources

REPORT = "report"
"""Key of a trial's report in Tune's result: an ``Epoch``, a ``FoldResult`` or the words of a failure."""


@dataclass(frozen=True, kw_only=True)
class TrialData:
    """What every trial needs and none changes; it travels once per node."""

    images: np.ndarray | Path
    """uint8 (n, H, W, 3), or on one machine the path of that array, which all trials then map."""

    labels: np.ndarray
    folds: list[tuple[np.ndarray, np.ndarray]]
    checkpoints: Path
    """Folder on the worker's own disk."""


def checkpoints_of(data: TrialData, job: Job) -> Path:
    return data.checkpoints / f"{job.number:04d}-{job.seed}"


def job_of(config: dict[str, Any]) -> Job:
    return Job(config["number"], config["seed"])


def run_trial(config: dict[str, Any], data: TrialData, resources: Resources) -> None:
    """The trainable: one recipe, cross-validated; runs in a worker process."""
    torch.set_num_threads(max(1, resources.cpus))
    images = data.images if isinstance(data.images, np.ndarray) else np.load(data.images, mmap_mode="r")
    checkpoints = checkpoints_of(data, job_of(config))
    try:
        recipe = Recipe.from_flat(config["recipe"])
        assert recipe.data.crop_px is not None
        # Pretrained weights must be the study's on this machine, too: resolving compares their SHA-256.
        recipe = recipe.resolved(recipe.data.crop_px)
        for report in cross_validate(
            recipe,
            images,
            data.labels,
            data.folds,
            device=torch.device(resources.device),
            skip=config["skip"],
            num_workers=resources.cpus - 1 if resources.device == "cuda" else 0,
            checkpoints=checkpoints,
        ):
            ray.tune.report({REPORT: report})
            if isinstance(report, FoldResult):
                # The report returns when the driver has committed the fold.
                shutil.rmtree(checkpoints, ignore_errors=True)
    except Exception as error:
        # Raising would cost the worker its process; the driver needs the words only.
        place = traceback.extract_tb(error.__traceback__)[-1]
        words = f"{type(error).__name__}: {error} ({Path(place.filename).name}, line {place.lineno})"
        ray.tune.report({REPORT: words})
    shutil.rmtree(checkpoints, ignore_errors=True)
