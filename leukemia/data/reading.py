"""How a data set is read: what the user says about it."""

from __future__ import annotations

import argparse
import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, TypeAlias

from pydantic import Field

from leukemia.data.location import absolute

Location: TypeAlias = Annotated[str, Field(min_length=1)]
"""A path. An empty one would be the current folder."""


@dataclass(frozen=True, kw_only=True)
class Reading:
    """The options of every command that reads a data set, as recorded in a study; None: not given."""

    base: Location | None = None
    """``--base``: absolute path of the base folder for relative paths in a CSV. None: the folder of the CSV."""

    subjects_from: Location | None = None
    """``--subjects-from``: absolute path of a copy of the same images with subjects, matched by pixels."""

    @classmethod
    def of(cls, arguments: argparse.Namespace) -> Reading:
        """The options in parsed arguments (``leukemia.base.cli.add_reading``).

        Raises:
            UserError: a path is not UTF-8.
        """
        values = {field.name: getattr(arguments, field.name) for field in dataclasses.fields(Reading)}
        return cls(**{name: absolute(value) if isinstance(value, Path) else value for name, value in values.items()})

    def given(self) -> dict[str, Any]:
        """The options that are given, by name."""
        values = {field.name: getattr(self, field.name) for field in dataclasses.fields(Reading)}
        return {name: value for name, value in values.items() if value is not None}


DEFAULT = Reading()
"""No option is given."""
