"""The thresholds that a delivered model is judged at: its own, and those that other rules gave out of fold."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from leukemia.base.errors import UserError
from leukemia.delivery.out_of_fold import OutOfFold
from leukemia.scoring.bootstrap import THRESHOLD
from leukemia.scoring.thresholds import DEFAULT_RULE
from leukemia.study.decision import Decision


@dataclass(frozen=True, kw_only=True)
class Choice:
    """A model's decision, and what it is compared with on a test set."""

    decision: Decision
    thresholds: Mapping[str, float]
    """By rule, with that of the decision."""

    prevalence: float | None
    """Share of leukemic cells at which predictive values are computed as well, between 0 and 1.

    Raises:
        UserError: it is not.
    """

    def __post_init__(self) -> None:
        if self.prevalence is not None and not 0 < self.prevalence < 1:
            raise UserError(f"prevalence: expected a share between 0 and 1, such as 0.3, got {self.prevalence}")

    @classmethod
    def of(cls, decision: Decision, out_of_fold: OutOfFold | None, prevalence: float | None) -> Choice:
        """That of a model; ``out_of_fold`` is None if the scores of its search are not known."""
        chosen = {} if out_of_fold is None else out_of_fold.thresholds
        thresholds = {DEFAULT_RULE: THRESHOLD, **chosen, decision.rule: decision.threshold}
        return cls(decision=decision, thresholds=thresholds, prevalence=prevalence)
