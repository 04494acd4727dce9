"""The search space around a starting recipe, and conversion between parameters and recipes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from leukemia.config.earlier import Renamed, with_earlier_names, with_present_names
from leukemia.config.fields import all_fields
from leukemia.config.optimizers import spec_of
from leukemia.config.plugins import RESNET
from leukemia.config.recipe import Recipe
from search.policy.asked import NOTHING, Asked
from search.policy.built_in import built_in
from search.policy.dimensions import (
    OF_RESNET,
    Choice,
    Dimension,
    Suggest,
    described,
    is_of,
    is_within,
    optimizers_of,
    suggested,
)


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
        """Propose a recipe: a value per dimension that applies to the proposed optimizer and network; the rest as in
        ``start``."""
        values: dict[str, Any] = {}
        for dimension in self.dimensions:
            present = self._present(values)
            optimizer = present.get("optimizer.name", self.start.optimizer.name)
            network = present.get("model.network", self.start.model.network)
            if is_of(dimension.key, dimension.optimizers, optimizer, network):
                values[dimension.key] = suggested(dimension, suggest)
        return self.recipe(values)

    def recipe(self, values: Mapping[str, Any]) -> Recipe:
        """The starting recipe with ``values``; fields fixed by the user are kept if optimizer and network have them."""
        values, settings = self._present(values), self._present(self.settings)
        name = values.get("optimizer.name", self.start.optimizer.name)
        network = values.get("model.network", self.start.model.network)
        # Changing the optimizer or the network resets its other fields, so those fixed by the user are set again.
        reset = ("optimizer.", "model.") if "model.network" in values else ("optimizer.",)
        fixed = {key: value for key, value in applicable(name, network, settings).items() if key.startswith(reset)}
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
            # A recipe of a search without a plug-in lacks its augmentation.
            if is_of(dimension.key, dimension.optimizers, recipe.optimizer.name, recipe.model.network)
            and dimension.key in flat
        }

    def fits(self, recipe: Recipe) -> bool:
        """Whether the recipe is in this space: searched fields within their ranges, all others as in ``start``."""
        return not self.outside(recipe)

    def outside(self, recipe: Recipe) -> dict[str, Any]:
        """The fields with which a recipe is not in this space, with its values: searched ones out of their range, and
        others with another value than here, also plug-ins."""
        parameters, flat = self.parameters(recipe), recipe.flat()
        beyond = {
            dimension.key
            for dimension in self.dimensions
            if dimension.key in parameters and not is_within(dimension, parameters[dimension.key])
        }
        here = self.recipe(parameters).flat()
        return {key: flat.get(key) for key in {**flat, **here} if key in beyond or here.get(key) != flat.get(key)}

    def describe(self) -> dict[str, Any]:
        """In JSON types, with reasons; a study can only be resumed in the same space (``without_reasons``)."""
        names = searched_names(self.dimensions) or ()
        return {
            each.key: described(
                each, tuple(name for name in each.optimizers if spec_of(name).is_searched or name in names)
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

    If the optimizer or the network is searched, settings that only others have apply to trials with those.

    Raises:
        UserError: a setting applies to no trial, or a value is out of range.
    """
    if "model.network" not in settings and start.model.network != RESNET:
        settings = {key: value for key, value in settings.items() if key not in OF_RESNET}
    if "optimizer.name" in settings:
        return start.with_settings(settings)
    name = start.optimizer.name
    for key in settings.keys() - applicable(name, RESNET, settings).keys():
        start.with_settings({"optimizer.name": optimizers_of(key)[0], key: settings[key]})
    return start.with_settings(applicable(name, RESNET, settings))


def applicable(optimizer: str, network: str, settings: Mapping[str, Any]) -> dict[str, Any]:
    """The settings that an optimizer and a network have."""
    return {key: value for key, value in settings.items() if is_of(key, optimizers_of(key), optimizer, network)}


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
    further = [own[key] for key in all_fields() if key in own]
    dimensions = [each for each in (*changed, *further) if each.key not in settings]
    # The network is before the fields that depend on it.
    dimensions.sort(key=lambda each: each.key != "model.network")
    names = searched_names(dimensions) or (start.optimizer.name,)
    networks = searched_names(dimensions, "model.network") or (start.model.network,)
    return Space(
        start=start,
        dimensions=tuple(each for each in dimensions if _applies(each, start, names, networks)),
        settings=dict(settings),
        renamed=renamed or {},
    )


def searched_names(dimensions: Iterable[Dimension], key: str = "optimizer.name") -> tuple[Any, ...] | None:
    """The optimizers, or the values of another field of names, among which is searched; None if it is not."""
    found = [each.choices for each in dimensions if isinstance(each, Choice) and each.key == key]
    return found[0] if found else None


def _applies(dimension: Dimension, start: Recipe, names: Sequence[Any], networks: Sequence[Any]) -> bool:
    """Whether a field is not determined by the weights, and some optimizer and some network have it."""
    if dimension.key == "model.depth" and start.model.pretrained is not None:
        return False
    if dimension.key in OF_RESNET and RESNET not in networks:
        return False
    return not dimension.optimizers or any(name in dimension.optimizers for name in names)
