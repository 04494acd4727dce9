"""The fields of a recipe by dotted key: what each may hold, as JSON or as typed on a command line."""

from __future__ import annotations

import difflib
import types
import typing
from typing import Any, Literal

from leukemia.base.errors import UserError
from leukemia.config.sections import Augment, Data, Evaluate, Model, Optimizer, Train

SECTIONS: dict[str, type[Any]] = {
    "data": Data,
    "augment": Augment,
    "model": Model,
    "optimizer": Optimizer,
    "train": Train,
    "evaluate": Evaluate,
}
_TYPES: dict[str, Any] = {
    f"{section}.{name}": hint for section, cls in SECTIONS.items() for name, hint in typing.get_type_hints(cls).items()
}
FIELDS: tuple[str, ...] = tuple(_TYPES)
"""Every dotted key of a recipe."""


_KIND_NAMES = {int: "a whole number", float: "a number", str: "text", bool: "true or false"}


def check_key(key: str) -> None:
    """Refuse a key that is no recipe field, naming the nearest ones."""
    if key in _TYPES:
        return
    # People also type a bare field name, or one in the wrong section.
    same_name = [known for known in FIELDS if known.split(".")[1] == key.split(".")[-1]]
    near = same_name or difflib.get_close_matches(key, FIELDS, n=3, cutoff=0.4)
    hint = f"did you mean {', '.join(near)}?" if near else f"the fields are {', '.join(FIELDS)}"
    raise UserError(f"unknown recipe field {key!r}; {hint}")


def checked_type(key: str, value: Any) -> Any:
    """A value as the field holds it; a whole number becomes a float where the field is one.

    Raises:
        UserError: a value of another type.
    """
    kinds = _kinds(key)
    if value is None and type(None) in kinds:
        return None
    kind = kinds[0]
    if typing.get_origin(kind) is Literal:
        choices = typing.get_args(kind)
        # 18.0 equals 18, and 1 equals True: the type counts, too.
        if value in choices and type(value) is type(choices[0]):
            return value
        return _refuse(key, choices, value)
    if kind is float and type(value) is int:
        return float(value)
    if type(value) is not kind:
        raise UserError(f"{key}: expected {_KIND_NAMES[kind]}, got {value!r}")
    return value


def parse_setting(text: str) -> tuple[str, Any]:
    """``FIELD=VALUE`` as typed on a command line, as (dotted key, typed value).

    >>> parse_setting("train.epochs=3")
    ('train.epochs', 3)

    Raises:
        UserError: no ``=``, an unknown field, or a value of the wrong type.
    """
    key, equals, value = text.partition("=")
    if not equals:
        raise UserError(f"--set: expected FIELD=VALUE, got {text!r}; for example --set train.epochs=3")
    key = key.strip()
    check_key(key)
    if key == "model.pretrained_sha256":
        raise UserError("--set: model.pretrained_sha256 is taken from the file; set model.pretrained")
    return key, _parsed(key, value.strip())


def parse_settings(texts: list[str]) -> dict[str, Any]:
    """All ``--set`` arguments of a command as one mapping; a field set twice is refused."""
    settings: dict[str, Any] = {}
    for text in texts:
        key, value = parse_setting(text)
        if key in settings:
            raise UserError(f"--set: {key} is set twice; give it once")
        settings[key] = value
    return settings


def _parsed(key: str, text: str) -> Any:
    kinds = _kinds(key)
    if type(None) in kinds and text.lower() in ("", "null"):
        return None
    kind = kinds[0]
    if typing.get_origin(kind) is Literal:
        matches = [choice for choice in typing.get_args(kind) if str(choice) == text]
        return matches[0] if matches else _refuse(key, typing.get_args(kind), text)
    if kind is bool:
        words = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}
        return words[text.lower()] if text.lower() in words else _refuse(key, ("true", "false"), text)
    try:
        return kind(text)
    except ValueError:
        raise UserError(f"{key}: expected {_KIND_NAMES[kind]}, got {text!r}") from None


def _kinds(key: str) -> tuple[Any, ...]:
    hint = _TYPES[key]
    return typing.get_args(hint) if typing.get_origin(hint) in (types.UnionType, typing.Union) else (hint,)


def _refuse(key: str, choices: tuple[Any, ...], value: Any) -> typing.NoReturn:
    raise UserError(f"{key}: expected one of {', '.join(map(str, choices))}, got {value!r}")
