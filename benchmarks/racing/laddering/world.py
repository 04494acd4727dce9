"""Recipes whose trainings are known in full, epoch by epoch, as a search sees them."""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from benchmarks.racing.laddering.pairs import Pairs
from benchmarks.racing.replaying.cached_race import Alone
from benchmarks.racing.replaying.proposals import Group
from leukemia.config.recipe import Recipe
from leukemia.config.results import Epoch
from leukemia.scoring.paired import PRIOR_NOISE
from search.policy.early_stopping import CONTINUE, Verdict

TOLERANCE = 0.005
"""A recipe is in sight if its visible score is within half a point of the highest."""


@dataclass(frozen=True, kw_only=True, eq=False)
class World:
    """All trainings of some recipes. Recipe 0 is the starting recipe."""

    recipes: tuple[Recipe, ...]
    """Resolved; all have the same number of epochs."""

    accuracy: np.ndarray
    """float64 (recipes, folds, epochs), 0..1: validation accuracy without TTA."""

    losses: np.ndarray
    """float64 (recipes, epochs): validation loss in fold 0, NaN if it is not known."""

    scores: np.ndarray
    """float64 (recipes, folds), 0..1: the objective of each fold."""

    seconds: np.ndarray
    """float64 (recipes, folds, epochs): device time, in any unit."""

    pairs: Pairs
    alone: Alone

    parameters: list[Group] | None = None
    """Coordinates of the recipes from which a sampler can learn; None if there are none."""

    noise: float = PRIOR_NOISE
    """Standard deviation of a fold's score that its images do not explain, as the search takes it to be."""

    @property
    def num_folds(self) -> int:
        """Folds of the cross-validation."""
        return self.accuracy.shape[1]

    @property
    def num_epochs(self) -> int:
        """Epochs of every training."""
        return self.accuracy.shape[2]

    @cached_property
    def visible(self) -> np.ndarray:
        """Mean score of each recipe, which a search sees once the recipe is complete: float64 (recipes,)."""
        return self.scores.mean(axis=1)

    @cached_property
    def best(self) -> int:
        """The recipe with the highest visible score."""
        return int(self.visible.argmax())

    @cached_property
    def in_sight(self) -> frozenset[int]:
        """The recipes within half a point of the highest visible score."""
        return frozenset(np.flatnonzero(self.visible >= self.visible.max() - TOLERANCE).tolist())

    @cached_property
    def trial_seconds(self) -> float:
        """Device time of a complete trial, the mean over all recipes."""
        return float(self.seconds.sum(axis=(1, 2)).mean())

    def seconds_of(self, recipe: int, fold: int, start: int, stop: int) -> float:
        """Device time of the epochs after ``start`` up to and including ``stop``."""
        ends = self._ends[recipe, fold]
        return float(ends[stop] - ends[start])

    @cached_property
    def _ends(self) -> np.ndarray:
        """Device time of the first epochs of each fold, float64 (recipes, folds, 1 + epochs)."""
        return np.pad(np.cumsum(self.seconds, axis=2), ((0, 0), (0, 0), (1, 0)))

    def epoch(self, recipe: int, fold: int, epoch: int) -> Epoch:
        """An epoch, counted from 1, in the form in which a worker reports it."""
        return Epoch(
            seed=0,
            fold=fold,
            epoch=epoch,
            train_loss=math.nan,
            train_accuracy=math.nan,
            validation_loss=float(self.losses[recipe, epoch - 1]) if fold == 0 else math.nan,
            validation_accuracy=float(self.accuracy[recipe, fold, epoch - 1]),
            learning_rate=math.nan,
            seconds=float(self.seconds[recipe, fold, epoch - 1]),
            images_per_second=math.nan,
            device_memory_mb=0.0,
        )


class Hopeless:
    """Some recipes are no better than chance, all others are."""

    def __init__(self, recipes: Sequence[bool]) -> None:
        self._recipes = list(recipes)

    def verdict(self, recipe: int, folds: tuple[int, ...]) -> Verdict:
        """Result of judging a recipe by itself after any folds."""
        return Verdict(continues=False, reason="no better than chance") if self._recipes[recipe] else CONTINUE


@functools.cache
def scheduled_recipe(epochs: int, optimizer: str, restart_epochs: int | None, restart_factor: int | None) -> Recipe:
    """A recipe with this schedule of learning rates, which is all of a recipe that the ladder sees.

    Args:
        restart_epochs: None, with an optimizer that has restarts: a single cycle over all epochs.
    """
    start = Recipe().with_settings(
        {"train.epochs": epochs, "data.size_px": 48, "optimizer.name": optimizer, "model.depth": 18}
    )
    if not start.optimizer.has("restart_epochs"):
        return start
    restarts = {"optimizer.restart_epochs": restart_epochs or epochs, "optimizer.restart_factor": restart_factor or 1}
    return start.with_settings(restarts)
