"""Names that plug-ins add to recipes: declared by a file that has been loaded, or recorded in a recipe or a study.

Only names are known here, and nothing is run, so that studies and recipes can be read without their plug-ins;
``leukemia.plugins`` loads files.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from leukemia.base.errors import UserError

Kind: TypeAlias = Literal["network", "optimizer", "augmentation"]
"""What a plug-in adds: a value of ``model.network`` or ``optimizer.name``, or a field ``augment.NAME``."""

RESNET = "resnet"
"""The built-in network, the only one with the fields ``model.depth``, ``model.shortcut`` and ``model.pretrained``."""

SECTION = "plugin"
"""Section of a flat recipe with the SHA-256 of each plug-in that it uses, by name, as ``plugin.lion``."""

NAME = re.compile("[a-z][a-z0-9_]{0,39}")
"""A name of a plug-in."""

FILE_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_-]{0,99}\.py")
"""The name of a plug-in's file."""

SHA256 = re.compile("[0-9a-f]{64}")

OPEN_FIELDS: Mapping[str, Kind] = {"model.network": "network", "optimizer.name": "optimizer"}
"""Fields whose values may be names of plug-ins."""


@dataclass(frozen=True, kw_only=True)
class Declared:
    """A name that a loaded file has registered."""

    kind: Kind
    name: str
    sha256: str
    """Of the file, in hexadecimal."""

    file: str
    """Name of the file, without its folder."""

    defaults: Mapping[str, float]
    """Of an optimizer: defaults of its settings, by field; empty for other kinds."""


_declared: dict[str, Declared] = {}
_recorded: dict[str, Kind] = {}


def declare(declared: Declared) -> None:
    """Let new recipes use a name, from now on in this process; an earlier file with the same name is replaced."""
    _declared[declared.name] = declared


def forget(name: str) -> None:
    """The inverse of ``declare``."""
    _declared.pop(name, None)


def declaration(kind: Kind, name: str) -> Declared | None:
    """What the loaded files say about a name; None if none has registered it as this kind."""
    found = _declared.get(name)
    return found if found is not None and found.kind == kind else None


def record(kind: Kind, name: str) -> None:
    """Let recipes and studies that have this name be read; to be built, they need its file."""
    _recorded.setdefault(name, kind)


def names_of(kind: Kind) -> tuple[str, ...]:
    """All known names of a kind, sorted: those of loaded files, and those found in recipes and studies."""
    loaded = {name for name, declared in _declared.items() if declared.kind == kind}
    return tuple(sorted(loaded | {name for name, recorded in _recorded.items() if recorded == kind}))


def augmentation_fields() -> tuple[str, ...]:
    """The fields ``augment.NAME`` of all known augmentations."""
    return tuple(f"augment.{name}" for name in names_of("augmentation"))


def used_names(values: Mapping[str, Any], built_in: Mapping[Kind, tuple[str, ...]]) -> dict[str, Kind]:
    """The names in a flat recipe that are not built in, with their kinds.

    Args:
        built_in: the names that are no plug-ins, by kind; of augmentations, the fields of ``augment``.

    >>> built_in = {"optimizer": ("adamw",), "augmentation": ("blur",)}
    >>> used_names({"optimizer.name": "lion", "augment.blur": 0.2}, built_in)
    {'lion': 'optimizer'}
    """
    found: dict[str, Kind] = {}
    for key, value in values.items():
        section, _, name = key.partition(".")
        if section == "augment" and name not in built_in.get("augmentation", ()):
            found[name] = "augmentation"
        kind = OPEN_FIELDS.get(key)
        if kind is not None and isinstance(value, str) and value not in built_in.get(kind, ()):
            found[value] = kind
    return found


def checked_record(name: str, sha256: Any) -> str:
    """The SHA-256 recorded with a name.

    Raises:
        UserError: the name or the SHA-256 has another form.
    """
    if not NAME.fullmatch(name) or not isinstance(sha256, str) or not SHA256.fullmatch(sha256):
        raise UserError(
            f"{SECTION}.{name}: expected the name of a plug-in and the SHA-256 of its file, got {str(sha256)[:80]!r}; "
            "restore the file from a backup"
        )
    return sha256
