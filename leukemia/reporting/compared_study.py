"""A study as it is compared with others: its winner, its trials and its device time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from leukemia.base.errors import UserError
from leukemia.scoring.metrics import Interval
from leukemia.study.best import Best
from leukemia.study.folder import Study
from leukemia.study.ledger import Ledger, ledger_of
from leukemia.study.table import trial_table
from leukemia.study.verification import verify


@dataclass(frozen=True, kw_only=True)
class ComparedStudy:
    """A study and what is compared of it."""

    study: Study
    best: Best | None
    """None if it has no winner."""

    trials: pd.DataFrame
    """As ``trial_table``."""

    ledger: Ledger

    @classmethod
    def of(cls, study: Study) -> ComparedStudy:
        """Read a study, and check it.

        Raises:
            UserError: as ``leukemia.study.verification.verify``.
        """
        verify(study)
        return cls(study=study, best=Best.find(study), trials=trial_table(study), ledger=ledger_of(study))

    @property
    def name(self) -> str:
        """The study's."""
        return self.study.name

    @property
    def headline(self) -> Interval | None:
        """The score to quote; None without a winner or if it is undefined."""
        if self.best is None or self.best.score.headline.value is None:
            return None
        return self.best.score.headline.interval


def compared_studies(runs: Path, names: Sequence[str]) -> list[ComparedStudy]:
    """The named studies, in this order.

    Raises:
        MissingFile: there is no study of a name.
        UserError: a study is given twice, two are copies of one study, or as ``ComparedStudy.of``.
    """
    studies = [Study.find(runs, name) for name in names]
    seen: dict[str, Study] = {}
    for study in studies:
        earlier = seen.setdefault(study.info.study_uid, study)
        if earlier is study:
            continue
        if earlier.name == study.name:
            raise UserError(f"study {study.name} is given twice; expected different studies: leave one out")
        raise UserError(
            f"{earlier.folder} and {study.folder} are copies of one study (study_uid {study.info.study_uid}); expected "
            "different studies: leave one out"
        )
    return [ComparedStudy.of(study) for study in studies]
