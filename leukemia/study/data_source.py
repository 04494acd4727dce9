"""The data of a study: where they are, how they are read, and what was noted about it."""

from __future__ import annotations

import dataclasses
import shlex
from dataclasses import dataclass, field
from typing import Annotated, Any, TypeAlias

from pydantic import Field

from leukemia.base.errors import UserError
from leukemia.data.reading import Location, Reading

Sha256: TypeAlias = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
"""Hexadecimal; that of data names folders, too."""


REQUIRED = ("uri", "base", "subjects_from", "fingerprint")
"""Fields that every file has; earlier versions lack the others."""


@dataclass(frozen=True, kw_only=True)
class DataSource(Reading):
    """The data of a study, and how they were read."""

    uri: Location
    """A path, or the name of the sample set."""

    fingerprint: Sha256
    """Of the data."""

    notes: list[str] = field(default_factory=list)
    """As ``Catalog.recorded``; empty in files of earlier versions."""

    def require_same_split(self, reading: Reading) -> None:
        """Check that options given later do not change whether the data's own split is kept: the folds are fixed.

        Raises:
            UserError: they do.
        """
        # Columns are found ignoring case.
        given, own = (text and text.strip().lower() for text in (reading.split_column, self.split_column))
        if given not in (None, own):
            started = "without it" if self.split_column is None else f"with {self.split_column}"
            raise UserError(
                f"--split-column {reading.split_column}: the study was started {started}; leave it out, or start a new "
                "study"
            )

    def require_same_data(self, fingerprint: str, reading: Reading) -> None:
        """Check that data that were read with options given later are those of the study.

        Raises:
            UserError: their fingerprint differs, and so do the options. Locations are none: data and copies are moved.
        """
        own, changes = self.given(), []
        for name, given in reading.given().items():
            if name not in ("also", "base", "subjects_from") and given != own.get(name):
                started = f"with {_typed(own[name])}" if name in own else "without it"
                changes.append(f"--{name.replace('_', '-')} {_typed(given)} (the study was started {started})")
        if changes and fingerprint != self.fingerprint:
            raise UserError(
                f"the data are others with {' and '.join(changes)}: fingerprint {fingerprint[:16]}, expected "
                f"{self.fingerprint[:16]}; leave this out, give the data of the study, or start a new one"
            )

    def to_dict(self) -> dict[str, Any]:
        """For JSON; fields that are not ``REQUIRED`` only if set."""
        content = dataclasses.asdict(self)
        return {name: value for name, value in content.items() if name in REQUIRED or value not in (None, [], ())}


def _typed(value: str | tuple[str, ...]) -> str:
    """The value of an option as it is typed."""
    return " ".join(map(shlex.quote, (value,) if isinstance(value, str) else value))
