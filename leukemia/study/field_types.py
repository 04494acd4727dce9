"""The types of the fields in a study's records, with their ranges."""

from __future__ import annotations

import datetime
from dataclasses import dataclass
from typing import Annotated, Any, Final, TypeAlias

from pydantic import AfterValidator, Field

from leukemia.config.fields import check_key, checked_type
from leukemia.config.plugins import FILE_NAME, Kind, checked_record, record
from leukemia.config.recipe import Recipe
from leukemia.config.results import ALL_OBJECTIVES

MAX_STARTS = 5
"""Upper bound for the number of starting recipes."""

GRID: Final = "grid"
"""The sampler of a comparison: trial n has the n-th of its recipes, counted from 0."""

NAME = "name"
"""Of a given recipe, beside its fields, whose keys are dotted."""

MOST_SECONDS = 1e9
"""Upper bound for the seconds of one epoch or fold, to detect damaged files."""


def one_of(*choices: object) -> AfterValidator:
    """A validator that accepts only these values."""

    def check(value: object) -> object:
        if value not in choices:
            raise ValueError(f"one of {', '.join(map(str, choices))}")
        return value

    return AfterValidator(check)


def is_settings(values: dict[str, Any]) -> dict[str, Any]:
    for key, value in values.items():
        check_key(key)
        checked_type(key, value)
    return values


def is_recipe_list(entries: list[dict[str, Any]]) -> list[dict[str, Any]]:
    for entry in entries:
        if not isinstance(entry.get(NAME, ""), str):
            raise ValueError(f"recipes with text as {NAME}")
        is_settings({key: value for key, value in entry.items() if key != NAME})
    return entries


def is_recipe(values: dict[str, Any]) -> dict[str, Any]:
    Recipe.from_flat(values)
    return values


@dataclass(frozen=True, kw_only=True)
class PluginRecord:
    """A name that a plug-in of a study registers."""

    kind: Kind
    sha256: str
    """Of the file, in hexadecimal."""

    file: Annotated[str, Field(pattern=f"^{FILE_NAME.pattern}$")]
    """Name of the file, a copy of which the study has."""


def _are_plugins(plugins: dict[str, PluginRecord]) -> dict[str, PluginRecord]:
    """As they are; recipes and settings with these names can be read from now on."""
    for name, plugin in plugins.items():
        checked_record(name, plugin.sha256)
        record(plugin.kind, name)
    return plugins


def _is_time(value: str) -> str:
    if value:
        try:
            datetime.datetime.fromisoformat(value)
        except ValueError:
            raise ValueError("a time in ISO 8601") from None
    return value


Plugins: TypeAlias = Annotated[dict[str, PluginRecord], AfterValidator(_are_plugins)]
"""By registered name."""

Count: TypeAlias = Annotated[int, Field(ge=0)]
Positive: TypeAlias = Annotated[int, Field(ge=1)]
Starts: TypeAlias = Annotated[int, Field(ge=1, le=MAX_STARTS)]
Seeds: TypeAlias = Annotated[list[Count], Field(min_length=1)]
NonNegative: TypeAlias = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Score: TypeAlias = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
Share: TypeAlias = Annotated[float, Field(ge=-1e-9, le=1 + 1e-9, allow_inf_nan=False)]
"""0..1, with a tolerance for rounding in means of scores and sums of shares."""

Seconds: TypeAlias = Annotated[float, Field(ge=0, le=MOST_SECONDS, allow_inf_nan=False)]
Uid: TypeAlias = Annotated[str, Field(pattern="^[0-9a-f]{8}$")]
"""Used in paths, so it must not contain separators."""

Ended: TypeAlias = Annotated[str, AfterValidator(_is_time)]
"""When something ended, UTC in ISO 8601; empty in files written by older versions."""

TrialId: TypeAlias = Annotated[str, Field(pattern="^[0-9]{4,9}$")]
Objective: TypeAlias = Annotated[str, one_of(*ALL_OBJECTIVES)]
