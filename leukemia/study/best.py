"""``best.json``: the winning complete trial, the one file in which the search and the final training meet."""

from __future__ import annotations

import dataclasses
import operator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import pandas as pd
from pydantic import AfterValidator, ConfigDict, Field, PlainValidator

from leukemia.base.errors import MissingFile, UserError
from leukemia.base.files import write_json
from leukemia.base.record import RESTORE, read_record, wrong_value
from leukemia.config.protocol import Protocol
from leukemia.config.recipe import Recipe
from leukemia.config.results import COST
from leukemia.scoring.metrics import METRICS, Interval, checked
from leukemia.scoring.selection import Correction
from leukemia.study import layout
from leukemia.study.folder import Study
from leukemia.study.schema import DataSource, NonNegative, Objective, Positive, Seeds, Share, TrialId, check_version

SCHEMA = 2
"""Version of the file's shape; raised with every change that an older reader would misread."""


@dataclass(frozen=True, kw_only=True)
class IntervalRecord:
    """An ``Interval`` as JSON has it: None instead of NaN."""

    value: Share | None
    low: Share | None
    high: Share | None

    def __post_init__(self) -> None:
        if self.low is not None and self.high is not None and self.low > self.high:
            raise ValueError("low at most high")
        if self.value is None and not self.low is self.high is None:
            raise ValueError("no ends where there is no value")

    @classmethod
    def of(cls, interval: Interval) -> IntervalRecord:
        """The record of an interval."""
        return cls(**interval.to_dict())

    @property
    def interval(self) -> Interval:
        """The interval of a record."""
        return Interval.from_dict(dataclasses.asdict(self))


@dataclass(frozen=True, kw_only=True)
class BestScore:
    """The score that was searched for, read in several ways.

    All but ``raw`` are over all out-of-fold images. Trials that were stopped are absent from the corrections. A mean of
    skewed resamples may lie outside of their percentiles, so ``value`` need not lie between ``low`` and ``high``.
    """

    raw: Share
    """Mean over folds and seeds."""

    pooled: IntervalRecord
    """As it is."""

    bootstrap: IntervalRecord
    leave_fold_out: IntervalRecord
    """Both corrected for being the best of several, as in ``leukemia.scoring.selection``."""

    headline: IntervalRecord
    """The lowest of the others."""

    @classmethod
    def of(cls, raw: float, correction: Correction) -> BestScore:
        """The mean over folds and seeds beside what is left of it."""
        return cls(
            raw=raw,
            pooled=IntervalRecord.of(correction.raw),
            bootstrap=IntervalRecord.of(correction.bootstrap),
            leave_fold_out=IntervalRecord.of(correction.leave_fold_out),
            headline=IntervalRecord.of(correction.headline),
        )

    @property
    def lowest(self) -> IntervalRecord:
        """What ``headline`` must be."""
        pooled, bootstrap, fold = self.pooled.interval, self.bootstrap.interval, self.leave_fold_out.interval
        return IntervalRecord.of(Correction(winner=0, raw=pooled, bootstrap=bootstrap, leave_fold_out=fold).headline)


@dataclass(frozen=True, kw_only=True)
class Noise:
    """What other trials and other seeds say about the winner."""

    __pydantic_config__ = ConfigDict(extra="forbid")

    winner_vs_start: str | None = None
    """The paired difference as text; None if the winner is the starting recipe, or that is not complete."""

    winner_vs_second: str | None = None
    """None if there is no other complete trial."""

    fold_noise: NonNegative | None = None
    """Standard deviation of a fold's score that no image explains."""

    seeds: dict[TrialId, Seeds] = field(default_factory=dict)
    """Of each trial that was repeated."""

    def to_dict(self) -> dict[str, Any]:
        """For JSON: what is known."""
        return {name: value for name, value in dataclasses.asdict(self).items() if value is not None}


def _recipe(values: object) -> Recipe:
    if not isinstance(values, dict):
        raise ValueError("an object")
    return Recipe.from_flat(values)


def _has_metrics(scores: dict[str, IntervalRecord]) -> dict[str, IntervalRecord]:
    if missing := [name for name in METRICS if name not in scores]:
        raise ValueError(f"each of {', '.join(METRICS)}; without {', '.join(missing)}")
    return scores


def _is_plain(value: object) -> object:
    if value is not None and not isinstance(value, str | int | float):
        raise ValueError("text or a number")
    return value


