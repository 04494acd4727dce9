"""The JSON records of a study folder, each with what its fields may hold."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import AfterValidator, Field

from leukemia.base.errors import UserError
from leukemia.base.files import read_json
from leukemia.base.record import missing_field, read_record
from leukemia.config.fields import FIELDS
from leukemia.config.protocol import Protocol
from leukemia.config.results import ALL_OBJECTIVES, OBJECTIVES, FoldResult

SCHEMA = 1
"""Version of ``study.json``."""

MOST_SECONDS = 1e9
"""No device has worked for longer on one epoch or fold."""

State = Literal["complete", "stopped", "failed"]
"""How a trial ends: all folds done; given up by the judge; crashed, non-finite or without a usable score."""


def one_of(*choices: object) -> AfterValidator:
    """The check of a value that a tuple lists."""

    def check(value: object) -> object:
        if value not in choices:
            raise ValueError(f"one of {', '.join(map(str, choices))}")
        return value

    return AfterValidator(check)


def _is_field(key: str) -> str:
    if key not in FIELDS:
        raise ValueError("a field of a recipe")
    return key


Count: TypeAlias = Annotated[int, Field(ge=0)]
Positive: TypeAlias = Annotated[int, Field(ge=1)]
Seeds: TypeAlias = Annotated[list[Count], Field(min_length=1)]
NonNegative: TypeAlias = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Score: TypeAlias = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
Share: TypeAlias = Annotated[float, Field(ge=-1e-9, le=1 + 1e-9, allow_inf_nan=False)]
"""A mean of scores, or a sum of shares, may exceed 0..1 by the last bits."""

Seconds: TypeAlias = Annotated[float, Field(ge=0, le=MOST_SECONDS, allow_inf_nan=False)]
Uid: TypeAlias = Annotated[str, Field(pattern="^[0-9a-f]{8}$")]
"""Folders are named by it: it must not lead elsewhere."""

TrialId: TypeAlias = Annotated[str, Field(pattern="^[0-9]{4,9}$")]
Objective: TypeAlias = Annotated[str, one_of(*ALL_OBJECTIVES)]


@dataclass(frozen=True, kw_only=True)
class DataSource:
    """Which images a study searched on."""

    uri: str
    """Where they were: a path, or the name of the sample set."""

    fingerprint: str
    """SHA-256 of what they were, in hexadecimal digits."""

    base: str | None = None
    """``--base`` as an absolute path; None if not given."""

    subjects_from: str | None = None
    """``--subjects-from`` as an absolute path; None if not given."""


@dataclass(frozen=True, kw_only=True)
class Identity:
    """Which study it is, and what started it."""

    study_uid: Uid
    created: str
    """UTC, in ISO 8601."""

    command: str


@dataclass(frozen=True, kw_only=True)
class SearchOptions:
    """What the user can choose about a search, with the defaults of a new one."""

    folds: Annotated[int, Field(ge=2)] = 5
    seed: Count = 0
    """Of folds and proposals."""

    trials: Positive = 50
    """Total number, trials taken over from earlier studies not counted."""

    preset: str = "seed"
    objective: Objective = OBJECTIVES[0]
    racing: bool = True
    margin: NonNegative = 1.0
    """In points."""

    repeats: Count = 2
    """Maximum number of extra seeds of the starting recipe and the leading trials."""

    patience: Positive = 25
    """Trials without an improvement beyond noise after which no new ones start."""

    protocol: Protocol = "grouped"
    settings: dict[str, Any] = field(default_factory=dict)
    """Recipe fields that are fixed, by dotted key."""

    warm_start: list[str] = field(default_factory=list)
    """Names of earlier studies."""

    budget_hours: NonNegative = math.inf
    """Device hours after which no new trials start."""

    storage: str | None = None
    """Address of the storage that mirrors the study, without credentials."""


OPTIONAL = ("budget_hours", "storage")
"""Fields that ``study.json`` has only where they are set."""

FIRST = ("folds", "seed", "objective", "protocol")
"""Options that every version has written, and every reader needs."""


@dataclass(frozen=True, kw_only=True)
class StudyInfo(SearchOptions, Identity):
    """``study.json``: how a study was begun."""

    start: dict[str, Any] = field(default_factory=dict)
    """The starting recipe in dotted keys."""

    space: dict[str, Any] = field(default_factory=dict)
    """Each field that is searched, as ``Space.describe`` of ``search.policy.space``."""

    data: DataSource
    versions: dict[str, str]
    commit: str
    hardware: dict[str, Any] = field(default_factory=dict)
    splits_sha256: str = ""
    absent: tuple[str, ...] = field(default=(), metadata={"stored": False})
    """Fields with their defaults here that the version which wrote the file did not have."""

    @classmethod
    def read(cls, path: Path) -> StudyInfo:
        """Read ``study.json``; one of an older version may lack fields, which ``absent`` then lists.

        Raises:
            UserError: the file is damaged, or of another schema.
        """
        check_version(path, SCHEMA)
        info, found = read_record(cls, path), read_json(path)
        absent = [name for name in info._names() if name not in found and name not in OPTIONAL]
        for name in FIRST:
            if name in absent:
                raise missing_field(path, name)
        return dataclasses.replace(info, absent=tuple(absent))

    def to_dict(self) -> dict[str, Any]:
        """For JSON: what the file holds, in its order; ``OPTIONAL`` fields only where they are set."""
        unset = {"budget_hours": math.inf, "storage": None}
        content = {name: getattr(self, name) for name in self._names() if name not in self.absent}
        kept = {name: value for name, value in content.items() if name not in unset or value != unset[name]}
        return {"schema": SCHEMA, **kept, "data": dataclasses.asdict(self.data)}

    @classmethod
    def _names(cls) -> list[str]:
        return [each.name for each in dataclasses.fields(cls) if each.metadata.get("stored", True)]


@dataclass(frozen=True, kw_only=True)
class TrialEnd:
    """``state.json``: how a trial ended."""

    state: State
    reason: str
    score: Score | None
    """Mean of the objective over its folds; None unless complete."""


@dataclass(frozen=True, kw_only=True)
class Origin:
    """``origin.json``: the earlier study that ran a trial which was taken over."""

    study: str
    study_uid: str
    trial: str
    seeds: list[int]
    """Those that were run there to their end."""


@dataclass(frozen=True, kw_only=True)
class RepeatFailure:
    """``failed.json``: why a repeat ended without all folds."""

    reason: str


@dataclass(frozen=True, kw_only=True)
class FoldRecord:
    """``fold_K.json``: a finished fold, without its predictions."""

    fold: int
    seed: int
    n: int
    """Number of validation images."""

    scores: dict[str, Score | None]
    """As ``FoldResult.scores``; None where a score is undefined."""

    seconds: Seconds
    device: str
    precision: str = ""
    """Empty in the folds of older versions."""

    @classmethod
    def of(cls, result: FoldResult) -> FoldRecord:
        """The record of a result."""
        return cls(
            fold=result.fold,
            seed=result.seed,
            n=len(result.rows),
            scores={name: value if math.isfinite(value) else None for name, value in result.scores.items()},
            seconds=result.seconds,
            device=result.device,
            precision=result.precision,
        )


@dataclass(frozen=True, kw_only=True)
class HindsightRecord:
    """``hindsight.json``, as far as it is read again."""

    lines: list[str]
    importances: dict[Annotated[str, AfterValidator(_is_field)], Share]
    """Share of the score's variance by recipe field, 0..1."""


@dataclass(frozen=True, kw_only=True)
class SweepRecord:
    """``sweep.json``: the study's sweep in W&B."""

    id: str
    server: str
    project: str
    url: str


@dataclass(frozen=True, kw_only=True)
class _Version:
    """What every version's ``study.json`` has."""

    schema: int


def check_version(path: Path, schema: int) -> None:
    """Refuse a record that another version of this program wrote in another shape.

    Raises:
        UserError: the schema, a whole number, is missing or another one.
    """
    found = read_record(_Version, path).schema
    if found != schema:
        raise UserError(f"{path}: expected schema {schema}, got {found}; use the version that wrote it")
