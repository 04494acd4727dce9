"""Tables of more recipes than were recorded, drawn from a model that is fitted to a record.

Every number from such a table is labelled *resampled*: it says how searches fare if the model holds.

Model. Recipe r answers image i of fold f and class y correctly under seed s when

    level_r +/- lean_r + fold_rf + seed_rsf + difficulty_i + own_ri + chance_rsi  >  0

with + for leukemic and - for normal images, all noise normal, and difficulty, own and chance together of variance 1.
Difficulty is shared by all recipes; own and fold by all seeds of a recipe. The level depends on the recipe's parameters
by a Gaussian process, so that there is something to learn, and on more that they do not explain. Lean, fold and seed
noise and curves are those of recorded recipes of a like level, seconds those of the same optimizer; for first rungs see
``rung_model``. Groups have no part in it. The truth about a recipe is its expected accuracy on these images over all
seeds.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from latent import correlation
from proposals import Group, coordinates
from rung_model import draw_rungs, fit_rungs
from scipy.linalg import cho_factor, cho_solve
from scipy.special import ndtr, ndtri
from table import Seen, View

NEIGHBOURS = 5
"""Recorded recipes of a like level that variances are averaged over, and donors drawn from."""

NUM_SEEDS = 3
"""Seeds that a search sees: a trial's own and two for repeats."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Components:
    """What was fitted; in units of the model's unit variance."""

    level: np.ndarray
    """float64 (recorded recipes,)."""

    lean: np.ndarray
    """float64 (recorded recipes,): how much easier it finds leukemic images."""

    fold: np.ndarray
    """float64 (recorded recipes,): standard deviation of its folds, the same under every seed."""

    seed: np.ndarray
    """float64 (recorded recipes,): standard deviation of a fold under one seed."""

    difficulty: float
    """Variance that all recipes share, 0..1."""

    own: float
    """Variance that the seeds of one recipe share, 0..1."""


def fit(recorded: Seen) -> Components:
    """Estimate the components from a record of two seeds, by moments."""
    right, labels = recorded.right[:2], recorded.labels
    by_class = [right[:, :, labels == label] for label in (0, 1)]
    marginal = np.stack([ndtri((each.sum(axis=(0, 2)) + 0.5) / (2 * each.shape[2] + 1)) for each in by_class])
    slope = np.exp(-(marginal**2) / 2).mean(axis=0) / math.sqrt(2 * math.pi)
    alike = _neighbours(marginal.mean(axis=0))
    seed, fold = _fold_variances(recorded)
    steepness = (slope**2)[alike].mean(axis=1)
    fold, seed = (np.maximum(0, each[alike].mean(axis=1)) / steepness for each in (fold, seed))
    between = list(itertools.combinations(range(right.shape[1]), 2))
    shared = correlation(by_class, marginal, [((0, a), (0, b)) for a, b in between])
    within = correlation(by_class, marginal, [((0, a), (1, a)) for a in range(right.shape[1])])
    # What was estimated is the chance of a right answer, over folds and seeds, too: the level stands apart from them.
    widened = marginal * np.sqrt(1 + fold + seed)
    return Components(
        level=widened.mean(axis=0),
        lean=(widened[1] - widened[0]) / 2,
        fold=np.sqrt(fold),
        seed=np.sqrt(seed),
        difficulty=shared,
        own=max(0.0, within - shared),
    )


def _neighbours(level: np.ndarray) -> np.ndarray:
    """Per recipe the recipes nearest in level, itself among them, int64 (recipes, NEIGHBOURS)."""
    return np.argsort(np.abs(level[:, None] - level), axis=1, kind="stable")[:, :NEIGHBOURS]