@dataclass(frozen=True, kw_only=True)
class Best:
    """The winning complete trial of a study."""

    __pydantic_config__ = ConfigDict(extra="forbid")

    study: str
    study_uid: str
    trial: TrialId
    """Trial id, four digits."""

    recipe: Annotated[Recipe, PlainValidator(_recipe)]
    """As run, all defaults filled in."""

    objective: Objective
    """Name of the score that the search maximized."""

    score: BestScore
    scores: Annotated[dict[str, IntervalRecord], AfterValidator(_has_metrics)]
    """All metrics over the out-of-fold images, each with its interval."""

    noise: Noise
    num_complete: Positive
    """Complete trials that the winner was chosen from."""

    majority_rate: Annotated[float, Field(ge=0.5 - 1e-9, le=1 + 1e-9, allow_inf_nan=False)]
    """Accuracy of always answering the more frequent class, 0..1."""

    folds: Annotated[int, Field(ge=2)]
    folds_done: int
    seeds: Seeds
    """Seeds that the winner was run with, its recipe's own first."""

    n: Positive
    """Number of out-of-fold images."""

    protocol: Protocol
    data: DataSource
    splits_sha256: str
    versions: dict[str, str]
    commit: str
    hardware: dict[str, Annotated[Any, AfterValidator(_is_plain)]]
    command: str
    schema: int = SCHEMA

    def save(self, path: Path) -> None:
        """Write ``best.json``."""
        content = dataclasses.asdict(self) | {"recipe": self.recipe.flat(), "noise": self.noise.to_dict()}
        write_json(path, content)

    @property
    def by_cost(self) -> bool:
        """Whether cost was the second objective, so that the winner need not be the best by score."""
        return self.objective.endswith(f",{COST}")

    @classmethod
    def of(cls, study: Study) -> Best:
        """Read ``best.json`` of a study, and hold it against what else lies there.

        Raises:
            MissingFile: there is none: the study has no complete trial yet.
            UserError: as ``load``; it is another study's; or its trial is not there, or has another recipe.
        """
        path, info = study.folder / layout.BEST, study.info
        best = cls.load(path)
        for name in ("study_uid", "objective", "protocol", "folds", "data.fingerprint"):
            find = operator.attrgetter(name)
            if find(best) != find(info):
                raise UserError(
                    f"{path}: field {name!r}: expected {find(info)!r} as in {layout.STUDY}, got {find(best)!r}: it "
                    f"belongs to another study; {RESTORE}"
                )
        number = int(best.trial)
        if number not in study.trials():
            raise UserError(f"{path}: field 'trial': the study has no trial {best.trial}; {RESTORE}")
        if study.recipe(number) != best.recipe:
            raise UserError(
                f"{path}: field 'recipe': it is not that of trial {best.trial} ("
                f"{study.trial_folder(number) / layout.RECIPE}); {RESTORE}"
            )
        return best

    @classmethod
    def found_in(cls, study: Study) -> Best | None:
        """``Best.of`` a study, or None where there is no ``best.json``."""
        return cls.of(study) if (study.folder / layout.BEST).is_file() else None

    def out_of_fold(self, study: Study) -> pd.DataFrame:
        """The winner's out-of-fold predictions under its first seed, as ``Study.out_of_fold``.

        Raises:
            UserError: some are missing or invalid.
        """
        number, seed = int(self.trial), self.recipe.train.seed
        folder, seen = study.seed_folder(number, seed), study.out_of_fold(number, seed)
        if len(seen) != self.n:
            raise UserError(
                f"{folder}: trial {self.trial} has {len(seen)} predictions of {self.n} images; "
                "restore the folder from a backup"
            )
        try:
            checked(seen["label"], seen["probability_leukemic"])
        except ValueError as error:
            raise UserError(f"{folder}: {error}; restore the folder from a backup") from None
        return seen

    @classmethod
    def load(cls, path: Path) -> Best:
        """Read a ``best.json`` by itself. Whoever knows its study takes ``Best.of``.

        Raises:
            MissingFile: there is none: the study has no complete trial yet.
            UserError: another schema, missing or unknown fields, a value that cannot be, or a trial that did not finish
                all folds.
        """
        if not path.is_file():
            raise MissingFile(f"no {path}: this study has no complete trial; let the search finish (--resume)")
        check_version(path, SCHEMA)
        best = read_record(cls, path)
        if best.score.headline != best.score.lowest:
            lowest = dataclasses.asdict(best.score.lowest)
            found = dataclasses.asdict(best.score.headline)
            raise wrong_value(path, "score.headline", f"{lowest}, the lowest of the others", found)
        if best.seeds[0] != best.recipe.train.seed:
            raise wrong_value(path, "seeds", f"the recipe's seed {best.recipe.train.seed} first", best.seeds)
        if best.folds_done != best.folds:
            raise UserError(
                f"{path}: trial {best.trial} finished {best.folds_done} of {best.folds} folds; "
                "only a complete trial can win: finish the search (--resume)"
            )
        return best
