"""The search space: ranges with their reasons, and conversion between parameters and recipes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from leukemia.config.earlier import Renamed, with_earlier_names, with_present_names
from leukemia.config.optimizers import OPTIMIZERS, OptimizerName, optimizers_with
from leukemia.config.recipe import Recipe


@dataclass(frozen=True, kw_only=True)
class Real:
    """A number from ``low`` to ``high``, both inclusive."""

    key: str
    low: float
    high: float
    reason: str
    log: bool = False
    optimizers: tuple[OptimizerName, ...] = ()
    """Optimizers that have the field; empty for all."""


@dataclass(frozen=True, kw_only=True)
class Choice:
    """One of a few values."""

    key: str
    choices: tuple[Any, ...]
    reason: str
    optimizers: tuple[OptimizerName, ...] = ()


Dimension = Real | Choice

CONDITIONAL: dict[str, tuple[OptimizerName, ...]] = {
    f"optimizer.{field}": optimizers_with(field)
    for spec in OPTIMIZERS.values()
    for field in spec.settings
    if len(optimizers_with(field)) < len(OPTIMIZERS)
}
"""Recipe fields that only some optimizers have, also those that are not searched."""


class Suggest(Protocol):
    """Proposes values: an adapter of Optuna, or a double in tests."""

    def real(self, key: str, low: float, high: float, log: bool) -> float: ...

    def choice(self, key: str, choices: tuple[Any, ...]) -> Any: ...


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
            if isinstance(dimension, Real):
                values[dimension.key] = suggest.real(dimension.key, dimension.low, dimension.high, dimension.log)
            else:
                values[dimension.key] = suggest.choice(dimension.key, dimension.choices)
        return self.recipe(values)

    def recipe(self, values: Mapping[str, Any]) -> Recipe:
        """The starting recipe with ``values``; fields fixed by the user are kept if the optimizer has them."""
        values, settings = self._present(values), self._present(self.settings)
        name = values.get("optimizer.name", self.start.optimizer.name)
        # Changing the optimizer resets its other fields, so those fixed by the user are set again.
        fixed = {key: value for key, value in _applicable(name, settings).items() if key.startswith("optimizer.")}
        recipe = self.start.with_settings({**fixed, **values})
        if recipe.optimizer.has("restart_epochs") and recipe.optimizer.restart_epochs is None:
            # Set to null by the user: a single cycle, as in a starting recipe.
            recipe = recipe.with_settings({"optimizer.restart_epochs": recipe.train.epochs})
        return recipe

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
            if dimension.key in parameters and not _within(dimension, parameters[dimension.key])
        }
        here = self.recipe(parameters).flat()
        return {key: value for key, value in flat.items() if key in beyond or here[key] != value}

    def describe(self) -> dict[str, Any]:
        """The space in JSON types, for ``study.json``: a study can only be resumed in the same space."""
        described: dict[str, Any] = {}
        for dimension in self.dimensions:
            entry: dict[str, Any] = (
                {"low": dimension.low, "high": dimension.high, "log": dimension.log}
                if isinstance(dimension, Real)
                else {"choices": list(dimension.choices)}
            )
            if dimension.optimizers:
                entry["optimizers"] = [name for name in dimension.optimizers if OPTIMIZERS[name].is_searched]
            described[dimension.key] = entry
        return described


def _within(dimension: Dimension, value: Any) -> bool:
    if isinstance(dimension, Real):
        return bool(dimension.low <= value <= dimension.high)
    return value in dimension.choices


def fixed_start(start: Recipe, settings: Mapping[str, Any]) -> Recipe:
    """The starting recipe with the user's ``settings``.

    If the optimizer is searched, settings that only other optimizers have apply to trials with those.

    Raises:
        UserError: a setting applies to no trial, or a value is out of range.
    """
    if "optimizer.name" in settings:
        return start.with_settings(settings)
    name = start.optimizer.name
    for key in settings.keys() - _applicable(name, settings).keys():
        start.with_settings({"optimizer.name": CONDITIONAL[key][0], key: settings[key]})
    return start.with_settings(_applicable(name, settings))


def _applicable(optimizer: str, settings: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in settings.items() if optimizer in CONDITIONAL.get(key, (optimizer,))}


def make_space(start: Recipe, settings: Mapping[str, Any], renamed: Renamed | None = None) -> Space:
    """The space around a starting recipe.

    Args:
        start: resolved, with the user's settings applied (``fixed_start``).
        settings: fields fixed by the user; they are not searched.
        renamed: of a study of an earlier version, as ``renamed_since`` its starting recipe.
    """
    dimensions = tuple(dimension for dimension in _dimensions(start) if _is_searched(dimension, start, settings))
    return Space(start=start, dimensions=dimensions, settings=dict(settings), renamed=renamed or {})


def _is_searched(dimension: Dimension, start: Recipe, settings: Mapping[str, Any]) -> bool:
    """Whether a field is searched: not set by the user, not determined by the weights, and used by the optimizer."""
    if dimension.key in settings or (dimension.key == "model.depth" and start.model.pretrained is not None):
        return False
    return not dimension.optimizers or "optimizer.name" not in settings or start.optimizer.name in dimension.optimizers


def _dimensions(start: Recipe) -> list[Dimension]:
    return [
        Choice(
            key="model.depth",
            choices=(18, 50, 152),
            reason="a basic, a bottleneck and a very deep network; 34 and 101 are in between and would add little",
        ),
        Choice(
            key="model.shortcut",
            choices=("add", "concat", "weighted"),
            reason="to find out whether the type of shortcut matters, all else being equal",
        ),
        Choice(key="data.grayscale", choices=(False, True), reason="stain color varies by subject, not by class"),
        Choice(
            key="optimizer.name",
            choices=("ranger21", "adamw", "ranger21_cosine"),
            reason="two optimizers, each with its own schedule, and Ranger21 with AdamW's, to separate the two effects",
        ),
        Real(
            key="optimizer.learning_rate",
            low=1e-4,
            high=1e-2,
            log=True,
            reason="Ranger21's warm-down ends at 3e-5, so the range starts above; from scratch both diverge past 1e-2",
        ),
        Real(
            key="optimizer.weight_decay",
            low=1e-3,
            high=0.3,
            log=True,
            optimizers=CONDITIONAL["optimizer.weight_decay"],
            reason="a factor of about ten around AdamW's usual 0.01 to 0.05; ranger21 0.1.0 hardly applies it",
        ),
        *_restarts(start.train.epochs),
        *(
            Real(key=f"augment.{name}", low=0.0, high=high, reason=reason)
            for name, high, reason in (
                ("horizontal_flip", 0.5, "at 0.5 both orientations are equally frequent; higher values are symmetric"),
                ("vertical_flip", 0.5, "as for horizontal flips"),
                ("transpose", 0.5, "as for flips"),
                ("rotate", 1.0, "cells have no canonical orientation"),
                ("blur", 0.5, "chromatin texture is informative; blurring most images would remove it"),
                ("noise", 0.5, "as for blur"),
                ("cutout", 1.0, "the cutout hides little of a cell, so every image may have one"),
            )
        ),
    ]


def _restarts(epochs: int) -> list[Dimension]:
    choices = restart_choices(epochs)
    if len(choices) == 1:
        return []
    return [
        Choice(
            key="optimizer.restart_epochs",
            choices=choices,
            optimizers=CONDITIONAL["optimizer.restart_epochs"],
            reason="cycle lengths for which the last cycle ends with training, at a low learning rate",
        ),
        Choice(
            key="optimizer.restart_factor",
            choices=(1, 2),
            optimizers=CONDITIONAL["optimizer.restart_factor"],
            reason="cycles of equal or doubling length (Loshchilov & Hutter, arXiv:1608.03983)",
        ),
    ]


def restart_choices(epochs: int) -> tuple[int, ...]:
    """Lengths of the first cosine cycle such that a cycle ends with the last epoch, for factors 1 and 2.

    In descending order. Often the only choice is a single cycle over all epochs.

    >>> restart_choices(30), restart_choices(8)
    ((30, 10, 2), (8,))
    """
    return tuple(epochs // total for total in (1, 3, 7, 15) if epochs % total == 0)