def _fold_variances(recorded: Seen) -> tuple[np.ndarray, np.ndarray]:
    """Per recipe the variance of a fold's accuracy by seed, and by fold, beyond what its images explain."""
    scores = recorded.scores[:2]
    sizes = np.array([rows.stop - rows.start for rows in recorded.fold_rows])
    differs = recorded.right[0] != recorded.right[1]
    changed = np.stack([differs[:, rows].mean(axis=1) for rows in recorded.fold_rows], axis=1)
    squared = (scores[0] - scores[1]) ** 2
    by_seed = np.mean(squared - (changed - squared) / sizes, axis=1) / 2
    mean = scores.mean(axis=0)
    rest = mean - mean.mean(axis=1, keepdims=True) - mean.mean(axis=0) + mean.mean()
    of_images = np.mean(mean * (1 - mean) / sizes, axis=1)
    by_fold = np.sum(rest**2, axis=1) / (mean.shape[1] - 1) - by_seed.clip(0) / 2 - of_images
    return by_seed, by_fold


class Landscape:
    """How levels depend on parameters: a Gaussian process and what they do not explain, by marginal likelihood."""

    def __init__(self, space: Mapping[str, Any], recipes: tuple[Mapping[str, Any], ...], level: np.ndarray) -> None:
        self._space, self._recipes, self._level = space, recipes, level
        self._mean, self._variance = float(level.mean()), float(level.var())
        lengths = itertools.product((0.2, 0.4, 0.8), (0.8, 1.6, 6.4), (0.5, 1.0, 2.0))
        self.lengths, self.share = max(
            itertools.product(lengths, (0.3, 0.5, 0.7, 0.9)),
            key=lambda point: self._likelihood(*point),
        )

    def _likelihood(self, lengths: tuple[float, float, float], share: float) -> float:
        kernel = self._variance * (share * self._alike(self._recipes, self._recipes, lengths))
        kernel += self._variance * (1 - share) * np.eye(len(self._level))
        factor = cho_factor(kernel, lower=True)
        rest = self._level - self._mean
        return float(-rest @ cho_solve(factor, rest) / 2 - np.log(np.diag(factor[0])).sum())

    def _alike(self, a: tuple[Any, ...], b: tuple[Any, ...], lengths: tuple[float, float, float]) -> np.ndarray:
        """Kernel of the recipes' distance: in numbers, in probabilities of augmentations, in choices."""
        general: Group = coordinates(self._space, [*a, *b])[0]
        keys = [key for key, each in self._space.items() if "low" in each and "optimizers" not in each]
        augments = np.array([key.startswith("augment.") for key in keys], dtype=bool)
        scaled = np.concatenate(
            [general.numbers / np.where(augments, lengths[1], lengths[0]), general.options / lengths[2]], axis=1
        )
        return np.exp(-((scaled[: len(a), None] - scaled[len(a) :]) ** 2).sum(axis=2) / 2)

    def draw(self, recipes: tuple[Mapping[str, Any], ...], generator: np.random.Generator) -> np.ndarray:
        """Levels of other recipes, given the recorded ones."""
        known = self._share_of(self._recipes, self._recipes)
        known += self._variance * (1 - self.share) * np.eye(len(self._level))
        cross = self._share_of(recipes, self._recipes)
        factor = cho_factor(known, lower=True)
        mean = self._mean + cross @ cho_solve(factor, self._level - self._mean)
        covariance = self._share_of(recipes, recipes) - cross @ cho_solve(factor, cross.T)
        covariance += self._variance * (1 - self.share) * np.eye(len(recipes))
        return mean + np.linalg.cholesky(covariance) @ generator.standard_normal(len(recipes))

    def _share_of(self, a: tuple[Any, ...], b: tuple[Any, ...]) -> np.ndarray:
        return self._variance * self.share * self._alike(a, b, self.lengths)


def draw_recipe(space: Mapping[str, Any], start: Mapping[str, Any], generator: np.random.Generator) -> dict[str, Any]:
    """A random recipe of a space as ``Space.describe`` tells it; fields that its optimizer lacks are None."""
    recipe = dict(start)
    for key, dimension in space.items():
        if dimension.get("optimizers") and recipe["optimizer.name"] not in dimension["optimizers"]:
            recipe[key] = None
        elif "choices" in dimension:
            recipe[key] = dimension["choices"][int(generator.integers(len(dimension["choices"])))]
        else:
            scale, back = (math.log, math.exp) if dimension["log"] else (float, float)
            recipe[key] = back(generator.uniform(scale(dimension["low"]), scale(dimension["high"])))
    return recipe


