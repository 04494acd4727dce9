"""JSON files with a checksum, read into frozen dataclasses; errors are one line that names the file and the field."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError
from pydantic_core import ErrorDetails

from leukemia.base.errors import UserError
from leukemia.base.files import read_json, write_json

T = TypeVar("T")

_ADAPTERS: dict[type, TypeAdapter[Any]] = {}
"""By dataclass: building one takes longer than reading a record."""

RESTORE = "restore the file from a backup"
"""What to do about a damaged file."""

CHECKSUM = "sha256"
"""Last field of a record: SHA-256, hexadecimal, of its place and the rest as canonical JSON."""

EXPECTED = {
    "bool_type": "true or false",
    "dataclass_type": "an object",
    "dict_type": "an object",
    "finite_number": "a finite number",
    "float_type": "a number",
    "greater_than_equal": "at least {ge:g}",
    "int_from_float": "an integer",
    "int_type": "an integer",
    "less_than_equal": "at most {le:g}",
    "list_type": "a list",
    "literal_error": "{expected}",
    "string_pattern_mismatch": "text that matches {pattern}",
    "string_too_short": "text of at least {min_length} characters",
    "string_type": "text",
    "too_short": "a list of at least {min_length}",
}
"""The expected value by pydantic's error type, filled in from the error's context."""


def write_record(path: Path, content: Mapping[str, Any], place: str = "") -> None:
    """Write a JSON object atomically, with its checksum as the last field.

    Args:
        place: what the file belongs to, such as ``e71e6287/trials/0007/state.json``; part of the checksum, so that the
            file of another trial or study is noticed. Empty if the content tells.

    Raises:
        ValueError: NaN or infinity, which JSON does not have.
    """
    rest = {name: value for name, value in content.items() if name != CHECKSUM}
    write_json(path, {**rest, CHECKSUM: _checksum(rest, place)})


def read_content(path: Path, place: str = "") -> Any:
    """Read JSON without its checksum, which is verified; files of earlier versions have none, or one without a place.

    Raises:
        UserError: the file cannot be read, is not JSON, or was changed after it was written.
    """
    content = read_json(path)
    if isinstance(content, dict) and CHECKSUM in content:
        found = content.pop(CHECKSUM)
        if found != _checksum(content, place) and found != _checksum(content, ""):
            raise changed(path, place)
    return content


def read_record(kind: type[T], path: Path, place: str = "") -> T:
    """Read a JSON object into the dataclass ``kind``, whose annotations define the values of each field.

    Types are strict: true is not a number, 1.0 is not an integer, and NaN needs an annotation that allows it. Unknown
    fields are ignored, unless the configuration of ``kind`` forbids them.

    Raises:
        UserError: as ``read_content``, or a field is missing or has an invalid value.
    """
    if kind not in _ADAPTERS:
        _ADAPTERS[kind] = TypeAdapter(kind)
    adapter: TypeAdapter[T] = _ADAPTERS[kind]
    try:
        return adapter.validate_json(json.dumps(read_content(path, place)), strict=True)
    except ValidationError as error:
        # Only the first error, in the order of the fields.
        raise UserError(f"{path}: {_problem(error.errors(include_url=False)[0])}; {RESTORE}") from None


def changed(path: Path, place: str = "", what: str = "the file") -> UserError:
    """The error for content that differs from its checksum."""
    elsewhere = ", or belongs to another trial or study" if place else ""
    return UserError(f"{path}: {what} was changed after it was written{elsewhere} (its checksum differs); {RESTORE}")


def _checksum(content: Mapping[str, Any], place: str) -> str:
    canonical = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(f"{place}{canonical}".encode()).hexdigest()


@dataclass(frozen=True, kw_only=True)
class _Version:
    """The version field of a record."""

    schema: int


def check_version(path: Path, schema: int) -> None:
    """Check the schema version of a record.

    Raises:
        UserError: ``schema`` is missing, not an integer, or another version.
    """
    found = read_record(_Version, path).schema
    if found != schema:
        raise UserError(f"{path}: expected schema {schema}, got {found}; use the version that wrote it")


def wrong_value(path: Path, field: str, expected: object, found: object) -> UserError:
    """The error for a value that contradicts other values."""
    return UserError(f"{path}: field {field!r}: expected {expected}, got {_shown(found)}; {RESTORE}")


def missing_field(path: Path, field: str) -> UserError:
    """The error for a missing field that only some readers need."""
    return UserError(f"{path}: expected a field {field!r}, found none; {RESTORE}")


def _problem(error: ErrorDetails) -> str:
    kind, context = error["type"], error.get("ctx", {})
    # For an invalid key, pydantic's location has the key and a marker.
    place = [str(part) for part in error["loc"] if part != "[key]"]
    name = _shown(".".join(place))
    if kind == "json_invalid":
        # Such as half a surrogate pair, which Python's own parser accepts.
        return f"expected JSON ({context['error']})"
    if kind == "dataclass_type" and not place:
        return f"expected a JSON object, got {type(error['input']).__name__}"
    if kind == "missing":
        return f"expected a field {name}, found none"
    if kind == "unexpected_keyword_argument":
        return f"field {name} is unknown"
    if kind == "value_error" and isinstance(context["error"], UserError):
        # Complete as it is.
        return str(context["error"])
    return f"field {name}: expected {_expected(kind, context, error['msg'])}, got {_shown(error['input'])}"


def _expected(kind: str, context: Mapping[str, Any], message: str) -> str:
    if kind == "value_error":
        return str(context["error"])
    # A limit may include a tolerance for rounding errors, which the message leaves out.
    rounded = {name: round(limit, 6) + 0.0 if isinstance(limit, float) else limit for name, limit in context.items()}
    return EXPECTED[kind].format(**rounded) if kind in EXPECTED else message


def _shown(value: object) -> str:
    return repr(value)[:60]
