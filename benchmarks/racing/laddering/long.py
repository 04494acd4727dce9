"""Worlds of the record over a long schedule, as it is or resampled.

A resampled recipe has the curves of a recorded one, its donor, shifted on the probit scale: by a level of its own (a
fifth of the standard deviation of the recorded levels), which appears in proportion to the progress of the training,
and by noise in each fold that is as large at each epoch as the recorded difference between two seeds. The parts of that
noise at the end and before have a correlation of the square root of the progress. Two recipes are compared with the
mean sampling variance of recorded pairs.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.special import ndtr, ndtri

from benchmarks.racing.laddering.long_record import LongRecord, read_long, unfinished
from benchmarks.racing.laddering.pairs import ByImage, ByVariance
from benchmarks.racing.laddering.world import Hopeless, World, scheduled_recipe
from benchmarks.racing.replaying.proposals import coordinates
from benchmarks.racing.replaying.replays import FIRST_TUNING_SEED

OWN_LEVEL = 0.2
"""Standard deviation of a resampled recipe's own level, as a share of that of the recorded levels."""


@dataclass(frozen=True, kw_only=True)
class Long:
    """Where worlds of the record come from. Settings of other methods are tuned on resampled ones."""

    folder: Path
    workers: tuple[int, ...]
    num_recipes: int | None = None
    """Of resampled worlds, another one for each seed; None: the record itself."""

    family: str = "recorded_long"
    own_workers: int | None = 8

    @property
    def name(self) -> str:
        """As it appears in tables and in ``--only``."""
        return "long record" if self.num_recipes is None else f"long record, resampled {self.num_recipes}"

    def missing(self) -> str | None:
        """Why there are no worlds here; None if there are."""
        return unfinished(self.folder)

    def world(self, seed: int) -> World:
        """The record, or a world that is resampled from it."""
        record = read_long(self.folder)
        if self.num_recipes is None and seed < FIRST_TUNING_SEED:
            return _as_recorded(record)
        count = self.num_recipes or len(record.recipes)
        return resampled(record, count, np.random.default_rng([seed, count]))


def _as_recorded(record: LongRecord) -> World:
    donors = np.arange(len(record.recipes))
    pairs = ByImage(record.right, record.fold_rows)
    return _world(record, donors, record.accuracy, record.scores, pairs)


def resampled(record: LongRecord, num_recipes: int, generator: np.random.Generator) -> World:
    """A world of ``num_recipes`` recipes; the first has the curves of the starting recipe."""
    donors = np.append(0, generator.integers(len(record.recipes), size=num_recipes - 1))
    num_folds, num_epochs = record.accuracy.shape[1:]
    progress = np.arange(1, num_epochs + 1) / num_epochs
    level = OWN_LEVEL * _normal(record.scores.mean(axis=1)).std() * generator.standard_normal(num_recipes)
    once, again = (_normal(each) for each in record.repeated)
    spread = np.sqrt(((once - again) ** 2).mean(axis=(0, 1)) / 2)
    final = generator.standard_normal((num_recipes, num_folds, 1))
    before = generator.standard_normal((num_recipes, num_folds, num_epochs))
    noise = spread * (np.sqrt(progress) * final + np.sqrt(1 - progress) * before)
    shift = level[:, None, None] * progress + noise
    scores = ndtr(_normal(record.scores[donors]) + shift[..., -1])
    accuracy = ndtr(_normal(record.accuracy[donors]) + shift)
    return _world(record, donors, accuracy, scores, ByVariance(scores, _variance(record), _fold_size(record)))


def _world(
    record: LongRecord, donors: np.ndarray, accuracy: np.ndarray, scores: np.ndarray, pairs: ByImage | ByVariance
) -> World:
    recipes = [record.recipes[donor] for donor in donors]
    return World(
        recipes=tuple(
            scheduled_recipe(
                accuracy.shape[2],
                recipe["optimizer.name"],
                recipe["optimizer.restart_epochs"],
                recipe["optimizer.restart_factor"],
            )
            for recipe in recipes
        ),
        accuracy=accuracy,
        losses=record.losses[donors],
        scores=scores,
        seconds=record.seconds[donors],
        pairs=pairs,
        alone=Hopeless(record.hopeless[donors].tolist()),
        parameters=coordinates(record.space, recipes),
    )


def _variance(record: LongRecord) -> float:
    """Sampling variance of the difference of two recipes in one fold, the mean over pairs of the better half."""
    size = _fold_size(record)
    better = np.argsort(-record.scores.mean(axis=1))[: len(record.scores) // 2]
    right = record.right[better].astype(np.float64)
    unequal = np.mean([np.abs(right[one] - right[:one]).mean(axis=1).mean() for one in range(1, len(right))])
    return float(unequal) / size


def _fold_size(record: LongRecord) -> int:
    return record.right.shape[1] // len(record.fold_rows)


def _normal(accuracy: np.ndarray) -> np.ndarray:
    return ndtri(np.clip(accuracy, 0.005, 0.995))
