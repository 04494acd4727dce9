"""The data of a study: where they are, how they are read, and what was noted about it."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Annotated, Any, TypeAlias

from pydantic import Field

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
    """As ``Catalog.notes``; empty in files of earlier versions."""

    def to_dict(self) -> dict[str, Any]:
        """For JSON; fields that are not ``REQUIRED`` only if set."""
        content = dataclasses.asdict(self)
        return {name: value for name, value in content.items() if name in REQUIRED or value not in (None, [], ())}
