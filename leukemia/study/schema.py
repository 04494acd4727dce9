"""The JSON records of a study folder, with the types and ranges of their fields."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field

from leukemia.base.record import check_version, missing_field, read_content, read_record, wrong_value
from leukemia.config.parameters import described_space, stored_space
from leukemia.config.protocol import Protocol
from leukemia.config.results import OBJECTIVES, FoldResult
from leukemia.study.data_source import DataSource
from leukemia.study.field_types import (
    Count,
    Ended,
    NonNegative,
    Objective,
    Plugins,
    Positive,
    Score,
    Seconds,
    Share,
    Starts,
    Uid,
    is_recipe,
    is_recipe_list,
    is_settings,
)

SCHEMA = 1
"""Version of ``study.json``."""

State = Literal["complete", "stopped", "failed"]
"""How a trial ended: all folds done; stopped early; crashed, diverged or without a usable score."""

SamplerName = Literal["tpe", "tpe-univariate", "gp", "random", "grid"]
"""What proposes recipes: ``search.sampling.samplers``. ``grid`` runs each once: a comparison, not a search."""


@dataclass(frozen=True, kw_only=True)
class Identity:
    """Which study it is, and the command that started it."""

    study_uid: Uid
    created: str
    """UTC, in ISO 8601."""

    command: str


@dataclass(frozen=True, kw_only=True)
class SearchOptions:
    """The user's options of a search, with the defaults for a new study."""

    folds: Positive = 5
    """At least 2, unless the split is ``given``."""

    seed: Count = 0
    """Seed of folds and proposals."""

    trials: Positive = 50
    """Total number of trials, not counting trials reused from earlier studies."""

    preset: str = "seed"
    objective: Objective = OBJECTIVES[0]
    racing: bool = True
    margin: NonNegative = 1.0
    """In percentage points."""

    repeats: Count = 2
    """Maximum number of extra seeds of the starting recipe and the leading trials."""

    pausing: bool = False
    """Whether trials wait during and after fold 0, and only those that are among the best there run on."""

    rungs: list[Share] = field(default_factory=lambda: [0.05, 0.15, 0.45])
    """With pausing, the shares of fold 0 after which trials wait, besides its end; fixed once trials waited."""

    keep: Share = 0.33
    """With pausing, the share of the trials at a rung that goes on first; fixed once trials waited."""

    sampler: SamplerName = "tpe"
    """What proposes recipes; fixed for a study."""

    starts: Starts = 1
    """Maximum number of starting recipes (``search.policy.portfolio``), which are the first trials; fixed for a
    study."""

    patience: Positive = 25
    """Stop starting trials after this many without an improvement beyond noise."""

    protocol: Protocol = "grouped"
    plugins: Plugins = field(default_factory=dict)
    """The plug-ins of the study by registered name; fixed for a study. Before ``settings``, which may name them."""

    settings: Annotated[dict[str, Any], AfterValidator(is_settings)] = field(default_factory=dict)
    """Fixed recipe fields by dotted key."""

    asked: dict[str, Any] = field(default_factory=dict)
    """What the user searches instead of, or besides, the built-in space, as ``Asked.to_dict`` of
    ``search.policy.asked``; fixed for a study."""

    recipes: Annotated[list[dict[str, Any]], AfterValidator(is_recipe_list)] = field(default_factory=list)
    """With ``grid``, the recipes to compare instead of all combinations: ``name``, if any, and differences from the
    preset by dotted key; fixed for a study."""

    warm_start: list[str] = field(default_factory=list)
    """Names of earlier studies to reuse trials from."""

    budget_hours: NonNegative = math.inf
    """Stop starting trials after this many device hours."""

    storage: str | None = None
    """URL of the storage that mirrors the study, without credentials."""

    wandb_ids: bool = False
    """Whether W&B gets the names of images and patients."""


OPTIONAL: dict[str, Any] = {
    **dict.fromkeys(("storage", "cpu_threads", "weights")),
    "budget_hours": math.inf,
    "rungs": SearchOptions().rungs,
    "keep": SearchOptions.keep,
    **{name: {} for name in ("asked", "plugins")},
    "recipes": [],
    **dict.fromkeys(("wandb_ids", "pausing", "paused_before"), False),
}
"""Fields of ``study.json`` that are written only if set, with their values if not."""

ADDED = ("sampler", "starts")
"""Options that files of older versions lack, whose studies went by the defaults of ``StudyInfo``."""

REQUIRED = ("folds", "seed", "objective", "protocol")
"""Options that every version writes and every reader needs."""


