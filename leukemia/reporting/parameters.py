"""The recipe fields in which the trials of a study differ, with their scales and values."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from leukemia.config.fields import all_fields
from leukemia.config.parameters import is_range
from leukemia.reporting.words import field_name, value_text
from leukemia.study.folder import Study

_LEFT_OUT = ("train.seed", "model.pretrained_sha256")
"""Fields that identify a run or a file; no trial is better for them."""


@dataclass(frozen=True, kw_only=True)
class Parameter:
    """A recipe field, and its value in each trial."""

    key: str
    values: Mapping[int, Any]
    """By trial; only trials whose recipes have the field."""

    is_log: bool
    """Whether it was searched on a logarithmic scale."""

    is_range: bool = False
    """Whether it was searched as a range, so that also its integers are numbers on a scale."""

    @property
    def name(self) -> str:
        """As people say it."""
        return field_name(self.key)

    @property
    def choices(self) -> list[Any] | None:
        """Its distinct values in order; None for a number on a scale."""
        distinct = {value for value in self.values.values() if value is not None}
        if self.is_range or all(isinstance(value, float) for value in distinct):
            return None
        return sorted(distinct, key=lambda value: (isinstance(value, str), value))

    def position(self, value: Any) -> float:
        """Where a value is on the scale, from 0 for the lowest to 1 for the highest of all trials; choices are evenly
        spaced."""
        if (choices := self.choices) is not None:
            return 0.5 if len(choices) < 2 else choices.index(value) / (len(choices) - 1)
        low, high, at = (self._scaled(each) for each in (min(self.values.values()), max(self.values.values()), value))
        return 0.5 if high <= low else (at - low) / (high - low)

    def marks(self) -> list[tuple[float, str]]:
        """Positions with the text to write there: all choices, or the ends of the scale."""
        found = self.choices or [min(self.values.values()), max(self.values.values())]
        return [(self.position(value), value_text(value)) for value in dict.fromkeys(found)]

    def _scaled(self, value: float) -> float:
        return math.log(value) if self.is_log else value


def varied_parameters(study: Study) -> list[Parameter]:
    """The fields that have more than one value in the trials of a study, in the order of the recipe."""
    flat = {number: study.recipe(number).flat() for number in study.trials()}
    found = []
    for key in all_fields():
        values = {number: fields[key] for number, fields in flat.items() if fields.get(key) is not None}
        if key in _LEFT_OUT or len(set(values.values())) < 2:
            continue
        entry = study.info.space.get(key, {})
        is_log = bool(entry.get("log")) and all(value > 0 for value in values.values())
        found.append(Parameter(key=key, values=values, is_log=is_log, is_range=is_range(entry)))
    return found
