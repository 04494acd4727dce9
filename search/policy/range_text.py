"""``--search FIELD=...``: values or a range of a field as text, read as a parameter in W&B's form."""

from __future__ import annotations

from typing import Any

from leukemia.base.errors import UserError
from leukemia.config.fields import check_key, parsed_value

FORM = "FIELD=A,B,C, FIELD=LOW..HIGH or FIELD=LOW..HIGH:log"
_OPTIONS = ("log", "step=N")


def parameter_of(text: str) -> tuple[str, dict[str, Any]]:
    """The field and its parameter.

    >>> parameter_of("model.depth=18,50")
    ('model.depth', {'values': [18, 50]})
    >>> parameter_of("optimizer.learning_rate=1e-4..1e-2:log")
    ('optimizer.learning_rate', {'min': 0.0001, 'max': 0.01, 'distribution': 'log_uniform_values'})
    >>> parameter_of("train.epochs=10..40:step=5")
    ('train.epochs', {'min': 10, 'max': 40, 'distribution': 'q_uniform', 'q': 5})

    Raises:
        UserError: another form, an unknown field, or a value of the wrong type.
    """
    key, equals, values = (part.strip() for part in text.partition("="))
    if not equals or not values:
        raise UserError(f"expected {FORM}, got {text!r}; for example --search model.depth=18,50")
    check_key(key)
    if ".." not in values:
        return key, {"values": [parsed_value(key, each.strip()) for each in values.split(",")]}
    span, colon, option = values.partition(":")
    low, high = (parsed_value(key, end.strip()) for end in span.split("..", 1))
    return key, {"min": low, "max": high, **(_option(key, option.strip()) if colon else {})}


def _option(key: str, option: str) -> dict[str, Any]:
    if option == "log":
        return {"distribution": "log_uniform_values"}
    name, _, step = option.partition("=")
    if name == "step" and step.isdecimal():
        return {"distribution": "q_uniform", "q": int(step)}
    raise UserError(f"{key}: expected {' or '.join(_OPTIONS)} after the colon, got {option!r}")
