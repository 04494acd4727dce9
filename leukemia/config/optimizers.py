"""The optimizers by name, and what each has of its own.

A new one needs a name and an entry here, its parts in ``leukemia.training.optim``, and a choice in
``search.policy.space`` if it is searched.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

OptimizerName = Literal["ranger21", "adamw", "ranger21_cosine"]


@dataclass(frozen=True, kw_only=True)
class Setting:
    """What a field of an optimizer may be."""

    default: float | None
    """Where none is set. None: it depends on the rest of the recipe, and is filled in when that is resolved."""

    low: float
    high: float
    """Both included."""


@dataclass(frozen=True, kw_only=True)
class OptimizerSpec:
    """What is particular to one optimizer."""

    settings: Mapping[str, Setting]
    """By field of ``leukemia.config.sections.Optimizer``; setting any other one is an error."""

    num_states: int
    """Tensors of a parameter's size that it keeps beside each parameter."""


WEIGHT_DECAY = {"weight_decay": Setting(default=0.01, low=0.0, high=1.0)}
"""Decoupled. Ranger21 lacks it: version 0.1.0 applies it to its last parameter alone."""

WARM_RESTARTS = {
    "restart_epochs": Setting(default=None, low=1, high=100_000),
    "restart_factor": Setting(default=1, low=1, high=2),
}
"""Of cosine annealing with warm restarts; plain ``ranger21`` brings its own schedule."""

OPTIMIZERS: dict[OptimizerName, OptimizerSpec] = {
    "ranger21": OptimizerSpec(
        # Its warm-down would raise a rate below 3e-5 to 3e-5.
        settings={"learning_rate": Setting(default=1e-3, low=3e-5, high=100.0)},
        num_states=5,
    ),
    "adamw": OptimizerSpec(
        settings={"learning_rate": Setting(default=3e-4, low=1e-8, high=100.0), **WEIGHT_DECAY, **WARM_RESTARTS},
        num_states=2,
    ),
    "ranger21_cosine": OptimizerSpec(
        settings={"learning_rate": Setting(default=1e-3, low=1e-8, high=100.0), **WARM_RESTARTS},
        num_states=5,
    ),
}
"""Default rates are places to start from, not results: the search covers 1e-4 to 1e-2."""

MOST_STATES = max(spec.num_states for spec in OPTIMIZERS.values())
"""For the size of a checkpoint whose optimizer is not known."""


def optimizers_with(field: str) -> tuple[OptimizerName, ...]:
    """The optimizers that have a setting.

    >>> optimizers_with("restart_epochs")
    ('adamw', 'ranger21_cosine')
    """
    return tuple(name for name, spec in OPTIMIZERS.items() if field in spec.settings)
