"""The optimizers by name, with their settings, defaults and ranges.

To add one: a name and an entry here, its builders in ``leukemia.training.optim``, and a choice in
``search.policy.space`` if the search should try it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from leukemia.config.plugins import Declared, declaration, names_of

OptimizerName = Literal["ranger21", "adamw", "ranger21_cosine", "ranger21_package", "ranger21_package_cosine"]


@dataclass(frozen=True, kw_only=True)
class Setting:
    """Default and range of an optimizer's field."""

    default: float | None
    """None: depends on the rest of the recipe and is filled in when the recipe is resolved."""

    low: float
    high: float
    """Both inclusive."""


@dataclass(frozen=True, kw_only=True)
class OptimizerSpec:
    """Settings and memory use of an optimizer."""

    settings: Mapping[str, Setting]
    """By field of ``leukemia.config.sections.Optimizer``; setting any other field is an error."""

    num_states: int
    """Number of state tensors per parameter, each of the parameter's size; they are in checkpoints."""

    num_buffers: int = 0
    """Number of further tensors of that size that are kept between steps, but are in no checkpoint."""

    is_searched: bool = True
    """Whether it is a choice of the search space; others are for ``--set`` only."""


WEIGHT_DECAY = {"weight_decay": Setting(default=0.01, low=0.0, high=1.0)}
"""Decoupled. Not available for Ranger21, whose version 0.1.0 applies it to the last parameter only."""

WARM_RESTARTS = {
    "restart_epochs": Setting(default=None, low=1, high=100_000),
    "restart_factor": Setting(default=1, low=1, high=2),
}
"""Settings of cosine annealing with warm restarts; plain ``ranger21`` has its own schedule."""

WARMUP = {"warmup_epochs": Setting(default=0, low=0, high=100_000)}
"""Plain ``ranger21`` has its own warm-up."""

# Ranger21's warm-down would raise a rate below 3e-5 to 3e-5.
_RANGER21 = {"learning_rate": Setting(default=1e-3, low=3e-5, high=100.0)}
_RANGER21_COSINE = {"learning_rate": Setting(default=1e-3, low=1e-8, high=100.0), **WARM_RESTARTS}

OPTIMIZERS: dict[OptimizerName, OptimizerSpec] = {
    "ranger21": OptimizerSpec(settings=_RANGER21, num_states=4, num_buffers=1),
    "adamw": OptimizerSpec(
        settings={
            "learning_rate": Setting(default=3e-4, low=1e-8, high=100.0),
            **WEIGHT_DECAY,
            **WARM_RESTARTS,
            **WARMUP,
        },
        num_states=2,
    ),
    "ranger21_cosine": OptimizerSpec(settings=_RANGER21_COSINE, num_states=4, num_buffers=1),
    "ranger21_package": OptimizerSpec(settings=_RANGER21, num_states=5, is_searched=False),
    "ranger21_package_cosine": OptimizerSpec(settings=_RANGER21_COSINE, num_states=5, is_searched=False),
}
"""Default learning rates are starting points, not tuned values: the search covers 1e-4 to 1e-2."""


PLUGIN_STATES = 4
"""State tensors that an optimizer of a plug-in is assumed to keep, to check the space for checkpoints."""


def _of_plugin(declared: Declared | None) -> OptimizerSpec:
    """The settings of an optimizer of a plug-in; without its file, a recipe has no defaults but is complete."""
    defaults = {} if declared is None else declared.defaults
    return OptimizerSpec(
        settings={
            "learning_rate": Setting(default=defaults.get("learning_rate"), low=1e-8, high=100.0),
            "weight_decay": Setting(default=defaults.get("weight_decay"), low=0.0, high=1.0),
            **WARM_RESTARTS,
            **WARMUP,
        },
        num_states=PLUGIN_STATES,
        is_searched=False,
    )


def spec_of(name: str) -> OptimizerSpec:
    """The settings of an optimizer, built in or of a plug-in."""
    built_in = next((spec for known, spec in OPTIMIZERS.items() if known == name), None)
    return _of_plugin(declaration("optimizer", name)) if built_in is None else built_in


def all_optimizers() -> tuple[str, ...]:
    """The built-in optimizers, and those of all known plug-ins."""
    return (*OPTIMIZERS, *names_of("optimizer"))


def optimizers_with(field: str) -> tuple[str, ...]:
    """The optimizers that have the setting ``field``.

    >>> optimizers_with("weight_decay")
    ('adamw',)
    """
    return tuple(name for name in all_optimizers() if field in spec_of(name).settings)
