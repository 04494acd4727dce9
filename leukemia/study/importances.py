"""Importances of recipe fields for the score, read from ``hindsight.json``, and the trials behind them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated

from pydantic import AfterValidator, Field

from leukemia.base.record import wrong_value
from leukemia.config.fields import all_fields
from leukemia.study import layout
from leukemia.study.field_types import Count, Share
from leukemia.study.folder import Study
from leukemia.study.table import complete_trials

MIN_TRIALS = 20
"""Smallest number of trials that importances are computed from; with fewer they are noise."""

ALL_FOLDS = "all folds"
"""The last stage: what trials have finished whose scores are compared. Earlier ones are some folds, or a rung."""

STAGES = rf"^({ALL_FOLDS}|[0-9]+ of [0-9]+ folds|[0-9.]+ % of fold [01])$"
"""Pattern of all stages. Earlier versions called the first fold 0."""


def finished(stage: str) -> str:
    """What trials have finished that have reached a stage: some also later ones.

    >>> finished("1 of 3 folds"), finished("15 % of fold 1"), finished("all folds")
    ('at least 1 of 3 folds', 'at least 15 % of fold 1', 'all folds')
    """
    return stage if stage == ALL_FOLDS else f"at least {stage}"


Shares = dict[str, float]
"""Share of the score's variance by recipe field, 0..1."""


@dataclass(frozen=True, kw_only=True)
class Explained:
    """The share of the score's variance that a recipe field explains, with an interval; 0..1."""

    share: float
    low: float
    high: float


def _is_field(key: str) -> str:
    if key not in all_fields():
        raise ValueError("a field of a recipe")
    return key


def _are_shares(importances: Shares) -> Shares:
    if sum(importances.values()) > 1 + 1e-6:
        raise ValueError("shares that add up to at most 1")
    return importances


def _is_interval(ends: list[float]) -> list[float]:
    if len(ends) != 2 or ends[0] > ends[1]:
        raise ValueError("a lower and an upper end")
    return ends


@dataclass(frozen=True, kw_only=True)
class HindsightRecord:
    """The fields of ``hindsight.json`` that reports read."""

    lines: list[str]
    importances: Annotated[dict[Annotated[str, AfterValidator(_is_field)], Share], AfterValidator(_are_shares)]
    intervals: dict[Annotated[str, AfterValidator(_is_field)], Annotated[list[Share], AfterValidator(_is_interval)]] = (
        field(default_factory=dict)
    )
    """The lower and the upper end of each importance; empty in files of earlier versions."""

    stage: Annotated[str, Field(pattern=STAGES)] = ALL_FOLDS
    stage_trials: Count | None = None
    """Number of trials at that stage; None in files of earlier versions: those that are complete."""

    num_trials: Count | None = None
    """Number of complete trials when it was written; None in files of earlier versions."""

    @classmethod
    def find(cls, study: Study) -> HindsightRecord | None:
        """Read the file of a study; None if there is none.

        Raises:
            UserError: the file is invalid, or has more trials than the study.
        """
        path = study.folder / layout.HINDSIGHT
        if not path.is_file():
            return None
        record, num_complete, num_all = study.read(cls, path), len(complete_trials(study)), len(study.trials())
        if record.num_trials is not None and record.num_trials > num_complete:
            raise wrong_value(path, "num_trials", f"at most {num_complete}, the complete trials", record.num_trials)
        if record.stage_trials is not None and record.stage_trials > num_all:
            raise wrong_value(path, "stage_trials", f"at most {num_all}, the trials", record.stage_trials)
        return record


@dataclass(frozen=True, kw_only=True)
class Importances:
    """The importances of a study's recipe fields."""

    shares: Shares
    """Empty if there are too few trials, or if their scores do not differ."""

    intervals: dict[str, tuple[float, float]] = field(default_factory=dict)
    """Lower and upper end of each share; empty if an earlier version computed them."""

    num_trials: int
    """Number of trials at the stage."""

    stage: str = ALL_FOLDS
    """What these trials have finished."""

    @classmethod
    def find(cls, study: Study) -> Importances | None:
        """The importances of a study whose ``hindsight.json`` is written; None before.

        Earlier versions wrote them for any number of trials; below ``MIN_TRIALS`` they are left out.

        Raises:
            UserError: as ``HindsightRecord.find``.
        """
        record = HindsightRecord.find(study)
        if record is None:
            return None
        known = record.num_trials if record.stage_trials is None else record.stage_trials
        number = len(complete_trials(study)) if known is None else known
        shares = record.importances if number >= MIN_TRIALS else {}
        intervals = {key: (low, high) for key, (low, high) in record.intervals.items() if key in shares}
        return cls(
            shares=shares, intervals=intervals, num_trials=number, stage=record.stage.replace("fold 0", "fold 1")
        )

    def describe(self) -> str:
        """What they are computed from, or why there are none.

        >>> Importances(shares={"model.depth": 1.0}, num_trials=24).describe()
        'importance of recipe fields for the score, from the 24 trials that finished all folds'
        >>> Importances(shares={}, num_trials=3, stage="1 of 5 folds").describe()
        'importances of recipe fields need 20 trials that finished at least 1 of 5 folds; there are 3'
        """
        if self.num_trials < MIN_TRIALS:
            found = f"there {'is' if self.num_trials == 1 else 'are'} {self.num_trials}"
            stage = finished(self.stage)
            return f"importances of recipe fields need {MIN_TRIALS} trials that finished {stage}; {found}"
        if not self.shares:
            return f"no importances of recipe fields: the scores of the {self.num_trials} trials do not differ"
        trials = f"the {self.num_trials} trials that finished {finished(self.stage)}"
        return f"importance of recipe fields for the score, from {trials}"
