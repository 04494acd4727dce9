"""The fields of a recipe by dotted key: their types, and parsing from JSON values or the command line."""

from __future__ import annotations

import difflib
import sys
import types
import typing
from collections.abc import Mapping
from typing import Any, Literal

from leukemia.base.errors import UserError
from leukemia.config.plugins import OPEN_FIELDS, RESNET, augmentation_fields, names_of
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
"""Every dotted key of a recipe without plug-ins."""


BUILT_IN_NETWORKS = (RESNET,)

_TYPE_NAMES = {int: "an integer", float: "a number", str: "text", bool: "true or false"}


def all_fields() -> tuple[str, ...]:
    """Every dotted key that a recipe may have: ``FIELDS``, and those of the augmentations of known plug-ins."""
    return (*FIELDS, *augmentation_fields())


def nested(values: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Values by section and field instead of by dotted key.

    >>> nested({"model.depth": 18, "model.shortcut": "add", "train.seed": 0})
    {'model': {'depth': 18, 'shortcut': 'add'}, 'train': {'seed': 0}}
    """
    found: dict[str, dict[str, Any]] = {}
    for key, value in values.items():
        section, _, name = key.partition(".")
        found.setdefault(section, {})[name] = value
    return found


def check_key(key: str) -> None:
    """Check that a key is a recipe field.

    Raises:
        UserError: it is not; the message suggests similar fields.
    """
    fields = all_fields()
    if key in fields:
        return
    # Users also type a bare field name, or one in the wrong section.
    same_name = [known for known in fields if known.split(".")[1] == key.split(".")[-1]]
    near = same_name or difflib.get_close_matches(key, fields, n=3, cutoff=0.4)
    hint = f"did you mean {', '.join(near)}?" if near else f"the fields are {', '.join(fields)}"
    raise UserError(f"unknown recipe field {key!r}; {hint}")


def checked_type(key: str, value: Any) -> Any:
    """The value, checked against the type of a field; an integer is converted if the field is a float.

    Raises:
        UserError: the value has the wrong type.
    """
    hints = _type_hints(key)
    if value is None and type(None) in hints:
        return None
    hint = hints[0]
    if choices := _choices(key):
        # 18.0 == 18 and 1 == True, so compare types too.
        if value in choices and type(value) is type(choices[0]):
            return value
        return _reject(key, choices, value)
    if hint is float and type(value) is int:
        try:
            return float(value)
        except OverflowError:
            raise UserError(f"{key}: expected at most {sys.float_info.max:g}, got a larger number") from None
    if type(value) is not hint:
        raise UserError(f"{key}: expected {_TYPE_NAMES[hint]}, got {value!r}")
    return value


def parse_setting(text: str) -> tuple[str, Any]:
    """Parse ``FIELD=VALUE`` from the command line into (dotted key, typed value).

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
        raise UserError("--set: model.pretrained_sha256 is computed from the file; set model.pretrained")
    return key, parsed_value(key, value.strip())


def parse_settings(texts: list[str]) -> dict[str, Any]:
    """Parse all ``--set`` arguments of a command into one mapping.

    Raises:
        UserError: as ``parse_setting``, or a field is set twice.
    """
    settings: dict[str, Any] = {}
    for text in texts:
        key, value = parse_setting(text)
        if key in settings:
            raise UserError(f"--set: {key} is set twice; give it once")
        settings[key] = value
    return settings


def kind_of(key: str) -> type[Any] | tuple[Any, ...]:
    """What the values of a field are: ``int``, ``float``, ``bool``, ``str``, or a tuple of the only ones.

    >>> kind_of("train.epochs"), kind_of("evaluate.tta")
    (<class 'int'>, ('none', 'flips', 'd4'))
    """
    return _choices(key) or _type_hints(key)[0]


def parsed_value(key: str, text: str) -> Any:
    """The value of a field, from its text on a command line.

    Raises:
        UserError: it has the wrong type.
    """
    hints = _type_hints(key)
    if type(None) in hints and text.lower() in ("", "null"):
        return None
    hint = hints[0]
    if choices := _choices(key):
        matches = [choice for choice in choices if str(choice) == text]
        return matches[0] if matches else _reject(key, choices, text)
    if hint is bool:
        values = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}
        return values[text.lower()] if text.lower() in values else _reject(key, ("true", "false"), text)
    try:
        return hint(text)
    except ValueError:
        raise UserError(f"{key}: expected {_TYPE_NAMES[hint]}, got {text!r}") from None


def _type_hints(key: str) -> tuple[Any, ...]:
    # Those of plug-ins are probabilities.
    hint = _TYPES.get(key, float)
    return typing.get_args(hint) if typing.get_origin(hint) in (types.UnionType, typing.Union) else (hint,)


def _choices(key: str) -> tuple[Any, ...]:
    """The only values of a field, those of known plug-ins last; empty for a field with other values."""
    hint = _type_hints(key)[0]
    built_in = BUILT_IN_NETWORKS if key == "model.network" else ()
    if typing.get_origin(hint) is Literal:
        built_in = typing.get_args(hint)
    return (*built_in, *names_of(OPEN_FIELDS[key])) if key in OPEN_FIELDS else built_in


def _reject(key: str, choices: tuple[Any, ...], value: Any) -> typing.NoReturn:
    # A name that an unnamed file registers is a mistake that nothing else explains.
    more = "; a plug-in's name needs its --plugin FILE.py" if key in OPEN_FIELDS else ""
    raise UserError(f"{key}: expected one of {', '.join(map(str, choices))}, got {value!r}{more}")
