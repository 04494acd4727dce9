"""The arguments that shape a study, as a person gives them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from leukemia.base.errors import UserError
from leukemia.config.fields import parse_settings
from leukemia.config.protocol import Protocol
from leukemia.config.results import ALL_OBJECTIVES, COST, OBJECTIVES

NO_STORAGE = "none"
"""What ``--storage`` says to resume a study without the storage that it remembers."""

DEFAULTS: dict[str, Any] = {
    "folds": 5,
    "seed": 0,
    "trials": 50,
    "preset": "seed",
    "objective": OBJECTIVES[0],
    "racing": True,
    "margin": 1.0,
    "repeats": 2,
    "patience": 25,
}
"""Arguments that a new study takes where none is given; a resumed one takes what it began with."""


@dataclass(frozen=True, kw_only=True)
class Request:
    """The arguments that shape a study; None where not given."""

    data: str | None
    subjects_from: Path | None
    base: Path | None
    study: str | None
    runs: Path
    trials: int | None
    folds: int | None
    preset: str | None
    settings: list[str]
    objective: str | None
    protocol: Protocol | None
    seed: int | None
    racing: bool | None
    margin: float | None
    """In points."""

    repeats: int | None
    patience: int | None
    budget_hours: float | None
    warm_start: list[str] | None
    storage: str | None
    """Address of a storage, or ``NO_STORAGE``."""

    def check(self) -> None:
        """Refuse what no study can have.

        Raises:
            UserError: no trial, or an unknown objective.
        """
        if self.trials is not None and self.trials < 1:
            raise UserError(f"--trials: expected at least 1, got {self.trials}")
        if self.objective is not None and self.objective not in ALL_OBJECTIVES:
            raise UserError(
                f"--objective: expected {', '.join(OBJECTIVES)}, or one of these with the cost, as in "
                f"{OBJECTIVES[0]},{COST}; got {self.objective!r}"
            )

    def fields_set(self) -> dict[str, Any]:
        """The recipe's fields set; the path of weights is absolute, since a study may be resumed from elsewhere.

        Raises:
            UserError: an unknown field, a value that it cannot hold, or a field set twice.
        """
        settings = parse_settings(self.settings)
        if settings.get("model.pretrained") is not None:
            settings["model.pretrained"] = str(Path(settings["model.pretrained"]).resolve())
        return settings

    def storage_named(self) -> dict[str, str]:
        """``study.json``'s field for the storage, where one is named."""
        return {} if self.storage in (None, NO_STORAGE) else {"storage": str(self.storage)}
