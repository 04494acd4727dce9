"""A plausible accuracy of every recipe of the search's space, drawn at random: a world with a known truth.

Mostly additive, as most surfaces of hyperparameters are: an offset for each choice, a best learning rate for each
optimizer, lower for deeper networks, beyond which training diverges, and a best probability of each augmentation. Pairs
of augmentations interact, and a smooth function of all numbers that no rule explains is added.

During fold 0 recipes start differently. High learning rates and certain schedules look good early, strong augmentation
and deep networks look bad, and the rest is noise.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from leukemia.config.recipe import Recipe
from search.policy.dimensions import Choice, Dimension, Real
from search.policy.rate_schedule import RateSchedule
from search.policy.space import Space

BASE, FLOOR = 90.0, 62.0
"""Points of accuracy: of a recipe without any effects, and of one whose training diverges."""

BEST_RATES = {"ranger21": -2.5, "adamw": -3.1, "ranger21_cosine": -2.8}
"""Mean over worlds of the decimal logarithm of the best learning rate."""

AUGMENTS = {
    "augment.horizontal_flip": (0.5, 0.5, 0.8),
    "augment.vertical_flip": (0.5, 0.5, 0.8),
    "augment.transpose": (0.5, 0.5, 0.6),
    "augment.rotate": (1.0, 1.0, 1.2),
    "augment.blur": (0.5, 0.3, 2.0),
    "augment.noise": (0.5, 0.3, 2.0),
    "augment.cutout": (1.0, 1.0, 1.2),
}
"""Highest value; highest best value; most points lost between 0 and a best value at the other end, times 2/3."""

NUM_WAVES = 16
UNEXPLAINED = 0.5
"""Standard deviation in points of the part that no rule explains."""

NUM_DRAWS, NUM_CLIMBS, NUM_SWEEPS, NUM_VALUES = 300, 3, 4, 17
"""Of the search for the best recipe: random ones for each optimizer, how many are improved, and how."""


class Surface:
    """One world."""

    def __init__(self, space: Space, seed: int) -> None:
        generator = np.random.default_rng([seed, 0])
        self._space, self._seed = space, seed
        self._offsets: dict[str, dict[Any, float]] = {
            "optimizer.name": {name: generator.normal(0, 1) for name in BEST_RATES},
            "model.depth": {18: 0.0, 50: generator.normal(0.4, 0.6), 152: generator.normal(-0.3, 1.0)},
            "model.shortcut": {"add": 0.0, "concat": generator.normal(-0.2, 0.5), "weighted": generator.normal(0, 0.4)},
            "data.grayscale": {False: 0.0, True: generator.normal(-1.0, 0.6)},
            "optimizer.restart_factor": {1: 0.0, 2: generator.normal(0, 0.3)},
        }
        self._restarts = [generator.normal(mean, 0.4) for mean in (-0.5, -0.8)]
        self._rates = {name: (generator.normal(at, 0.25), generator.uniform(2.5, 5)) for name, at in BEST_RATES.items()}
        self._by_depth = generator.normal(0.3, 0.3)
        self._decay = generator.normal(-1.5, 0.4), generator.uniform(0.3, 1.0)
        self._augments = {
            key: (generator.uniform(0, best), 1.5 * generator.uniform(most / 4, most))
            for key, (_, best, most) in AUGMENTS.items()
        }
        self._pairs = np.tril(generator.normal(0, 0.5, (len(AUGMENTS), len(AUGMENTS))), -1)
        self._waves = generator.normal(0, 2.0, (NUM_WAVES, len(AUGMENTS) + 1))
        self._phases = generator.uniform(0, 2 * math.pi, NUM_WAVES)
        self._haste, self._drag = generator.normal(2.0, 1.0), generator.uniform(0, 4)
        self._schedules: dict[RateSchedule, float] = {}

    def accuracy(self, values: Mapping[str, Any]) -> float:
        """Accuracy of a recipe in points, from ``FLOOR`` upward.

        Args:
            values: of the searched fields, by key.
        """
        name, rate = values["optimizer.name"], math.log10(values["optimizer.learning_rate"])
        found = BASE + sum(offset[values[key]] for key, offset in self._offsets.items() if values.get(key) is not None)
        depth = {18: 0.0, 50: 0.5, 152: 1.0}[values["model.depth"]]
        best, loss = self._rates[name]
        best -= self._by_depth * depth
        found -= loss * abs(rate - best) ** 1.7 * (2.0 if rate > best else 1.0)
        if name == "adamw":
            found -= self._decay[1] * (math.log10(values["optimizer.weight_decay"]) - self._decay[0]) ** 2
        restart = values.get("optimizer.restart_epochs")
        if restart is not None and restart < self._space.start.train.epochs:
            found += self._restarts[0 if restart >= self._space.start.train.epochs / 5 else 1]
        shifts = np.array([values[key] - at for key, (at, _) in self._augments.items()])
        scaled = shifts / np.array([high for high, _, _ in AUGMENTS.values()])
        found -= float(np.dot([loss for _, loss in self._augments.values()], scaled**2))
        found += float(0.5 * scaled @ self._pairs @ scaled)
        waves = np.cos(self._waves @ np.append(scaled, rate + 3) + self._phases)
        found += UNEXPLAINED * math.sqrt(2 / NUM_WAVES) * float(waves.sum())
        return max(FLOOR, found)

    def early(self, recipe: Recipe, share: float) -> float:
        """Expected validation accuracy of a resolved recipe after a share of fold 0, in points."""
        values, schedule = recipe.flat(), RateSchedule.of(recipe)
        if schedule not in self._schedules:
            named = zlib.crc32(repr(schedule).encode())
            self._schedules[schedule] = float(np.random.default_rng([self._seed, 1, named]).normal(0, 3))
        strength = float(np.mean([values[key] for key in AUGMENTS]))
        ahead = self._schedules[schedule] + self._haste * (math.log10(values["optimizer.learning_rate"]) + 3)
        behind = 8 + self._drag * strength + recipe.model.depth / 100
        return self.accuracy(values) + (1 - share) * (ahead - behind)

    def best(self) -> float:
        """The highest accuracy found by climbing from the best of many random recipes, one parameter at a time."""
        generator = np.random.default_rng([self._seed, 2])
        highest = FLOOR
        for name in BEST_RATES:
            drawn = [self.draw(name, generator) for _ in range(NUM_DRAWS)]
            for values in sorted(drawn, key=self.accuracy)[-NUM_CLIMBS:]:
                highest = max(highest, self._climb(values))
        return highest

    def draw(self, name: str, generator: np.random.Generator) -> dict[str, Any]:
        """Random values of the searched fields for an optimizer."""
        values: dict[str, Any] = {"optimizer.name": name}
        for dimension in self._dimensions(name):
            choices = _values(dimension)
            values[dimension.key] = choices[int(generator.integers(len(choices)))]
        return values

    def _climb(self, values: dict[str, Any]) -> float:
        for _ in range(NUM_SWEEPS):
            for dimension in self._dimensions(values["optimizer.name"]):
                tried = [{**values, dimension.key: value} for value in _values(dimension)]
                values = max([values, *tried], key=self.accuracy)
        return self.accuracy(values)

    def _dimensions(self, name: str) -> list[Dimension]:
        """Those of an optimizer, without its name."""
        dimensions = (each for each in self._space.dimensions if not each.optimizers or name in each.optimizers)
        return [each for each in dimensions if each.key != "optimizer.name"]


def _values(dimension: Dimension) -> list[Any]:
    """The choices of a dimension, or numbers that cover its range."""
    if isinstance(dimension, Choice):
        return list(dimension.choices)
    assert isinstance(dimension, Real)
    space = np.geomspace if dimension.log else np.linspace
    return space(dimension.low, dimension.high, NUM_VALUES).tolist()
