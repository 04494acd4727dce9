"""The trainings behind a delivered model: one on all images, or one for each network of an ensemble."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from leukemia.base.errors import UserError
from leukemia.config.recipe import Recipe
from leukemia.study.best import Best
from leukemia.study.ensemble import EnsembleRecord


@dataclass(frozen=True, kw_only=True)
class TrainingRun:
    """A training of a recipe."""

    recipe: Recipe
    """Resolved."""

    fold: int | None = None
    """The fold of the search, from 0, whose training images it has; None: all images."""


def runs_of(recipe: Recipe, ensemble: EnsembleRecord | None) -> tuple[TrainingRun, ...]:
    """The trainings of a model, in the order of its members; the first of ``seeds`` is that of the single model.

    Raises:
        UserError: a seed is too large.
    """
    if ensemble is None:
        return (TrainingRun(recipe=recipe),)
    numbers = range(ensemble.members)
    if ensemble.kind == "folds":
        return tuple(TrainingRun(recipe=recipe, fold=fold) for fold in numbers)
    seeds = [recipe.train.seed + number for number in numbers]
    return tuple(TrainingRun(recipe=recipe.with_settings({"train.seed": seed})) for seed in seeds)


def asked_for(kind: Literal["folds"] | None, num_seeds: int | None, best: Best) -> EnsembleRecord | None:
    """The ensemble that ``--ensemble`` or ``--seeds`` ask for, one of which is None; None for a single model.

    Raises:
        UserError: it would have one member.
    """
    if kind is None and num_seeds is None:
        return None
    if kind == "folds" and best.folds < 2:
        raise UserError("--ensemble folds: the search has one fold, so there is one model; add --seeds N in its place")
    if num_seeds is not None and num_seeds < 2:
        raise UserError(f"--seeds: expected at least 2 models to average, got {num_seeds}")
    return EnsembleRecord(kind=kind or "seeds", members=num_seeds or best.folds)