def resample(recorded: Seen, components: Components, landscape: Landscape, num_recipes: int, seed: int) -> View:
    """A table of new recipes; recipe 0 is the starting recipe at the level that was recorded.

    Args:
        seed: the same one gives the same table.
    """
    generator = np.random.default_rng(seed)
    start = recorded.recipes[0]
    recipes = (start, *(draw_recipe(recorded.space, start, generator) for _ in range(num_recipes - 1)))
    level = np.append(components.level[0], landscape.draw(recipes[1:], generator))
    near = np.argsort(np.abs(level[:, None] - components.level), axis=1)[:, :NEIGHBOURS]
    donors = near[np.arange(num_recipes), generator.integers(NEIGHBOURS, size=num_recipes)]
    steady = _steady(recorded, components, level, donors, generator)
    noise = generator.normal(size=(NUM_SEEDS, num_recipes, recorded.num_folds)) * components.seed[donors][:, None]
    chance = 1 - components.difficulty - components.own
    latent = steady + noise[:, :, recorded.folds]
    latent = latent + math.sqrt(chance) * generator.standard_normal(latent.shape)
    truth = ndtr(steady / np.sqrt(chance + components.seed[donors] ** 2)[:, None]).mean(axis=1)
    new = replace(
        recorded,
        recipes=recipes,
        probabilities=ndtr(latent * np.where(recorded.labels, 1, -1)).astype(np.float32),
        seconds=_seconds(recorded, recipes, generator),
        rungs=None,
    )
    model, first = fit_rungs(recorded), recorded.fold_rows[0]
    if model is not None:
        # A generator of their own: the rest of a table is the same with and without them.
        own = np.random.default_rng([seed, 1])
        new = replace(new, rungs=draw_rungs(model, latent[0][:, first], recorded.labels[first], donors, own))
    return View(seen=replace(new, accuracy=_curves(recorded, new, donors)), truth=truth)


def _steady(
    recorded: Seen, components: Components, level: np.ndarray, donors: np.ndarray, generator: np.random.Generator
) -> np.ndarray:
    """What is the same under all seeds, float64 (recipes, images)."""
    shape = (len(level), len(recorded.labels))
    folds = generator.normal(size=(len(level), recorded.num_folds)) * components.fold[donors][:, None]
    return (
        level[:, None]
        + components.lean[donors][:, None] * np.where(recorded.labels, 1, -1)
        + folds[:, recorded.folds]
        + math.sqrt(components.difficulty) * generator.standard_normal(shape[1])
        + math.sqrt(components.own) * generator.standard_normal(shape)
    )


def _seconds(recorded: Seen, recipes: tuple[Mapping[str, Any], ...], generator: np.random.Generator) -> np.ndarray:
    """Those of a recorded recipe with the same optimizer, under one of its seeds."""
    optimizers = np.array([recipe["optimizer.name"] for recipe in recorded.recipes])
    taken = []
    for recipe in recipes:
        like = np.flatnonzero(optimizers == recipe["optimizer.name"])
        donor = int(generator.choice(like)) if len(like) else 0
        taken.append(recorded.seconds[generator.integers(len(recorded.seconds), size=NUM_SEEDS), donor])
    return np.stack(taken, axis=1)


def _curves(recorded: Seen, new: Seen, donors: np.ndarray) -> np.ndarray:
    """A donor's curve, moved on the normal scale by the difference of the two scores, in full at the last epoch."""
    old = _normal(recorded.accuracy[0][donors])
    moved = _normal(new.scores) - _normal(recorded.scores[0][donors])
    progress = np.arange(1, old.shape[-1] + 1) / old.shape[-1]
    return ndtr(old + moved[..., None] * progress)


def _normal(accuracy: np.ndarray) -> np.ndarray:
    return ndtri(np.clip(accuracy, 0.005, 0.995))
