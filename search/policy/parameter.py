"""A parameter in the form of W&B's sweeps, read as a dimension of the space or as a fixed value."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NoReturn

from leukemia.base.errors import UserError
from leukemia.config.fields import checked_type, kind_of
from leukemia.config.parameters import text_of
from search.policy.dimensions import Choice, Dimension, Integer, Real, optimizers_of

FORMS = {
    "constant": ("value",),
    "categorical": ("values",),
    "uniform": ("min", "max"),
    "log_uniform_values": ("min", "max"),
    "int_uniform": ("min", "max"),
    "q_uniform": ("min", "max", "q"),
    "q_log_uniform_values": ("min", "max", "q"),
}
"""W&B's distributions that are read, with their keys; ``q`` may be left out."""

_EXPONENTS = "its min and max are exponents of e; write the values themselves with log_uniform_values"
_UNBOUNDED = "a recipe field has bounds; give min and max"

NOT_READ = {
    "log_uniform": _EXPONENTS,
    "q_log_uniform": _EXPONENTS,
    **dict.fromkeys(("inv_log_uniform", "inv_log_uniform_values"), "no recipe field is searched on that scale"),
    **dict.fromkeys(("normal", "q_normal", "log_normal", "q_log_normal"), _UNBOUNDED),
    **dict.fromkeys(("beta", "q_beta"), "samplers learn where good values are; give min and max"),
    "categorical_w_probabilities": "samplers learn which values are good; list them without probabilities",
}
"""W&B's other distributions, and why they are not read."""

KEYS = ("value", "values", "min", "max", "q", "distribution", "reason")
"""Of a parameter; all but ``reason`` are W&B's."""


@dataclass(frozen=True, kw_only=True)
class Fixed:
    """A field with one value, which is not searched."""

    key: str
    value: Any


def read_parameter(key: str, entry: Any, reason: str) -> Dimension | Fixed:
    """What a parameter says about a field.

    Whether a range is of integers is decided by the field: W&B would read ``{min: 0, max: 1}`` as two integers.

    Args:
        key: of a recipe.
        entry: such as ``{"values": [18, 50]}`` or ``{"min": 0, "max": 0.5}``.
        reason: why the field is searched, if the entry does not say it.

    Raises:
        UserError: in another form, empty, or of another type than the field; the message begins with the key.
    """
    if not isinstance(entry, Mapping):
        _refuse(key, f"expected {{value: ...}}, {{values: [...]}} or {{min: ..., max: ...}}, got {entry!r}")
    distribution = _distribution(key, entry)
    reason = entry.get("reason", reason)
    if not isinstance(reason, str):
        _refuse(key, f"reason: expected text, got {reason!r}")
    if distribution == "constant":
        return Fixed(key=key, value=checked_type(key, entry["value"]))
    if distribution == "categorical":
        return _choice(key, entry["values"], reason)
    return _range(key, entry, distribution, reason)


def _distribution(key: str, entry: Mapping[str, Any]) -> str:
    """The distribution, given or by the keys, which are checked."""
    name = entry.get("distribution")
    if name is not None and (not isinstance(name, str) or name not in FORMS):
        why = f" ({NOT_READ[name]})" if isinstance(name, str) and name in NOT_READ else ""
        _refuse(key, f"distribution {name!r} is not read{why}; expected {', '.join(FORMS)}")
    if unknown := [name for name in entry if name not in KEYS]:
        _refuse(key, f"{unknown[0]!r} is not read; expected {', '.join(KEYS)}")
    given = [each for each in KEYS[:5] if each in entry]
    if name is None:
        by_keys = {"value": "constant", "values": "categorical"}
        is_int = kind_of(key) is int
        name = by_keys.get(given[0] if given else "", "int_uniform" if is_int else "uniform")
        if "q" in entry:
            name = "q_uniform"
    wanted = FORMS[name]
    if set(given) | {"q"} != set(wanted) | {"q"} or ("q" in given and "q" not in wanted):
        form = {"constant": "value", "categorical": "values"}.get(name, "min and max")
        _refuse(key, f"expected {form} alone, got {', '.join(given) or 'none of them'}")
    return name


def _choice(key: str, values: Any, reason: str) -> Choice | Fixed:
    if not isinstance(values, list | tuple) or not values:
        _refuse(key, f"values: expected a list of at least one value, got {values!r}")
    if None in values:
        _refuse(key, "values: null is decided from the rest of the recipe; write the values out")
    choices = tuple(checked_type(key, value) for value in values)
    if len(set(choices)) < len(choices):
        twice = next(value for value in choices if choices.count(value) > 1)
        _refuse(key, f"values: {text_of(twice)} is listed twice")
    if len(choices) == 1:
        return Fixed(key=key, value=choices[0])
    return Choice(key=key, choices=choices, reason=reason, optimizers=optimizers_of(key))


def _range(key: str, entry: Mapping[str, Any], distribution: str, reason: str) -> Real | Integer:
    kind = kind_of(key)
    if kind not in (int, float):
        known = f"; it is one of {', '.join(map(text_of, kind))}" if isinstance(kind, tuple) else ""
        _refuse(key, f"has no range{known}; list the values to search with values")
    for name in ("min", "max"):
        if entry[name] is None:
            _refuse(key, f"{name}: expected a number, got null")
    low, high = (checked_type(key, entry[name]) for name in ("min", "max"))
    log, written = "log" in distribution, f"{text_of(low)} to {text_of(high)}"
    if not low < high:
        _refuse(key, f"the range from {written} is empty; min must be below max, and value fixes a field")
    if log and low <= 0:
        _refuse(key, f"a logarithmic range must begin above 0, got {written}")
    optimizers = optimizers_of(key)
    if kind is float:
        if distribution not in ("uniform", "log_uniform_values"):
            _refuse(key, f"{distribution} is for integers, and the field is a number; use uniform, or list values")
        return Real(key=key, low=low, high=high, reason=reason, log=log, optimizers=optimizers)
    if distribution == "uniform":
        _refuse(key, "uniform is for numbers, and the field is an integer; use int_uniform, or leave distribution out")
    step = _step(key, entry.get("q", 1), low, high, log)
    return Integer(key=key, low=low, high=high, reason=reason, log=log, step=step, optimizers=optimizers)


def _step(key: str, step: Any, low: int, high: int, log: bool) -> int:
    if type(step) is not int or step < 1 or (log and step > 1):
        _refuse(key, f"q: expected {'1 with a logarithmic range' if log else 'an integer from 1'}, got {step!r}")
    if low % step or high % step:
        _refuse(key, f"q: W&B proposes multiples of q, and min and max must be some: got {low} to {high} and {step}")
    return step


def _refuse(key: str, message: str) -> NoReturn:
    raise UserError(f"{key}: {message}")
