"""First rungs of resampled recipes, drawn from a model that is fitted to recorded ones.

Model, in the units of ``resampling``. A rung's latent answers are those of the same trial's fold 0, moved by a shift,
and with each image's deviation from its class kept to the extent of ``agreement``, the rest drawn anew. The shift is
that of a recorded recipe of a like level under one of its seeds, as measured: the chance of its hundred images is in it
beside what a recipe truly gains from a longer schedule.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from latent import correlation, level_of
from rungs import Rungs
from scipy.special import ndtr
from table import Seen


@dataclass(frozen=True, kw_only=True, eq=False)
class RungModel:
    """What was fitted."""

    shift: np.ndarray
    """float64 (seeds, recorded recipes): level of the rung less that of fold 0."""

    agreement: float
    """Correlation of an image's latent answers in rung and fold, 0..1."""

    share: float
    """As in ``Rungs``."""


def fit_rungs(recorded: Seen) -> RungModel | None:
    """Estimate the model by moments; None for a table without rungs."""
    if recorded.rungs is None:
        return None
    labels = recorded.labels[recorded.fold_rows[0]]
    both = np.concatenate([recorded.right[:, :, recorded.fold_rows[0]], recorded.rung_right], axis=1)
    by_class = [both[:, :, labels == label] for label in (0, 1)]
    levels = np.stack([level_of(each.sum(axis=2), each.shape[2]) for each in by_class])
    overall = level_of(both.sum(axis=2), both.shape[2])
    num_seeds, num_recipes = recorded.scores.shape[:2]
    # A row for each seed of a recipe, its fold and then its rung.
    rows = [each.reshape(1, -1, each.shape[2]) for each in by_class]
    folds = [seed * 2 * num_recipes + recipe for seed in range(num_seeds) for recipe in range(num_recipes)]
    pairs = [((0, fold), (0, fold + num_recipes)) for fold in folds]
    return RungModel(
        shift=overall[:, num_recipes:] - overall[:, :num_recipes],
        agreement=correlation(rows, levels.reshape(2, -1), pairs),
        share=recorded.rungs.share,
    )


def draw_rungs(
    model: RungModel, latent: np.ndarray, labels: np.ndarray, donors: np.ndarray, generator: np.random.Generator
) -> Rungs:
    """Rungs of new recipes under seed 0.

    Args:
        latent: float64 (recipes, images of fold 0), positive where fold 0 answers correctly.
        labels: int64 (images of fold 0,).
        donors: int64 (recipes,), the recorded recipe whose shift each one has.
    """
    seeds = generator.integers(len(model.shift), size=len(donors))
    mean = np.empty_like(latent)
    for label in (0, 1):
        mean[:, labels == label] = latent[:, labels == label].mean(axis=1, keepdims=True)
    drawn = mean + model.shift[seeds, donors][:, None] + model.agreement * (latent - mean)
    drawn += math.sqrt(1 - model.agreement**2) * generator.standard_normal(latent.shape)
    probabilities = ndtr(drawn * np.where(labels, 1, -1)).astype(np.float32)
    return Rungs(probabilities=probabilities[None], share=model.share)
