"""Importances of recipe fields for the score, read from ``hindsight.json``, and the trials behind them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from pydantic import AfterValidator

from leukemia.base.record import wrong_value
from leukemia.config.fields import FIELDS
from leukemia.study import layout
from leukemia.study.field_types import Count, Share
from leukemia.study.folder import Study
from leukemia.study.table import complete_trials

MIN_TRIALS = 20
"""Smallest number of trials that importances are computed from; with fewer they are noise."""

STAGE = "all folds"
"""What the trials have in common: scores of different numbers of folds are not compared."""

Shares = dict[str, float]
"""Share of the score's variance by recipe field, 0..1."""


def _is_field(key: str) -> str:
    if key not in FIELDS:
        raise ValueError("a field of a recipe")
    return key


def _are_shares(importances: Shares) -> Shares:
    if sum(importances.values()) > 1 + 1e-6:
        raise ValueError("shares that add up to at most 1")
    return importances


@dataclass(frozen=True, kw_only=True)
class HindsightRecord:
    """The fields of ``hindsight.json`` that reports read."""

    lines: list[str]
    importances: Annotated[dict[Annotated[str, AfterValidator(_is_field)], Share], AfterValidator(_are_shares)]
    num_trials: Count | None = None
    """Number of trials that ``importances`` were computed from; None in files of earlier versions."""

    @classmethod
    def find(cls, study: Study) -> HindsightRecord | None:
        """Read the file of a study; None if there is none.

        Raises:
            UserError: the file is invalid, or has more trials than the study.
        """
        path = study.folder / layout.HINDSIGHT
        if not path.is_file():
            return None
        record, num_complete = study.read(cls, path), len(complete_trials(study))
        if record.num_trials is not None and record.num_trials > num_complete:
            raise wrong_value(path, "num_trials", f"at most {num_complete}, the complete trials", record.num_trials)
        return record


@dataclass(frozen=True, kw_only=True)
class Importances:
    """The importances of a study's recipe fields."""

    shares: Shares
    """Empty if there are too few trials, or if their scores do not differ."""

    num_trials: int
    """Number of trials with ``STAGE``."""

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
        number = len(complete_trials(study)) if record.num_trials is None else record.num_trials
        return cls(shares=record.importances if number >= MIN_TRIALS else {}, num_trials=number)

    def describe(self) -> str:
        """What they are computed from, or why there are none.

        >>> Importances(shares={"model.depth": 1.0}, num_trials=24).describe()
        'importance of recipe fields for the score, from the 24 trials that finished all folds'
        >>> Importances(shares={}, num_trials=3).describe()
        'importances of recipe fields need 20 trials that finished all folds; there are 3'
        """
        if self.num_trials < MIN_TRIALS:
            found = f"there are {self.num_trials}"
            return f"importances of recipe fields need {MIN_TRIALS} trials that finished {STAGE}; {found}"
        if not self.shares:
            return f"no importances of recipe fields: the scores of the {self.num_trials} trials do not differ"
        return f"importance of recipe fields for the score, from the {self.num_trials} trials that finished {STAGE}"
