"""Recipes that a space proposes at random."""

from __future__ import annotations

from typing import Any

import numpy as np

from leukemia.config.recipe import Recipe
from search.policy.space import Space


class RandomSuggest:
    """Draws values uniformly and records them."""

    def __init__(self, seed: int) -> None:
        self.generator = np.random.default_rng(seed)
        self.values: dict[str, Any] = {}

    def real(self, key: str, low: float, high: float, log: bool) -> float:
        value = self.generator.uniform(*(np.log([low, high]) if log else (low, high)))
        self.values[key] = float(np.clip(np.exp(value) if log else value, low, high))
        return self.values[key]

    def integer(self, key: str, low: int, high: int, log: bool, step: int) -> int:
        self.values[key] = low + step * int(self.generator.integers((high - low) // step + 1))
        return self.values[key]

    def choice(self, key: str, choices: tuple[Any, ...]) -> Any:
        self.values[key] = choices[self.generator.integers(len(choices))]
        return self.values[key]


def proposals(space: Space, count: int = 200) -> list[tuple[dict[str, Any], Recipe]]:
    """Proposed values and their recipes, always the same."""
    found = []
    for seed in range(count):
        suggest = RandomSuggest(seed)
        recipe = space.propose(suggest)
        found.append((suggest.values, recipe))
    return found
