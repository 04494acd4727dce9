"""Tables with more recipes than were recorded, sampled from a model that is fitted to a recorded table.

Every number from such a table is labelled *resampled*: it shows how searches perform if the model holds.

Model. Recipe r classifies image i of fold f and class y correctly under seed s when

    level_r +/- lean_r + fold_rf + seed_rsf + difficulty_i + own_ri + chance_rsi  >  0

with + for leukemic and - for normal images. All noise is normal; difficulty, own and chance have a total variance of 1.
Difficulty is shared by all recipes; own and fold are shared by all seeds of a recipe. The level depends on the recipe's
parameters through a Gaussian process, so that there is something to learn, plus a part that they do not explain. Lean,
fold noise, seed noise and curves are taken from recorded recipes of a similar level, seconds from recorded recipes with
the same optimizer. Groups are not modelled. The true accuracy of a recipe is its expected accuracy on these images over
all seeds.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from scipy.linalg import cho_factor, cho_solve
from scipy.special import ndtr, ndtri

from benchmarks.racing.replaying.latent import correlation
from benchmarks.racing.replaying.proposals import Group, coordinates
from benchmarks.racing.replaying.table import Table, View

NEIGHBOURS = 5
"""Recorded recipes of similar level over which variances are averaged and from which donors are drawn."""

NUM_SEEDS = 3
"""Seeds that a search sees: one for the trial itself and two for repeats."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Components:
    """Fitted parameters, on the latent scale with unit variance."""

    level: np.ndarray
    """float64 (recorded recipes,)."""

    lean: np.ndarray
    """float64 (recorded recipes,): how much easier leukemic images are for it."""

    fold: np.ndarray
    """float64 (recorded recipes,): standard deviation between folds, shared by all seeds."""

    seed: np.ndarray
    """float64 (recorded recipes,): standard deviation of one fold between seeds."""

    difficulty: float
    """Variance shared by all recipes, 0..1."""

    own: float
    """Variance shared by the seeds of one recipe, 0..1."""


def fit(recorded: Table) -> Components:
    """Estimate the components from two recorded seeds by the method of moments."""
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
    # The marginal accuracy also averages over folds and seeds; the level excludes their variance.
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
    """For each recipe the recipes nearest in level, itself included, int64 (recipes, NEIGHBOURS)."""
    return np.argsort(np.abs(level[:, None] - level), axis=1, kind="stable")[:, :NEIGHBOURS]


def _fold_variances(recorded: Table) -> tuple[np.ndarray, np.ndarray]:
    """For each recipe the variance of a fold's accuracy between seeds and between folds, beyond sampling of images."""
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
    """Level as a function of the parameters: a Gaussian process with residual noise, fitted by marginal likelihood."""

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
        """Kernel over the distance between recipes: in numbers, augmentation probabilities and choices."""
        general: Group = coordinates(self._space, [*a, *b])[0]
        keys = [key for key, each in self._space.items() if "low" in each and "optimizers" not in each]
        augments = np.array([key.startswith("augment.") for key in keys], dtype=bool)
        scaled = np.concatenate(
            [general.numbers / np.where(augments, lengths[1], lengths[0]), general.options / lengths[2]], axis=1
        )
        return np.exp(-((scaled[: len(a), None] - scaled[len(a) :]) ** 2).sum(axis=2) / 2)

    def draw(self, recipes: tuple[Mapping[str, Any], ...], generator: np.random.Generator) -> np.ndarray:
        """Sample the levels of new recipes conditional on the recorded ones."""
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
    """A random recipe from a space in the form of ``Space.describe``; fields its optimizer does not have are None."""
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


def resample(recorded: Table, components: Components, landscape: Landscape, num_recipes: int, seed: int) -> View:
    """Sample a table of new recipes; recipe 0 is the starting recipe at its recorded level.

    Args:
        seed: of the random numbers; equal seeds give equal tables.
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
    )
    return View(seen=replace(new, accuracy=_curves(recorded, new, donors)), truth=truth)


def _steady(
    recorded: Table, components: Components, level: np.ndarray, donors: np.ndarray, generator: np.random.Generator
) -> np.ndarray:
    """The part of the latent variable that all seeds share, float64 (recipes, images)."""
    shape = (len(level), len(recorded.labels))
    folds = generator.normal(size=(len(level), recorded.num_folds)) * components.fold[donors][:, None]
    return (
        level[:, None]
        + components.lean[donors][:, None] * np.where(recorded.labels, 1, -1)
        + folds[:, recorded.folds]
        + math.sqrt(components.difficulty) * generator.standard_normal(shape[1])
        + math.sqrt(components.own) * generator.standard_normal(shape)
    )


def _seconds(recorded: Table, recipes: tuple[Mapping[str, Any], ...], generator: np.random.Generator) -> np.ndarray:
    """Seconds of a recorded recipe with the same optimizer, under one of its seeds."""
    optimizers = np.array([recipe["optimizer.name"] for recipe in recorded.recipes])
    taken = []
    for recipe in recipes:
        like = np.flatnonzero(optimizers == recipe["optimizer.name"])
        donor = int(generator.choice(like)) if len(like) else 0
        taken.append(recorded.seconds[generator.integers(len(recorded.seconds), size=NUM_SEEDS), donor])
    return np.stack(taken, axis=1)


def _curves(recorded: Table, new: Table, donors: np.ndarray) -> np.ndarray:
    """The donor's curve, shifted on the probit scale by the difference of the scores, in full at the last epoch."""
    old = _normal(recorded.accuracy[0][donors])
    moved = _normal(new.scores) - _normal(recorded.scores[0][donors])
    progress = np.arange(1, old.shape[-1] + 1) / old.shape[-1]
    return ndtr(old + moved[..., None] * progress)


def _normal(accuracy: np.ndarray) -> np.ndarray:
    return ndtri(np.clip(accuracy, 0.005, 0.995))
