"""Trials on the ladder: recipes and epochs with given results, without training."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from leukemia.config.recipe import Recipe
from leukemia.config.results import Epoch
from search.policy.ladder import Ladder
from search.policy.rules import Rules
from search.policy.rungs import Rungs

NUM_FOLDS = 5
RULES = Rules(num_folds=NUM_FOLDS, objective="tta_accuracy", pausing=True)
RUNGS = Rungs()
EPOCHS = 40
"""With rungs after 2, 6 and 18 epochs of fold 0."""


def recipe_of(epochs: int = EPOCHS, **settings: Any) -> Recipe:
    """A recipe; in ``settings`` a double underscore stands for the dot."""
    return Recipe().with_settings(
        {"train.epochs": epochs, **{key.replace("__", "."): value for key, value in settings.items()}}
    )


def epoch_of(epoch: int, value: float, loss: float = 0.5, *, fold: int = 0, seconds: float = 1.0) -> Epoch:
    """An epoch with this validation accuracy."""
    return Epoch(
        seed=0,
        fold=fold,
        epoch=epoch,
        train_loss=0.5,
        train_accuracy=0.8,
        validation_loss=loss,
        validation_accuracy=value,
        learning_rate=1e-3,
        seconds=seconds,
        images_per_second=100.0,
        device_memory_mb=0.0,
    )


def climb(
    ladder: Ladder,
    number: int,
    *values: float,
    losses: Sequence[float] | float = 0.5,
    recipe: Recipe | None = None,
    score: float | None = None,
    seconds: float = 1.0,
) -> None:
    """Add a trial that has trained epochs with these validation accuracies, and its fold's score if there is one."""
    ladder.begin(number, recipe_of() if recipe is None else recipe)
    every = [losses] * len(values) if isinstance(losses, float | int) else losses
    for epoch, (value, loss) in enumerate(zip(values, every, strict=True), start=1):
        ladder.add_epoch(number, epoch_of(epoch, value, loss, seconds=seconds))
    if score is not None:
        ladder.add_score(number, score)


def ladder_of(*values: float, rungs: Rungs = RUNGS, losses: Sequence[float] | None = None, **rules: Any) -> Ladder:
    """Trials numbered from 0 at the first rung, after two epochs, with these values there."""
    ladder = Ladder(replace(RULES, **rules), rungs)
    for number, value in enumerate(values):
        climb(ladder, number, math.nan, value, losses=0.5 if losses is None else losses[number])
    return ladder


def promoted(ladder: Ladder) -> list[int]:
    """All trials that would go on, one after the other, if all of them began and nobody reported."""
    busy: list[int] = []
    while (number := ladder.promotable(busy)) is not None:
        busy.append(number)
    return busy