@dataclass(frozen=True, kw_only=True)
class StudyInfo(SearchOptions, Identity):
    """``study.json``: how a study was started."""

    pausing: bool = False
    """As in ``SearchOptions``; False, whatever a new study has, in a file without it, which an older version wrote."""

    sampler: SamplerName = "tpe"
    """As in ``SearchOptions``; ``tpe``, whatever a new study has, in a file without it."""

    starts: Starts = 1
    """As in ``SearchOptions``; 1, whatever a new study has, in a file without it."""

    paused_before: bool = False
    """Whether trials waited in an earlier session of this study, or were reused from a study whose trials did."""

    start: Annotated[dict[str, Any], AfterValidator(is_recipe)] = field(default_factory=dict)
    """The starting recipe by dotted key."""

    space: Annotated[dict[str, Any], AfterValidator(described_space)] = field(default_factory=dict)
    """The search space by recipe field, as ``Space.describe`` of ``search.policy.space``. The file has it in the form
    of W&B's sweeps, nested by section."""

    weights: str | None = None
    """What the trials take from ``model.pretrained``, as text; None if they start from scratch."""

    data: DataSource
    versions: dict[str, str]
    commit: str
    hardware: dict[str, Any] = field(default_factory=dict)
    cpu_threads: Positive | None = None
    """Torch threads of every training on a CPU, where their number changes the results; None until one has run."""

    splits_sha256: str = ""
    absent: tuple[str, ...] = field(default=(), metadata={"stored": False})
    """Fields missing in the file, which an older version wrote; they have their defaults here."""

    @property
    def fold_0_chose(self) -> bool:
        """Whether fold 0 has chosen which trials run on, so that the scores of complete trials are too high there.

        With one fold no trial waits: no other would be left to score the winner on.
        """
        return self.folds > 1 and (self.pausing or self.paused_before)

    @property
    def scored_folds(self) -> list[int]:
        """The folds on which the winner's corrected score is computed: all, or all but fold 0 if that has chosen."""
        return list(range(int(self.fold_0_chose), self.folds))

    @classmethod
    def read(cls, path: Path) -> StudyInfo:
        """Read ``study.json``; ``absent`` lists the fields that a file of an older version lacks.

        Raises:
            UserError: the file is invalid or has another schema.
        """
        check_version(path, SCHEMA)
        info, found = read_record(cls, path), read_content(path)
        absent = [name for name in info._names() if name not in found and name not in (*OPTIONAL, *ADDED)]
        for name in REQUIRED:
            if name in absent:
                raise missing_field(path, name)
        check_folds(path, info.folds, info.protocol)
        return dataclasses.replace(info, absent=tuple(absent))

    def to_dict(self) -> dict[str, Any]:
        """For JSON, in the order of the file; ``OPTIONAL`` fields only if set."""
        content = {name: getattr(self, name) for name in self._names() if name not in self.absent}
        kept = {name: value for name, value in content.items() if name not in OPTIONAL or value != OPTIONAL[name]}
        # Without reasons, it is of an earlier version, whose files stay as they are.
        if any("reason" in entry for entry in self.space.values()):
            kept["space"] = stored_space(self.space)
        if self.plugins:
            kept["plugins"] = {name: dataclasses.asdict(plugin) for name, plugin in self.plugins.items()}
        return {"schema": SCHEMA, **kept, "data": self.data.to_dict()}

    @classmethod
    def _names(cls) -> list[str]:
        return [each.name for each in dataclasses.fields(cls) if each.metadata.get("stored", True)]


@dataclass(frozen=True, kw_only=True)
class TrialEnd:
    """``state.json``: how a trial ended."""

    state: State
    reason: str
    score: Score | None
    """Mean of the objective over folds; None unless complete."""

    ended: Ended = field(default="", compare=False)
    trained: NonNegative | None = field(default=None, compare=False)
    """What the study had trained by then, in complete trials (``search.policy.patience``); None in older files."""


@dataclass(frozen=True, kw_only=True)
class Origin:
    """``origin.json``: the earlier study that a trial was reused from."""

    study: str
    study_uid: str
    trial: str
    seeds: list[int]
    """Seeds that finished in the earlier study."""


@dataclass(frozen=True, kw_only=True)
class RepeatFailure:
    """``failed.json``: why a repeat ended without all folds."""

    reason: str


@dataclass(frozen=True, kw_only=True)
class FoldRecord:
    """``fold_K.json``: a finished fold, without its predictions."""

    fold: Count
    seed: Count
    n: Positive
    """Number of validation images."""

    scores: dict[str, Score | None]
    """As ``FoldResult.scores``; None if a score is undefined."""

    seconds: Seconds
    device: str
    precision: str = ""
    predictions_sha256: Annotated[str, Field(pattern="^([0-9a-f]{64})?$")] = ""
    """Of ``fold_K.csv``. Empty, like ``precision``, in folds written by earlier versions."""

    ended: Ended = field(default="", compare=False)

    @classmethod
    def of(cls, result: FoldResult, predictions_sha256: str, ended: str) -> FoldRecord:
        """Convert the result of a fold whose predictions have been written."""
        return cls(
            fold=result.fold,
            seed=result.seed,
            n=len(result.rows),
            scores={name: value if math.isfinite(value) else None for name, value in result.scores.items()},
            seconds=result.seconds,
            device=result.device,
            precision=result.precision,
            predictions_sha256=predictions_sha256,
            ended=ended,
        )


def check_folds(path: Path, folds: int, protocol: Protocol) -> None:
    """Check the number of folds of a record.

    Raises:
        UserError: there is one only, which no protocol makes but ``given``.
    """
    if folds < 2 and protocol != "given":
        raise wrong_value(path, "folds", "at least 2", folds)
