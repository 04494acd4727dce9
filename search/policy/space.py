"""The search space: each range with its reason; parameters to a recipe; the starting recipe as parameters."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from leukemia.config.optimizers import OPTIMIZERS, optimizers_with
from leukemia.config.recipe import Recipe


@dataclass(frozen=True, kw_only=True)
class Real:
    """A number from ``low`` to ``high``, both included."""

    key: str
    low: float
    high: float
    reason: str
    log: bool = False
    optimizers: tuple[str, ...] = ()
    """Optimizers that have the field; empty: all of them."""


@dataclass(frozen=True, kw_only=True)
class Choice:
    """One of a few values."""

    key: str
    choices: tuple[Any, ...]
    reason: str
    optimizers: tuple[str, ...] = ()


Dimension = Real | Choice

CONDITIONAL: dict[str, tuple[str, ...]] = {
    f"optimizer.{field}": optimizers_with(field)
    for spec in OPTIMIZERS.values()
    for field in spec.settings
    if len(optimizers_with(field)) < len(OPTIMIZERS)
}
"""Recipe fields that only some optimizers have."""


class Suggest(Protocol):
    """Whoever proposes values; Optuna behind an adapter, or a list in a test."""

    def real(self, key: str, low: float, high: float, log: bool) -> float: ...

    def choice(self, key: str, choices: tuple[Any, ...]) -> Any: ...


@dataclass(frozen=True, kw_only=True)
class Space:
    """What is searched (``dimensions``) around what is fixed (``start``)."""

    start: Recipe
    """Trial 0, and the value of every field that is not searched."""

    dimensions: tuple[Dimension, ...]
    settings: Mapping[str, Any]
    """Fields that the user has set: they are out of the space."""

    def propose(self, suggest: Suggest) -> Recipe:
        """Ask for a value of each dimension that the optimizer chosen so far has; the rest stays as in ``start``."""
        values: dict[str, Any] = {}
        for dimension in self.dimensions:
            optimizer = values.get("optimizer.name", self.start.optimizer.name)
            if dimension.optimizers and optimizer not in dimension.optimizers:
                continue
            if isinstance(dimension, Real):
                values[dimension.key] = suggest.real(dimension.key, dimension.low, dimension.high, dimension.log)
            else:
                values[dimension.key] = suggest.choice(dimension.key, dimension.choices)
        return self.recipe(values)

    def recipe(self, values: Mapping[str, Any]) -> Recipe:
        """The starting recipe with ``values`` set; what the user fixed stays where the chosen optimizer has it."""
        name = values.get("optimizer.name", self.start.optimizer.name)
        # With another optimizer its other fields start afresh: those that the user set are set again.
        fixed = {key: value for key, value in _had_by(name, self.settings).items() if key.startswith("optimizer.")}
        recipe = self.start.with_settings({**fixed, **values})
        if recipe.optimizer.has("restart_epochs") and recipe.optimizer.restart_epochs is None:
            # Set to null by the user: one cycle, as in a starting recipe.
            recipe = recipe.with_settings({"optimizer.restart_epochs": recipe.train.epochs})
        return recipe

    def parameters(self, recipe: Recipe) -> dict[str, Any]:
        """A recipe's coordinates in this space. A value outside a range is kept as it is: trial 0 may be anywhere."""
        flat = recipe.flat()
        return {
            dimension.key: flat[dimension.key]
            for dimension in self.dimensions
            if not dimension.optimizers or recipe.optimizer.name in dimension.optimizers
        }

    def fits(self, recipe: Recipe) -> bool:
        """Whether the recipe could be a trial here: searched fields within their ranges, all others as in ``start``."""
        parameters = self.parameters(recipe)
        within = all(
            dimension.low <= parameters[dimension.key] <= dimension.high
            if isinstance(dimension, Real)
            else parameters[dimension.key] in dimension.choices
            for dimension in self.dimensions
            if dimension.key in parameters
        )
        return within and self.recipe(parameters) == recipe

    def describe(self) -> dict[str, Any]:
        """The space in JSON types, for ``study.json``: a study goes on only in the space it began in."""
        described: dict[str, Any] = {}
        for dimension in self.dimensions:
            entry: dict[str, Any] = (
                {"low": dimension.low, "high": dimension.high, "log": dimension.log}
                if isinstance(dimension, Real)
                else {"choices": list(dimension.choices)}
            )
            if dimension.optimizers:
                entry["optimizers"] = list(dimension.optimizers)
            described[dimension.key] = entry
        return described


