"""The searched fields of a study in the form of W&B's sweeps, in which people know search spaces."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from leukemia.config.fields import nested

PARAMETERS = "parameters"
"""Key of a mapping of parameters, at the top of a sweep's configuration and in a nested parameter."""

OUR_KEYS = ("optimizers", "reason")
"""What a field has in ``study.json`` beyond W&B's keys: the optimizers that have it, and why its range is as it is."""

_REALS = {"uniform": False, "log_uniform_values": True}
_INTEGERS = {"int_uniform": False, "q_uniform": False, "q_log_uniform_values": True}
"""Distributions with min and max, and whether they are logarithmic."""


def flattened(parameters: Any, prefix: str = "") -> dict[str, Any]:
    """Parameters by dotted key. Nested ones and those with dotted names mean the same, and may be mixed.

    >>> flattened({"model": {"parameters": {"depth": {"value": 18}}}, "train.epochs": {"value": 3}})
    {'model.depth': {'value': 18}, 'train.epochs': {'value': 3}}

    Raises:
        ValueError: no mapping by text, or a field that is given twice.
    """
    if not isinstance(parameters, Mapping) or not all(isinstance(name, str) for name in parameters):
        raise ValueError(f"{prefix}{PARAMETERS}: expected fields and what to search for each, got {parameters!r}")
    found: dict[str, Any] = {}
    for name, entry in parameters.items():
        is_nested = isinstance(entry, Mapping) and set(entry) == {PARAMETERS}
        inner = flattened(entry[PARAMETERS], f"{prefix}{name}.") if is_nested else {f"{prefix}{name}": entry}
        if twice := sorted(found.keys() & inner.keys()):
            raise ValueError(f"{twice[0]} is given twice, nested and with a dotted name; give it once")
        found |= inner
    return found


def nested_parameters(entries: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """The inverse of ``flattened``, nested by section: W&B's API cannot filter by keys that contain dots.

    >>> nested_parameters({"model.depth": {"value": 18}})
    {'model': {'parameters': {'depth': {'value': 18}}}}
    """
    return {section: {PARAMETERS: fields} for section, fields in nested(entries).items()}


def to_wandb(entry: Mapping[str, Any]) -> dict[str, Any]:
    """A field of ``Space.describe`` in W&B's form, with ``OUR_KEYS`` if it has them.

    >>> to_wandb({"low": 10, "high": 40, "log": False, "step": 5})
    {'distribution': 'q_uniform', 'min': 10, 'max': 40, 'q': 5}
    """
    ours = {key: entry[key] for key in OUR_KEYS if key in entry}
    if "choices" in entry:
        return {"values": list(entry["choices"]), **ours}
    ends = {"min": entry["low"], "max": entry["high"]}
    if "step" not in entry:
        return {"distribution": "log_uniform_values" if entry["log"] else "uniform", **ends, **ours}
    if entry["log"]:
        return {"distribution": "q_log_uniform_values", **ends, "q": 1, **ours}
    step = {} if entry["step"] == 1 else {"q": entry["step"]}
    return {"distribution": "q_uniform" if step else "int_uniform", **ends, **step, **ours}


def from_wandb(entry: Mapping[str, Any]) -> dict[str, Any]:
    """The inverse of ``to_wandb``.

    >>> from_wandb({"distribution": "int_uniform", "min": 10, "max": 40})
    {'low': 10, 'high': 40, 'log': False, 'step': 1}

    Raises:
        KeyError: it is not what ``to_wandb`` returns.
    """
    ours = {key: entry[key] for key in OUR_KEYS if key in entry}
    if "values" in entry:
        return {"choices": list(entry["values"]), **ours}
    ends, distribution = {"low": entry["min"], "high": entry["max"]}, entry["distribution"]
    if distribution in _REALS:
        return {**ends, "log": _REALS[distribution], **ours}
    return {**ends, "log": _INTEGERS[distribution], "step": entry.get("q", 1), **ours}


def described_space(stored: dict[str, Any]) -> dict[str, Any]:
    """The searched fields of ``study.json`` as ``Space.describe``; earlier versions wrote them in that form.

    Raises:
        ValueError: in neither form.
    """
    if any("." in key for key in stored):
        return stored
    try:
        return {key: from_wandb(entry) for key, entry in flattened(stored).items()}
    except (KeyError, TypeError):
        raise ValueError("searched fields in the form of W&B's sweeps") from None


def stored_space(described: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """The inverse of ``described_space``, in the form that this version writes."""
    return nested_parameters({key: to_wandb(entry) for key, entry in described.items()})


def swept(described: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """The searched fields as W&B takes them: without ``OUR_KEYS``."""
    bare = {key: {k: v for k, v in entry.items() if k not in OUR_KEYS} for key, entry in described.items()}
    return stored_space(bare)


def is_range(entry: Mapping[str, Any]) -> bool:
    """Whether a field of ``Space.describe`` is a range of numbers rather than a list of values."""
    return "low" in entry


def entry_text(entry: Mapping[str, Any]) -> str:
    """What a field of ``Space.describe`` covers, as text.

    >>> entry_text({"low": 0.0001, "high": 0.01, "log": True}), entry_text({"choices": [False, True]})
    ('0.0001 to 0.01 (log)', 'false, true')
    """
    if not is_range(entry):
        return ", ".join(map(text_of, entry["choices"]))
    steps = f" in steps of {entry['step']}" if entry.get("step", 1) > 1 else ""
    return f"{text_of(entry['low'])} to {text_of(entry['high'])}{steps}{' (log)' if entry['log'] else ''}"


def text_of(value: Any) -> str:
    """A value as it is written on a command line.

    >>> text_of(True), text_of(0.0001), text_of(100000), text_of(None), text_of("add")
    ('true', '0.0001', '100000', 'null', 'add')
    """
    if value is None or isinstance(value, bool):
        return "null" if value is None else str(value).lower()
    if isinstance(value, float):
        return f"{value:g}" if float(f"{value:g}") == value else repr(value)
    return str(value)
