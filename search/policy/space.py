"""The search space around a starting recipe, and conversion between parameters and recipes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from leukemia.config.earlier import Renamed, with_earlier_names, with_present_names
from leukemia.config.fields import FIELDS
from leukemia.config.optimizers import OPTIMIZERS
from leukemia.config.recipe import Recipe
from search.policy.asked import NOTHING, Asked
from search.policy.built_in import built_in
from search.policy.dimensions import CONDITIONAL, Choice, Dimension, Suggest, described, is_within, suggested


@dataclass(frozen=True, kw_only=True)
class Space:
    """The searched fields (``dimensions``), with the starting recipe for all others."""

    start: Recipe
    """The recipe of trial 0; also the values of all fields that are not searched."""

    dimensions: tuple[Dimension, ...]
    settings: Mapping[str, Any]
    """Fields fixed by the user; they are not searched."""

    renamed: Renamed = field(default_factory=dict)
    """Of a study of an earlier version: its parameters and settings keep the names that it was started with."""

    def propose(self, suggest: Suggest) -> Recipe:
        """Propose a recipe: a value per dimension that applies to the proposed optimizer; the rest as in ``start``."""
        values: dict[str, Any] = {}
        for dimension in self.dimensions:
            optimizer = self._present(values).get("optimizer.name", self.start.optimizer.name)
            if dimension.optimizers and optimizer not in dimension.optimizers:
                continue
            values[dimension.key] = suggested(dimension, suggest)
        return self.recipe(values)

    def recipe(self, values: Mapping[str, Any]) -> Recipe:
        """The starting recipe with ``values``; fields fixed by the user are kept if the optimizer has them."""
        values, settings = self._present(values), self._present(self.settings)
        name = values.get("optimizer.name", self.start.optimizer.name)
        # Changing the optimizer resets its other fields, so those fixed by the user are set again.
        fixed = {key: value for key, value in applicable(name, settings).items() if key.startswith("optimizer.")}
        # The length of a cycle may be set to null by the user.
        return with_cycle(self.start.with_settings({**fixed, **values}))

    def _present(self, values: Mapping[str, Any]) -> dict[str, Any]:
        return with_present_names(values, self.renamed)

    def parameters(self, recipe: Recipe) -> dict[str, Any]:
        """A recipe's parameters in this space. Values may be outside the ranges: trial 0 is not limited to them."""
        flat = with_earlier_names(recipe.flat(), self.renamed)
        return {
            dimension.key: flat[dimension.key]
            for dimension in self.dimensions
            if not dimension.optimizers or recipe.optimizer.name in dimension.optimizers
        }

    def fits(self, recipe: Recipe) -> bool:
        """Whether the recipe is in this space: searched fields within their ranges, all others as in ``start``."""
        return not self.outside(recipe)

    def outside(self, recipe: Recipe) -> dict[str, Any]:
        """The fields with which a recipe is not in this space, with its values: searched ones out of their range, and
        others with another value than here."""
        parameters, flat = self.parameters(recipe), recipe.flat()
        beyond = {
            dimension.key
            for dimension in self.dimensions
            if dimension.key in parameters and not is_within(dimension, parameters[dimension.key])
        }
        here = self.recipe(parameters).flat()
        return {key: value for key, value in flat.items() if key in beyond or here[key] != value}

    def describe(self) -> dict[str, Any]:
        """In JSON types, with reasons; a study can only be resumed in the same space (``without_reasons``)."""
        names = searched_names(self.dimensions) or ()
        return {
            each.key: described(
                each, tuple(name for name in each.optimizers if OPTIMIZERS[name].is_searched or name in names)
            )
            for each in self.dimensions
        }


def with_cycle(recipe: Recipe) -> Recipe:
    """The recipe with a single cycle over all epochs if its optimizer has cycles and their length is not set."""
    if recipe.optimizer.has("restart_epochs") and recipe.optimizer.restart_epochs is None:
        return recipe.with_settings({"optimizer.restart_epochs": recipe.train.epochs})
    return recipe


def fixed_start(start: Recipe, settings: Mapping[str, Any]) -> Recipe:
    """The starting recipe with the user's ``settings``.

    If the optimizer is searched, settings that only other optimizers have apply to trials with those.

    Raises:
        UserError: a setting applies to no trial, or a value is out of range.
    """
    if "optimizer.name" in settings:
        return start.with_settings(settings)
    name = start.optimizer.name
    for key in settings.keys() - applicable(name, settings).keys():
        start.with_settings({"optimizer.name": CONDITIONAL[key][0], key: settings[key]})
    return start.with_settings(applicable(name, settings))


def applicable(optimizer: str, settings: Mapping[str, Any]) -> dict[str, Any]:
    """The settings that an optimizer has."""
    return {key: value for key, value in settings.items() if optimizer in CONDITIONAL.get(key, (optimizer,))}


def make_space(
    start: Recipe, settings: Mapping[str, Any], renamed: Renamed | None = None, asked: Asked = NOTHING
) -> Space:
    """The space around a starting recipe.

    Args:
        start: resolved, with the user's settings applied (``fixed_start``).
        settings: fields fixed by the user; they are not searched.
        renamed: of a study of an earlier version, as ``renamed_since`` its starting recipe.
        asked: what the user searches instead of, or besides, the built-in space.
    """
    own = {each.key: each for each in asked.dimensions}
    epochs = None if "train.epochs" in own else start.train.epochs
    kept = [] if asked.only else [each for each in built_in(epochs) if each.key not in asked.left]
    changed = [own.pop(each.key, each) for each in kept]
    further = [own[key] for key in FIELDS if key in own]
    dimensions = [each for each in (*changed, *further) if each.key not in settings]
    names = searched_names(dimensions) or (start.optimizer.name,)
    return Space(
        start=start,
        dimensions=tuple(each for each in dimensions if _applies(each, start, names)),
        settings=dict(settings),
        renamed=renamed or {},
    )


def searched_names(dimensions: Iterable[Dimension]) -> tuple[Any, ...] | None:
    """The optimizers among which is searched; None if it is not."""
    found = [each.choices for each in dimensions if isinstance(each, Choice) and each.key == "optimizer.name"]
    return found[0] if found else None


def _applies(dimension: Dimension, start: Recipe, names: Sequence[Any]) -> bool:
    """Whether a field is not determined by the weights, and some optimizer has it."""
    if dimension.key == "model.depth" and start.model.pretrained is not None:
        return False
    return not dimension.optimizers or any(name in dimension.optimizers for name in names)
