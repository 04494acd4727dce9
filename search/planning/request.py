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
from leukemia.plugins.plugin_file import PluginFile
from leukemia.study.field_types import GRID
from leukemia.study.schema import SamplerName, SearchOptions
from search.policy.recipe_list import RecipeList
from search.policy.rungs import Rungs
from search.policy.wishes import Wishes

NO_STORAGE = "none"
"""Value of ``--storage`` that resumes a study without its stored address."""

OF_SEARCHES = ("racing", "margin", "pausing", "rungs", "keep", "patience", "starts", "warm_start")
"""Options of searches that a comparison does not have: it runs each recipe, and all folds of it."""

SAID = {"racing": False, "pausing": False}
"""What may be said of them all the same, since it is so."""


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

    recipes: RecipeList | None = None
    """What ``--recipes`` says; ``with_space`` turns it into an option."""

    remarks: tuple[str, ...] = ()
    """On ``wishes``, to be printed with the plan."""

    plugins: tuple[PluginFile, ...] = ()
    """The files of ``--plugin``, which have been run."""

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

    def with_space(
        self, preset: str, earlier: Mapping[str, Any] | None = None, sampler: SamplerName | None = None
    ) -> Request:
        """The request with its wishes as options: ``asked``, and ``settings`` with the fields that they fix; with
        ``recipes`` instead if these are given.

        Args:
            preset: of the study.
            earlier: the settings of a study to resume, which need not be given again.
            sampler: of that study.

        Raises:
            UserError: as ``Wishes.resolved`` or ``RecipeList.resolved``, or options that do not go together.
        """
        sampler = self.given.get("sampler", sampler)
        if self.recipes is not None:
            self._check_of_searches("--recipes")
            entries = self.recipes.resolved(self.given.get("settings", earlier or {}), PRESETS[preset]())
            given = {**self.given, "recipes": entries, "sampler": GRID}
            return dataclasses.replace(self, given=given, recipes=None)
        if sampler == GRID:
            self._check_of_searches(f"--sampler {GRID}" if earlier is None else "a comparison")
            if self.wishes is None and earlier is None:
                raise UserError(
                    f"--sampler {GRID}: expected the values to combine, got none; name fields with their values, such "
                    "as --search model.depth=18,50"
                )
        if self.wishes is None:
            return self
        named = {each.key for each in self.wishes.parameters}
        rest = {key: value for key, value in (earlier or {}).items() if key not in named}
        wishes = dataclasses.replace(self.wishes, grid=sampler == GRID)
        asked, settings = wishes.resolved(self.given.get("settings", rest), PRESETS[preset]())
        fixed = {"settings": _located(settings)} if settings else {}
        return dataclasses.replace(self, given={**self.given, **fixed, "asked": asked.to_dict()}, wishes=None)

    def _check_of_searches(self, comparison: str) -> None:
        """Check that a comparison has no options of searches; the number of its trials is checked once it is known.

        Args:
            comparison: the option that makes it one, for the message.
        """
        names = [name for name, value in self.given.items() if name in OF_SEARCHES and SAID.get(name, ...) != value]
        if self.recipes is not None:
            names += ["search or --space"] * (self.wishes is not None)
            names += ["sampler"] * (self.given.get("sampler", GRID) != GRID)
        if names:
            flags = ", ".join(f"--{name.replace('_', '-')}" for name in names)
            raise UserError(
                f"{comparison} runs each recipe once, on all folds, and searches nothing; leave out {flags}"
            )


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
