"""Who proposes the next recipe of a table: chance, or TPE.

``TableTPE`` ranks the recipes that are left by the acquisition function of Optuna's TPESampler (5.0; multivariate, in
groups, with the constant liar: what ``search.sampling.journal`` sets). Optuna itself takes 6 to 11 ms a
proposal; here the kernels of all dimensions are one matrix product. A test holds the densities against Optuna's.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from scipy.special import ndtr

from leukemia.study.folder import State

STARTUP = 10
"""Ended trials before TPE proposes: TPESampler's default."""


class Proposer(Protocol):
    """Names recipes of a table, each once."""

    def propose(self) -> int | None:
        """The next recipe; None when all have been proposed."""

    def tell(self, recipe: int, state: State, values: Sequence[float]) -> None:
        """A proposed recipe has ended: its score if complete, else what it reported on its way, if anything."""


class AtRandom:
    """The starting recipe, then the others in random order."""

    def __init__(self, num_recipes: int, generator: np.random.Generator) -> None:
        self._order = iter([0, *(1 + generator.permutation(num_recipes - 1)).tolist()])

    def propose(self) -> int | None:
        return next(self._order, None)

    def tell(self, recipe: int, state: State, values: Sequence[float]) -> None:
        """Nothing is learnt."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Group:
    """Dimensions that a recipe has together, or not at all."""

    has: np.ndarray
    """bool (recipes,)."""

    numbers: np.ndarray
    """float64 (recipes, numbers): 0 to 1 over each range, on its scale."""

    options: np.ndarray
    """float64 (recipes, options), one-hot for each choice in turn."""

    widths: np.ndarray
    """int64 (options,): how many options the choice has that an option belongs to."""


def coordinates(space: Mapping[str, Any], recipes: Sequence[Mapping[str, Any]]) -> list[Group]:
    """Recipes in a space as ``Space.describe`` tells it, its dimensions grouped by the optimizers that have them."""
    by_optimizers: dict[tuple[str, ...], list[str]] = {}
    for key, dimension in space.items():
        by_optimizers.setdefault(tuple(dimension.get("optimizers", ())), []).append(key)
    groups = []
    for optimizers, keys in by_optimizers.items():
        has = np.array([not optimizers or recipe["optimizer.name"] in optimizers for recipe in recipes])
        real = [key for key in keys if "low" in space[key]]
        chosen = [key for key in keys if "low" not in space[key]]
        numbers = [
            _scaled(space[key], [r[key] if had else None for r, had in zip(recipes, has, strict=True)]) for key in real
        ]
        options = [[[r[key] == o for o in space[key]["choices"]] for r in recipes] for key in chosen]
        widths = [len(space[key]["choices"]) for key in chosen]
        groups.append(
            Group(
                has=has,
                numbers=np.stack(numbers, axis=1) if numbers else np.zeros((len(recipes), 0)),
                options=np.concatenate(options, axis=1).astype(float) if options else np.zeros((len(recipes), 0)),
                widths=np.repeat(np.array(widths, dtype=np.int64), widths),
            )
        )
    return groups


def _scaled(dimension: Mapping[str, Any], values: Sequence[float | None]) -> np.ndarray:
    scale = math.log if dimension["log"] else float
    low, high = scale(dimension["low"]), scale(dimension["high"])
    return np.array([0.5 if value is None else (scale(value) - low) / (high - low) for value in values])


def log_density(group: Group, candidates: np.ndarray, observed: np.ndarray) -> np.ndarray:
    """Log density of TPE's estimator at recipes of a group, up to a constant of the group.

    Args:
        candidates, observed: int64, numbers of recipes that have the group; the observed in the order of their trials.
    """
    count = len(observed)
    weights = np.append(_weights(count), 1.0)
    log_weights = np.log(weights / weights.sum())
    middle = np.vstack([group.numbers[observed], np.full((1, group.numbers.shape[1]), 0.5)])
    width = np.vstack([_bandwidths(group.numbers[observed]), np.ones((1, group.numbers.shape[1]))])
    inside = ndtr((1 - middle) / width) - ndtr(-middle / width)
    points, precision = group.numbers[candidates], width**-2
    squares = points**2 @ precision.T - 2 * points @ (middle * precision).T + np.sum(middle**2 * precision, axis=1)
    log_kernels = -squares / 2 - np.sum(np.log(width * inside), axis=1)
    # The prior's kernel knows every option alike; a trial's adds one to its own.
    options = np.vstack([group.options[observed], np.zeros((1, len(group.widths)))]) + 1 / (count + 1)
    totals = np.append(np.ones(count), 0.0)[:, None] + group.widths / (count + 1)
    log_kernels += group.options[candidates] @ np.log(options / totals).T + log_weights
    highest = log_kernels.max(axis=1, keepdims=True)
    return np.log(np.exp(log_kernels - highest).sum(axis=1)) + highest[:, 0]


def _weights(count: int) -> np.ndarray:
    """The last 25 trials count in full, older ones less and less."""
    if count < 25:
        return np.ones(count)
    return np.append(np.linspace(1 / count, 1, num=count - 25), np.ones(25))


def _bandwidths(numbers: np.ndarray) -> np.ndarray:
    """Per trial and dimension the distance to the farther of its two neighbours, clipped from below."""
    count = len(numbers)
    if not count:
        return numbers
    order = np.argsort(numbers, axis=0)
    ends = np.zeros((1, numbers.shape[1]))
    steps = np.diff(np.vstack([ends, np.take_along_axis(numbers, order, axis=0), ends + 1]), axis=0)
    widths = np.maximum(steps[:-1], steps[1:])
    if count > 1:
        widths[0], widths[-1] = steps[1], steps[-2]
    unsorted = np.empty_like(widths)
    np.put_along_axis(unsorted, order, widths, axis=0)
    return np.clip(unsorted, 1 / min(100, count + 2), 1)


class TableTPE:
    """The starting recipe, ten at random, then whatever TPE likes best of the recipes that are left."""

    def __init__(self, groups: list[Group], generator: np.random.Generator) -> None:
        self._groups, self._generator = groups, generator
        self._left = np.ones(len(groups[0].has), dtype=bool)
        self._numbers: dict[int, int] = {}
        self._ended: dict[int, tuple[float, float]] = {}

    def propose(self) -> int | None:
        left = np.flatnonzero(self._left)
        if not len(left):
            return None
        if not self._numbers:
            recipe = 0
        elif len(self._ended) < STARTUP:
            recipe = int(self._generator.choice(left))
        else:
            recipe = int(left[self._acquisition(left).argmax()])
        self._left[recipe] = False
        self._numbers[recipe] = len(self._numbers)
        return recipe

    def tell(self, recipe: int, state: State, values: Sequence[float]) -> None:
        # Complete trials rank first, then by the steps that were reported and the last value.
        last = values[-1] if len(values) else -math.inf
        self._ended[recipe] = (math.inf if state == "complete" else float(len(values)), last)

    def _acquisition(self, left: np.ndarray) -> np.ndarray:
        ranked = sorted(self._ended, key=lambda recipe: self._ended[recipe], reverse=True)
        below = set(ranked[: min(math.ceil(0.1 * len(ranked)), 25)])
        values = np.zeros(len(left))
        for group in self._groups:
            rows = group.has[left]
            sides = [
                np.array([r for r in self._numbers if (r in below) == side and group.has[r]], dtype=np.int64)
                for side in (True, False)
            ]
            if rows.any():
                good, other = (log_density(group, left[rows], side) for side in sides)
                values[rows] += good - other
        return values
