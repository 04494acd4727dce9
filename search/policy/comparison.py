"""A comparison: recipes that the user gives, each of which is run once on all folds, and the space that they span."""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from leukemia.base.errors import UserError
from leukemia.config.fields import all_fields
from leukemia.config.plugins import RESNET
from leukemia.config.presets import PRESETS
from leukemia.config.recipe import Recipe
from leukemia.study.field_types import GRID, NAME
from leukemia.study.schema import SearchOptions
from search.policy.asked import Asked
from search.policy.dimensions import Choice, Dimension, Integer, is_of, optimizers_of, size_of
from search.policy.searchable import NOT_SEARCHED
from search.policy.space import Space, applicable, with_cycle

REASON = "differs between the recipes"

MOST_RECIPES = 1000
"""Of a grid, whose combinations are easily more than anyone can run."""


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """The recipes of a comparison."""

    recipes: tuple[Recipe, ...]
    """Those of trial 0, 1, ...; all others are compared with the first."""

    def resolved(self, first: Recipe) -> Comparison:
        """With what the data decide.

        Args:
            first: the first of these recipes, resolved.
        """
        flat = first.flat()
        # What depends on the data or on files differs between no two recipes.
        shared = {key: flat[key] for key in NOT_SEARCHED}
        return Comparison(recipes=tuple(each.with_settings(shared) for each in self.recipes))

    def space(self, settings: Mapping[str, Any]) -> Space:
        """The fields in which the recipes differ, with their values, around the first recipe.

        Args:
            settings: of ``--set``.
        """
        flats = [each.flat() for each in self.recipes]
        keys = {key for key in all_fields() if len({flat.get(key) for flat in flats}) > 1}
        space = self._around(keys, settings)
        # Another optimizer or network begins with its defaults, also where all recipes have the same other value.
        keys |= {key for each in self.recipes for key in space.outside(each)}
        space = self._around(keys, settings)
        assert all(space.recipe(space.parameters(each)) == each for each in self.recipes)
        return space

    def _around(self, keys: set[str], settings: Mapping[str, Any]) -> Space:
        dimensions = tuple(self._dimension(key) for key in all_fields() if key in keys)
        return Space(start=self.recipes[0], dimensions=dimensions, settings=dict(settings))

    def _dimension(self, key: str) -> Choice:
        optimizers = optimizers_of(key)
        having = [each for each in self.recipes if is_of(key, optimizers, each.optimizer.name, each.model.network)]
        values = dict.fromkeys(each.flat()[key] for each in having)
        return Choice(key=key, choices=tuple(values), reason=REASON, optimizers=optimizers)


def comparison_of(options: SearchOptions) -> Comparison | None:
    """The recipes of a comparison, not resolved; None for a search.

    Raises:
        UserError: one is not valid.
    """
    if options.sampler != GRID:
        return None
    preset = PRESETS[options.preset]()
    entries = options.recipes or combinations(Asked.from_dict(options.asked).dimensions)
    given = ({key: value for key, value in entry.items() if key != NAME} for entry in entries)
    recipes = with_all_augmentations([recipe_with(preset, options.settings, each) for each in given])
    # Combinations that differ only in what their optimizer or network lacks are one recipe.
    return Comparison(recipes=tuple(dict.fromkeys(recipes)))


def with_all_augmentations(recipes: Sequence[Recipe]) -> list[Recipe]:
    """The recipes of a comparison, each with all augmentations of plug-ins that one of them has; 0 unless it has it."""
    keys = dict.fromkeys(f"augment.{name}" for each in recipes for name, _ in each.augmentations)
    flats = [each.flat() for each in recipes]
    return [
        each.with_settings({key: flat.get(key, 0.0) for key in keys}) for each, flat in zip(recipes, flats, strict=True)
    ]


def as_comparison(options: SearchOptions, given: Mapping[str, Any], number: int) -> SearchOptions:
    """The options of a comparison of so many recipes: neither race nor ladder, and no end before the last of them.

    Args:
        given: by the user.

    Raises:
        UserError: another number of trials is given.
    """
    if given.get("trials", number) != number:
        raise UserError(
            f"--trials: a comparison runs each of its {number} recipes once, got {given['trials']}; leave it out"
        )
    return dataclasses.replace(options, trials=number, racing=False, pausing=False, starts=1)


def recipe_with(preset: Recipe, settings: Mapping[str, Any], fields: Mapping[str, Any]) -> Recipe:
    """The preset with what ``--set`` and a given recipe say.

    Args:
        settings: of ``--set``; those that only other optimizers or networks have do not apply.

    Raises:
        UserError: a value is out of range, or the optimizer or the network does not have one of the fields.
    """
    flat = preset.flat()
    name, network = (fields.get(key, settings.get(key, flat[key])) for key in ("optimizer.name", "model.network"))
    return with_cycle(preset.with_settings({**applicable(name, network, settings), **fields}))


def combinations(dimensions: Sequence[Dimension]) -> list[dict[str, Any]]:
    """All combinations of the values of some fields, in the order of the recipe's fields, the last of which varies
    fastest; without values that the combination's optimizer or network does not have.

    Args:
        dimensions: none of them real.

    Raises:
        UserError: more than ``MOST_RECIPES``.

    >>> depth = Choice(key="model.depth", choices=(18, 50), reason="")
    >>> combinations([Choice(key="augment.blur", choices=(0.0,), reason=""), depth])
    [{'augment.blur': 0.0, 'model.depth': 18}, {'augment.blur': 0.0, 'model.depth': 50}]
    """
    ordered = sorted(dimensions, key=lambda each: all_fields().index(each.key))
    number = math.prod(size_of(each) for each in ordered)
    if number > MOST_RECIPES:
        raise UserError(
            f"--sampler {GRID}: expected at most {MOST_RECIPES:,} combinations, got {number:,.0f}; list fewer values, "
            "or search among them with another sampler"
        )
    found = [
        dict(zip((each.key for each in ordered), values, strict=True))
        for values in itertools.product(*map(_values, ordered))
    ]
    return [_had(each) for each in found]


def _had(fields: Mapping[str, Any]) -> dict[str, Any]:
    """The fields that the optimizer and the network among them have, if they are among them."""
    optimizer, network = fields.get("optimizer.name"), fields.get("model.network", RESNET)
    return {
        key: value
        for key, value in fields.items()
        if is_of(key, () if optimizer is None else optimizers_of(key), str(optimizer), network)
    }


def _values(dimension: Dimension) -> Sequence[Any]:
    if isinstance(dimension, Choice):
        return dimension.choices
    assert isinstance(dimension, Integer), dimension.key
    return range(dimension.low, dimension.high + 1, dimension.step)
