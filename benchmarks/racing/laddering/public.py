"""Worlds of public learning curves: text classifiers of TaskSet (Metz et al., arXiv:2002.11887) with many settings.

``exp(-loss)`` of the validation loss stands in for the accuracy. These curves have no folds. The model laid over them:
all recipes of a fold share an offset (standard deviation 1.5 points); each recipe and fold has its own, of sampling of
images (1.15 points) and noise of the training (1 point), which grows with the square root of the share of the training;
and each epoch has noise of 0.5 points. All epochs cost the same.
"""

from __future__ import annotations

import functools
import math
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.racing.laddering.generated import FOLD, FOLD_GROUPS, NOISE, NUM_FOLDS, SAMPLING
from benchmarks.racing.laddering.pairs import ByVariance
from benchmarks.racing.laddering.world import Hopeless, World, scheduled_recipe
from benchmarks.racing.replaying.proposals import Group
from benchmarks.racing.replaying.replays import FIRST_TUNING_SEED

FOLDER = Path(os.environ.get("LEUKEMIA_DATA", "")) / "curves"

LARGE_RANGE = 20.0
"""A hyperparameter whose values span a larger ratio is compared on a logarithmic scale."""


@dataclass(frozen=True, kw_only=True)
class Public:
    """Where worlds of one task come from. Settings of other methods are tuned on other tasks."""

    label: str
    task: str
    tuning_tasks: tuple[str, ...]
    workers: tuple[int, ...]
    num_recipes: int = 200
    family: str = "public"
    own_workers: int | None = 8

    @property
    def name(self) -> str:
        """As it appears in tables and in ``--only``."""
        return f"public {self.label}, {self.num_recipes}"

    def missing(self) -> str | None:
        """Why there are no worlds here; None if there are."""
        absent = [each for each in (self.task, *self.tuning_tasks) if not _file(each).is_file()]
        return f"{_file(absent[0])} does not exist; set LEUKEMIA_DATA to the folder of curves/" if absent else None

    def world(self, seed: int) -> World:
        """A random choice of the task's configurations under the model of folds."""
        tuning = seed >= FIRST_TUNING_SEED
        parameters, curves = _task(self.tuning_tasks[seed % len(self.tuning_tasks)] if tuning else self.task)
        generator = np.random.default_rng([seed, self.num_recipes])
        chosen = generator.permutation(len(curves))[: self.num_recipes]
        curves = curves[chosen]
        num, last = curves.shape
        folds = FOLD * generator.standard_normal(NUM_FOLDS)
        own = math.hypot(SAMPLING, NOISE) * generator.standard_normal((num, NUM_FOLDS))
        noise = 0.005 * generator.standard_normal((num, NUM_FOLDS, last))
        scores = curves[:, -1:] + folds + own
        shares = np.arange(1, last + 1) / last
        accuracy = curves[:, None] + folds[:, None] + own[..., None] * np.sqrt(shares) + noise
        accuracy[..., -1] = scores
        return World(
            recipes=(scheduled_recipe(last, "adamw", None, None),) * num,
            accuracy=accuracy,
            losses=np.full((num, last), np.nan),
            scores=scores,
            seconds=np.ones(accuracy.shape),
            pairs=ByVariance(scores, 2 * SAMPLING**2, FOLD_GROUPS),
            alone=Hopeless([False] * num),
            parameters=[_group(parameters[chosen])],
            noise=NOISE,
        )


def _file(task: str) -> Path:
    return FOLDER / f"{task}.npz"


@functools.cache
def _task(name: str) -> tuple[np.ndarray, np.ndarray]:
    """Hyperparameters and curves, float64 (configurations, parameters) and (configurations, epochs)."""
    with np.load(_file(name), allow_pickle=False) as arrays:
        parameters, loss = arrays["hp"].astype(np.float64), arrays["valid"].astype(np.float64)
    # The first of 51 points is before training; a loss that is not finite is that of a diverged training.
    return parameters, np.exp(-np.where(np.isfinite(loss), loss, np.inf))[:, 1:]


def _group(parameters: np.ndarray) -> Group:
    low, high = parameters.min(axis=0), parameters.max(axis=0)
    by_ratio = (low > 0) & (high > LARGE_RANGE * low)
    scaled = np.where(by_ratio, np.log(np.where(by_ratio, parameters, 1.0)), parameters)
    scaled = scaled - scaled.min(axis=0)
    widest = scaled.max(axis=0)
    return Group(
        has=np.ones(len(parameters), dtype=bool),
        numbers=scaled / np.where(widest > 0, widest, 1.0),
        options=np.zeros((len(parameters), 0)),
        widths=np.zeros(0, dtype=np.int64),
    )
