"""The command-line arguments that define a study."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from leukemia.base.errors import UserError
from leukemia.config.fields import parse_settings
from leukemia.config.presets import PRESETS
from leukemia.config.results import ALL_OBJECTIVES, COST, OBJECTIVES
from leukemia.data.location import absolute
from leukemia.data.reading import DEFAULT, Reading
from leukemia.study.schema import SearchOptions
from search.policy.rungs import Rungs
from search.policy.wishes import Wishes

NO_STORAGE = "none"
"""Value of ``--storage`` that resumes a study without its stored address."""


@dataclass(frozen=True, kw_only=True)
class Request:
    """The arguments that define a study."""

    runs: Path
    study: str | None = None
    """Name of the study; None: a new name, or on resume the newest study."""

    data: str | None = None
    """Where to read the images; None if not given: the sample set, or on resume the study's own data."""

    reading: Reading = DEFAULT
    """How to read them; what is not given is as the study has it."""

    storage: str | None = None
    """Address of a storage, or ``NO_STORAGE``; None if not given."""

    cpus_per_trial: int | None = None
    """None: the number of the study, otherwise an equal share."""

    given: Mapping[str, Any] = field(default_factory=dict)
    """The given fields of ``SearchOptions``, by name."""

    wishes: Wishes | None = None
    """What ``--space`` and ``--search`` say; ``with_space`` turns it into options."""

    remarks: tuple[str, ...] = ()
    """On ``wishes``, to be printed with the plan."""

    def __post_init__(self) -> None:
        options = SearchOptions(**self.given)
        if options.trials < 1:
            raise UserError(f"--trials: expected at least 1, got {options.trials}")
        Rungs(shares=tuple(options.rungs), keep=options.keep)
        if options.objective not in ALL_OBJECTIVES:
            raise UserError(
                f"--objective: expected {', '.join(OBJECTIVES)}, or one of these with the cost, as in "
                f"{OBJECTIVES[0]},{COST}; got {options.objective!r}"
            )

    @property
    def storage_named(self) -> str | None:
        """Address of the storage; None if not given or ``NO_STORAGE``."""
        return None if self.storage == NO_STORAGE else self.storage

    def with_space(self, preset: str, earlier: Mapping[str, Any] | None = None) -> Request:
        """The request with its wishes as options: ``asked``, and ``settings`` with the fields that they fix.

        Args:
            preset: of the study.
            earlier: the settings of a study to resume, which need not be given again.

        Raises:
            UserError: as ``Wishes.resolved``.
        """
        if self.wishes is None:
            return self
        named = {each.key for each in self.wishes.parameters}
        rest = {key: value for key, value in (earlier or {}).items() if key not in named}
        asked, settings = self.wishes.resolved(self.given.get("settings", rest), PRESETS[preset]())
        fixed = {"settings": _located(settings)} if settings else {}
        return dataclasses.replace(self, given={**self.given, **fixed, "asked": asked.to_dict()}, wishes=None)


def settings_of(texts: Sequence[str]) -> dict[str, Any]:
    """Parse ``--set``.

    Args:
        texts: each ``FIELD=VALUE``.

    Raises:
        UserError: an unknown field, an invalid value, or a field set twice.
    """
    return _located(parse_settings(list(texts)))


def _located(settings: Mapping[str, Any]) -> dict[str, Any]:
    """The path of pretrained weights is made absolute, since a study may be resumed from elsewhere."""
    settings = dict(settings)
    if settings.get("model.pretrained") is not None:
        settings["model.pretrained"] = absolute(Path(settings["model.pretrained"]))
    return settings