def fixed_start(start: Recipe, settings: Mapping[str, Any]) -> Recipe:
    """The starting recipe with the user's ``settings``.

    Settings that only other optimizers have wait for a trial with one of those, if the optimizer is searched at all.

    Raises:
        UserError: a setting that no trial could have, or a value out of range.
    """
    if "optimizer.name" in settings:
        return start.with_settings(settings)
    name = start.optimizer.name
    for key in settings.keys() - _had_by(name, settings).keys():
        start.with_settings({"optimizer.name": CONDITIONAL[key][0], key: settings[key]})
    return start.with_settings(_had_by(name, settings))


def _had_by(optimizer: str, settings: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in settings.items() if optimizer in CONDITIONAL.get(key, (optimizer,))}


def make_space(start: Recipe, settings: Mapping[str, Any]) -> Space:
    """The space around a starting recipe.

    Args:
        start: resolved, and with the user's settings in it (``fixed_start``).
        settings: fields that the user fixed; they are taken out of the space.
    """
    dimensions = tuple(dimension for dimension in _dimensions(start) if _is_open(dimension, start, settings))
    return Space(start=start, dimensions=dimensions, settings=dict(settings))


def _is_open(dimension: Dimension, start: Recipe, settings: Mapping[str, Any]) -> bool:
    """Whether the field is neither set by the user, nor bound by the weights, nor out of reach of the optimizer."""
    if dimension.key in settings or (dimension.key == "model.depth" and start.model.pretrained is not None):
        return False
    return not dimension.optimizers or "optimizer.name" not in settings or start.optimizer.name in dimension.optimizers


def _dimensions(start: Recipe) -> list[Dimension]:
    return [
        Choice(
            key="model.depth",
            choices=(18, 50, 152),
            reason="the depths that the course project compared; 34 and 101 lie between and answer nothing new",
        ),
        Choice(
            key="model.shortcut",
            choices=("add", "concat", "weighted"),
            reason="open question of the course project: does the way of joining matter once all else is equal?",
        ),
        Choice(key="data.grayscale", choices=(False, True), reason="stain colour differs by subject, not by class"),
        Choice(
            key="optimizer.name",
            choices=("ranger21", "adamw", "ranger21_cosine"),
            reason="the two that the project compared, and Ranger21 under AdamW's schedule, which tells them apart",
        ),
        Real(
            key="optimizer.learning_rate",
            low=1e-4,
            high=1e-2,
            log=True,
            reason="Ranger21's warm-down ends at 3e-5, so it needs room above; past 1e-2 both diverge from scratch",
        ),
        Real(
            key="optimizer.weight_decay",
            low=1e-3,
            high=0.3,
            log=True,
            optimizers=CONDITIONAL["optimizer.weight_decay"],
            reason="a factor of ten to either side of AdamW's usual 0.01 to 0.05; ranger21 0.1.0 hardly applies it",
        ),
        *_restarts(start.train.epochs),
        *(
            Real(key=f"augment.{name}", low=0.0, high=high, reason=reason)
            for name, high, reason in (
                ("horizontal_flip", 0.5, "0.5 makes both sides equally frequent; more only mirrors the question"),
                ("vertical_flip", 0.5, "as for the horizontal flip"),
                ("transpose", 0.5, "as for the flips"),
                ("rotate", 1.0, "cells have no upright"),
                ("blur", 0.5, "chromatin texture is a cue: blur most images and it is gone"),
                ("noise", 0.5, "as for blur"),
                ("cutout", 1.0, "the hole hides little of a cell, so it may always be there"),
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
            reason="first cycles whose last one ends with training: cut off at a high rate, a run says little",
        ),
        Choice(
            key="optimizer.restart_factor",
            choices=(1, 2),
            optimizers=CONDITIONAL["optimizer.restart_factor"],
            reason="equal cycles, or each twice as long as the one before (Loshchilov & Hutter, arXiv:1608.03983)",
        ),
    ]


def restart_choices(epochs: int) -> tuple[int, ...]:
    """Lengths of a first cosine cycle after which some cycle ends with the last epoch, with a factor of 1 and of 2.

    The longest first; often all epochs are the only one, and then the schedule is one cycle.

    >>> restart_choices(30), restart_choices(8)
    ((30, 10, 2), (8,))
    """
    return tuple(epochs // total for total in (1, 3, 7, 15) if epochs % total == 0)
