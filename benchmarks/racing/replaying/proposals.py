"""Proposers that choose the next recipe of a table: random, or TPE.

``TableTPE`` ranks the remaining recipes by the acquisition function of Optuna's TPESampler (5.0; multivariate, group,
constant liar, as set by ``search.sampling``). Optuna takes 6 to 11 ms per proposal; here the kernels of all dimensions
are evaluated in one matrix product. A test compares the densities with Optuna's.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from scipy.special import ndtr

from leukemia.study.schema import State

STARTUP = 10
"""Finished trials before TPE takes over from random proposals: TPESampler's default."""


class Proposer(Protocol):
    """Proposes the recipes of a table, each once."""

    def propose(self) -> int | None:
        """The next recipe; None once all have been proposed."""

    def tell(self, recipe: int, state: State, values: Sequence[float]) -> None:
        """Record the end of a proposed recipe, with its score if complete, else its intermediate values."""


class AtRandom:
    """The starting recipe, then the others in random order."""

    def __init__(self, num_recipes: int, generator: np.random.Generator) -> None:
        self._order = iter([0, *(1 + generator.permutation(num_recipes - 1)).tolist()])

    def propose(self) -> int | None:
        return next(self._order, None)

    def tell(self, recipe: int, state: State, values: Sequence[float]) -> None:
        """Random proposals do not depend on results."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Group:
    """Dimensions that a recipe has either all or none of."""

    has: np.ndarray
    """bool (recipes,)."""

    numbers: np.ndarray
    """float64 (recipes, numbers): scaled to 0..1 over each range, logarithmically where the range is."""

    options: np.ndarray
    """float64 (recipes, options), one-hot for each choice in turn."""

    widths: np.ndarray
    """int64 (options,): number of options of the choice that each option belongs to."""


def coordinates(space: Mapping[str, Any], recipes: Sequence[Mapping[str, Any]]) -> list[Group]:
    """Coordinates of recipes in a space in the form of ``Space.describe``, grouped by the optimizers that use them."""
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


def one_by_one(groups: Sequence[Group]) -> list[Group]:
    """Each dimension as a group of its own, as univariate TPE sees them."""
    found = []
    for group in groups:
        for column in group.numbers.T:
            none = np.zeros((len(column), 0))
            found.append(Group(has=group.has, numbers=column[:, None], options=none, widths=group.widths[:0]))
        start = 0
        while start < len(group.widths):
            own = slice(start, start + int(group.widths[start]))
            none = np.zeros((len(group.has), 0))
            found.append(Group(has=group.has, numbers=none, options=group.options[:, own], widths=group.widths[own]))
            start = own.stop
    return found


def _scaled(dimension: Mapping[str, Any], values: Sequence[float | None]) -> np.ndarray:
    scale = math.log if dimension["log"] else float
    low, high = scale(dimension["low"]), scale(dimension["high"])
    return np.array([0.5 if value is None else (scale(value) - low) / (high - low) for value in values])


def log_density(group: Group, candidates: np.ndarray, observed: np.ndarray) -> np.ndarray:
    """Log density of TPE's estimator at recipes of a group, up to a constant per group.

    Args:
        candidates: int64, recipes that have the group.
        observed: int64, observed recipes that have the group, in the order of their trials.
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
    # The kernel of the prior is uniform over the options; that of a trial adds one to its own option.
    options = np.vstack([group.options[observed], np.zeros((1, len(group.widths)))]) + 1 / (count + 1)
    totals = np.append(np.ones(count), 0.0)[:, None] + group.widths / (count + 1)
    log_kernels += group.options[candidates] @ np.log(options / totals).T + log_weights
    highest = log_kernels.max(axis=1, keepdims=True)
    return np.log(np.exp(log_kernels - highest).sum(axis=1)) + highest[:, 0]


def _weights(count: int) -> np.ndarray:
    """The last 25 trials have full weight, older ones linearly less."""
    if count < 25:
        return np.ones(count)
    return np.append(np.linspace(1 / count, 1, num=count - 25), np.ones(25))


def _bandwidths(numbers: np.ndarray) -> np.ndarray:
    """For each trial and dimension the distance to the farther of its two neighbours, clipped from below."""
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
    """The starting recipe, random recipes until ten trials have finished, then TPE's best of the remaining recipes."""

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
        # Complete trials rank first, others by the number of reported steps, then by the last value.
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
