"""The arguments that shape a study, as the user gives them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from leukemia.base.errors import UserError
from leukemia.config.fields import parse_settings
from leukemia.config.results import ALL_OBJECTIVES, COST, OBJECTIVES
from leukemia.study.schema import SearchOptions

NO_STORAGE = "none"
"""What ``--storage`` says to resume a study without the storage that it remembers."""


@dataclass(frozen=True, kw_only=True)
class Request:
    """The arguments that shape a study."""

    runs: Path
    study: str | None = None
    """Name of the study; None: a new name, or on resume the newest study."""

    data: str | None = None
    base: Path | None = None
    subjects_from: Path | None = None
    """Where the images are, None where not given: the sample set, or on resume where the study had them."""

    storage: str | None = None
    """Address of a storage, ``NO_STORAGE``, or None where not given."""

    given: Mapping[str, Any] = field(default_factory=dict)
    """Those of ``SearchOptions`` that were given, by name."""

    def __post_init__(self) -> None:
        options = SearchOptions(**self.given)
        if options.trials < 1:
            raise UserError(f"--trials: expected at least 1, got {options.trials}")
        if options.objective not in ALL_OBJECTIVES:
            raise UserError(
                f"--objective: expected {', '.join(OBJECTIVES)}, or one of these with the cost, as in "
                f"{OBJECTIVES[0]},{COST}; got {options.objective!r}"
            )

    @property
    def storage_named(self) -> str | None:
        """Address of the storage, None where none is named."""
        return None if self.storage == NO_STORAGE else self.storage


def settings_of(texts: Sequence[str]) -> dict[str, Any]:
    """The recipe's fields set; the path of weights is absolute, since a study may be resumed from elsewhere.

    Args:
        texts: as ``FIELD=VALUE``.

    Raises:
        UserError: an unknown field, a value that it cannot hold, or a field set twice.
    """
    settings = parse_settings(list(texts))
    if settings.get("model.pretrained") is not None:
        settings["model.pretrained"] = str(Path(settings["model.pretrained"]).resolve())
    return settings
