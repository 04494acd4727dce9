"""The dimensions of a search space: real numbers, integers, and choices of values."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from leukemia.config.optimizers import OPTIMIZERS, all_optimizers, optimizers_with
from leukemia.config.parameters import entry_text
from leukemia.config.plugins import RESNET


@dataclass(frozen=True, kw_only=True)
class Real:
    """A number from ``low`` to ``high``, both inclusive."""

    key: str
    low: float
    high: float
    reason: str
    log: bool = False
    optimizers: tuple[str, ...] = ()
    """Optimizers that have the field; empty for all."""


@dataclass(frozen=True, kw_only=True)
class Integer:
    """An integer from ``low`` to ``high``, both inclusive, in steps of ``step``."""

    key: str
    low: int
    high: int
    reason: str
    log: bool = False
    """With steps of 1 only."""

    step: int = 1
    """Divides ``high - low``."""

    optimizers: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Choice:
    """One of a few values."""

    key: str
    choices: tuple[Any, ...]
    reason: str
    optimizers: tuple[str, ...] = ()


Dimension = Real | Integer | Choice

_CONDITIONAL = frozenset(
    f"optimizer.{field}"
    for spec in OPTIMIZERS.values()
    for field in spec.settings
    if len(optimizers_with(field)) < len(all_optimizers())
)

OF_RESNET = ("model.depth", "model.shortcut", "model.pretrained")
"""Recipe fields that networks of plug-ins do not have."""


def optimizers_of(key: str) -> tuple[str, ...]:
    """The optimizers that have a recipe field, built in or of plug-ins, also those that are not searched; empty if all
    have it.

    >>> optimizers_of("optimizer.weight_decay"), optimizers_of("model.depth")
    (('adamw',), ())
    """
    return optimizers_with(key.partition(".")[2]) if key in _CONDITIONAL else ()


def is_of(key: str, optimizers: tuple[str, ...], optimizer: str, network: str) -> bool:
    """Whether a recipe with this optimizer and this network has a field.

    Args:
        optimizers: that have it; empty if all do.
    """
    return (not optimizers or optimizer in optimizers) and (network == RESNET or key not in OF_RESNET)


class Suggest(Protocol):
    """Proposes values: an adapter of Optuna, or a double in tests."""

    def real(self, key: str, low: float, high: float, log: bool) -> float: ...

    def integer(self, key: str, low: int, high: int, log: bool, step: int) -> int: ...

    def choice(self, key: str, choices: tuple[Any, ...]) -> Any: ...


def suggested(dimension: Dimension, suggest: Suggest) -> Any:
    """A proposed value of a dimension."""
    if isinstance(dimension, Choice):
        return suggest.choice(dimension.key, dimension.choices)
    if isinstance(dimension, Integer):
        return suggest.integer(dimension.key, dimension.low, dimension.high, dimension.log, dimension.step)
    return suggest.real(dimension.key, dimension.low, dimension.high, dimension.log)


def is_within(dimension: Dimension, value: Any) -> bool:
    """Whether a dimension has a value.

    >>> is_within(Integer(key="train.epochs", low=10, high=40, step=10, reason=""), 25)
    False
    """
    if isinstance(dimension, Choice):
        return value in dimension.choices
    if not dimension.low <= value <= dimension.high:
        return False
    return isinstance(dimension, Real) or (value - dimension.low) % dimension.step == 0


def nearest(dimension: Dimension, value: Any) -> Any:
    """The value of a dimension that is nearest to a number; for text that is none of the choices, the first of them.

    >>> nearest(Choice(key="model.depth", choices=(152, 50), reason=""), 18)
    50
    """
    if is_within(dimension, value):
        return value
    if isinstance(dimension, Choice):
        is_number = all(isinstance(each, int | float) and not isinstance(each, bool) for each in dimension.choices)
        return min(dimension.choices, key=lambda each: abs(each - value)) if is_number else dimension.choices[0]
    clipped = min(max(value, dimension.low), dimension.high)
    if isinstance(dimension, Real):
        return float(clipped)
    return dimension.low + round((clipped - dimension.low) / dimension.step) * dimension.step


def position(dimension: Real | Integer, value: float) -> float:
    """Where a value is on a dimension's scale: 0 at the low end, 1 at the high end, outside 0..1 beyond them."""
    if not dimension.log:
        return (value - dimension.low) / (dimension.high - dimension.low)
    if value <= 0:
        return -math.inf
    return math.log(value / dimension.low) / math.log(dimension.high / dimension.low)


def mean_of(dimension: Dimension) -> float:
    """The mean of the numbers that random proposals would have."""
    if isinstance(dimension, Choice):
        return math.fsum(dimension.choices) / len(dimension.choices)
    low, high = dimension.low, dimension.high
    return (high - low) / math.log(high / low) if dimension.log else (low + high) / 2


def size_of(dimension: Dimension) -> float:
    """Number of values that a dimension has; infinite for real numbers."""
    if isinstance(dimension, Choice):
        return len(dimension.choices)
    return math.inf if isinstance(dimension, Real) else (dimension.high - dimension.low) // dimension.step + 1


def values_text(dimension: Dimension) -> str:
    """What a dimension covers, as text.

    >>> values_text(Integer(key="train.epochs", low=10, high=40, step=5, reason=""))
    '10 to 40 in steps of 5'
    """
    return entry_text(described(dimension, ()))


def described(dimension: Dimension, optimizers: tuple[str, ...]) -> dict[str, Any]:
    """A dimension in JSON types.

    Args:
        optimizers: of those that have the field, the ones to name; empty if all have it.
    """
    entry: dict[str, Any]
    if isinstance(dimension, Choice):
        entry = {"choices": list(dimension.choices)}
    else:
        entry = {"low": dimension.low, "high": dimension.high, "log": dimension.log}
        if isinstance(dimension, Integer):
            entry["step"] = dimension.step
    named = {"optimizers": list(optimizers)} if optimizers else {}
    return {**entry, **named, "reason": dimension.reason}


def without_reasons(space: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """A described space to compare: reasons may be worded otherwise in another version."""
    return {key: {name: each for name, each in entry.items() if name != "reason"} for key, entry in space.items()}
