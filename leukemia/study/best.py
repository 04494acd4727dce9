"""``best.json``: the winning complete trial, written by the search and read by the final training."""

from __future__ import annotations

import dataclasses
import operator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import pandas as pd
from pydantic import AfterValidator, ConfigDict, Field, PlainValidator

from leukemia.base.errors import MissingFile, UserError
from leukemia.base.quantity import quantity
from leukemia.base.record import RESTORE, check_version, read_record, write_record, wrong_value
from leukemia.config.protocol import Protocol
from leukemia.config.recipe import Recipe
from leukemia.config.results import COST, fold_name, fold_range
from leukemia.scoring.metrics import METRICS, checked
from leukemia.study import layout
from leukemia.study.best_score import BestScore, IntervalRecord
from leukemia.study.data_source import DataSource, Sha256
from leukemia.study.field_types import NonNegative, Objective, Positive, Seeds, TrialId
from leukemia.study.folder import Study
from leukemia.study.schema import check_folds
from leukemia.study.table import complete_trials, finished_seeds

SCHEMA = 2
"""Version of the file format; increased with every change that an older reader would misread."""


@dataclass(frozen=True, kw_only=True)
class Noise:
    """How certain the choice of the winner is, judged by other trials and other seeds."""

    __pydantic_config__ = ConfigDict(extra="forbid")

    winner_vs_start: str | None = None
    """The paired difference as text; None if the winner is the starting recipe, or trial 0 is incomplete."""

    winner_vs_second: str | None = None
    """None if there is no other complete trial."""

    fold_noise: NonNegative | None = None
    """Standard deviation of a fold's score beyond the sampling of its images."""

    seeds: dict[TrialId, Seeds] = field(default_factory=dict)
    """The seeds of each repeated trial."""

    def to_dict(self) -> dict[str, Any]:
        """For JSON; fields that are None are omitted."""
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
    """Trial number, zero-padded to four digits."""

    recipe: Annotated[Recipe, PlainValidator(_recipe)]
    """As run, all defaults filled in."""

    objective: Objective
    """The search objective, one of ``ALL_OBJECTIVES``."""

    score: BestScore
    scores: Annotated[dict[str, IntervalRecord], AfterValidator(_has_metrics)]
    """All metrics over the out-of-fold images, with intervals."""

    noise: Noise
    num_complete: Positive
    """Number of complete trials that the winner was chosen from."""

    majority_rate: Annotated[float, Field(ge=0.5 - 1e-9, le=1 + 1e-9, allow_inf_nan=False)]
    """Accuracy of always predicting the more frequent class, 0..1."""

    folds: Positive
    folds_done: int
    seeds: Seeds
    """Seeds of the winner's runs, the recipe's own seed first."""

    n: Positive
    """Number of out-of-fold images."""

    protocol: Protocol
    data: DataSource
    splits_sha256: Sha256
    versions: dict[str, str]
    commit: str
    hardware: dict[str, Annotated[Any, AfterValidator(_is_plain)]]
    command: str
    schema: int = SCHEMA

    def save(self, path: Path) -> None:
        """Write ``best.json``."""
        content = dataclasses.asdict(self) | {
            "recipe": self.recipe.flat(),
            "noise": self.noise.to_dict(),
            "data": self.data.to_dict(),
        }
        write_record(path, content)

    @property
    def by_cost(self) -> bool:
        """Whether cost was the second objective, in which case the winner may not have the best score."""
        return self.objective.endswith(f",{COST}")

    @property
    def scored_on(self) -> str | None:
        """The folds on which the corrections are scored, with the reason, as text; None if on all."""
        if self.scored_folds is None:
            return None
        return f"{self.scored_folds}, because {fold_name(0)} chose which trials ran on"

    @property
    def scored_folds(self) -> str | None:
        """The folds on which the corrections are scored, as text; None if on all."""
        has_all = self.score.scored_folds in (None, list(range(self.folds)))
        return None if has_all else fold_range(1, self.folds - 1)

    def describe_raw(self) -> str:
        """The score before correction, also over the images on which the corrections are scored, for comparison."""
        folds, seeds = quantity(self.folds, "fold"), quantity(len(self.seeds), "seed")
        if self.scored_folds is None:
            return f"raw {self.score.raw:.4f} (mean over {folds} and {seeds})"
        scored = self.score.scored
        own = "undefined" if scored is None or scored.value is None else f"{scored.value:.4f}"
        return (
            f"raw {own} over the images of the same {self.scored_folds}; {self.score.raw:.4f} as the mean over all "
            f"{folds} and {seeds}"
        )

    @classmethod
    def of(cls, study: Study) -> Best:
        """Read ``best.json`` of a study, and check it against the study's other files.

        Raises:
            MissingFile: the file is absent: the study has no complete trial yet.
            UserError: as ``load``; it belongs to another study; or its trial is missing or has another recipe.
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
                f"{path}: field 'recipe': differs from the recipe of trial {best.trial} ("
                f"{study.trial_folder(number) / layout.RECIPE}); {RESTORE}"
            )
        return best

    @classmethod
    def find(cls, study: Study) -> Best | None:
        """As ``Best.of``, but None if there is no ``best.json``."""
        return cls.of(study) if (study.folder / layout.BEST).is_file() else None

    def outdated(self, study: Study) -> str | None:
        """A sentence if trials or repeats have finished since the file was written; None if it is up to date.

        During a search it is written when the winner changes, so an interrupted one leaves an older file.
        """
        seeds = {f"{number:04d}": finished_seeds(study, number) for number in complete_trials(study)}
        repeated = {trial: each for trial, each in seeds.items() if len(each) > 1}
        if self.num_complete == len(seeds) and self.noise.seeds == repeated:
            return None
        known, found = (sum(map(len, each.values())) - len(each) for each in (self.noise.seeds, repeated))
        return (
            f"The winner and its corrected score are older than the last results: {layout.BEST} is from "
            f"{self.num_complete} of {len(seeds)} complete trials and {known} of {found} repeats; it is written again "
            "when the search ends, or is resumed (--resume)."
        )

    def out_of_fold(self, study: Study) -> pd.DataFrame:
        """The winner's out-of-fold predictions for its first seed, as ``Study.out_of_fold``.

        Raises:
            UserError: some are missing or invalid.
        """
        number, seed = int(self.trial), self.recipe.train.seed
        folder, predictions = study.seed_folder(number, seed), study.out_of_fold(number, seed)
        if len(predictions) != self.n:
            raise UserError(
                f"{folder}: trial {self.trial} has {len(predictions)} predictions for {self.n} images; "
                "restore the folder from a backup"
            )
        try:
            checked(predictions["label"], predictions["probability_leukemic"])
        except ValueError as error:
            raise UserError(f"{folder}: {error}; restore the folder from a backup") from None
        return predictions

    @classmethod
    def load(cls, path: Path) -> Best:
        """Read a ``best.json`` on its own. Use ``Best.of`` if its study is available.

        Raises:
            MissingFile: the file is absent: the study has no complete trial yet.
            UserError: another schema, missing or unknown fields, an invalid value, or a trial without all folds.
        """
        if not path.is_file():
            raise MissingFile(f"no {path}: this study has no complete trial; let the search finish (--resume)")
        check_version(path, SCHEMA)
        best = read_record(cls, path)
        check_folds(path, best.folds, best.protocol)
        folds = list(range(best.folds))
        if best.score.scored_folds not in (None, folds, folds[1:]):
            expected = f"{folds}, or these without 0"
            raise wrong_value(path, "score.scored_folds", expected, best.score.scored_folds)
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
