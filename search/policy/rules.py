"""The rules of a race: racing, repeats, patience and statistical parameters."""

from __future__ import annotations

from dataclasses import dataclass, field

from leukemia.scoring.paired import PRIOR_NOISE
from leukemia.study.schema import SearchOptions
from search.policy.early_stopping import ERROR, MARGIN
from search.policy.rungs import Rungs


@dataclass(frozen=True, kw_only=True)
class Rules:
    """The rules of a race."""

    num_folds: int
    objective: str
    """The score to maximize, such as ``tta_accuracy``."""

    by_cost: bool = False
    """Whether the cheapest trial within one standard error of the leader wins (two objectives)."""

    racing: bool = SearchOptions.racing
    """Whether trials are compared with the best complete one; those no better than chance are always stopped."""

    compares: bool = False
    """Whether given recipes are compared: no trial is stopped or waits, and each has all its repeats."""

    repeats: int = SearchOptions.repeats
    """Maximum number of extra seeds of a leading trial; in a comparison, the number of those of every trial."""

    pausing: bool = SearchOptions.pausing
    """Whether trials wait during and after fold 0, and only those that are among the best there run on."""

    rungs: Rungs = field(default_factory=Rungs)
    """Where trials wait, and the share of them that goes on first."""

    paused_before: bool = False
    """As ``StudyInfo.paused_before``."""

    patience: int = SearchOptions.patience
    """Number of consecutive trials without an improvement beyond noise after which no more start."""

    num_priors: int = 0
    """Number of trials reused from earlier studies; they have the first numbers."""

    start: int = 0
    """Number of the trial with the starting recipe."""

    margin: float = MARGIN
    error: float = ERROR
    prior_noise: float = PRIOR_NOISE

    @property
    def fold_0_chose(self) -> bool:
        """Whether fold 0 has chosen which trials run on, so that complete trials were lucky there."""
        return self.pausing or self.paused_before

    @property
    def first_look(self) -> int:
        """Number of finished folds after which a trial is first compared with the best: 2 if fold 0 has chosen."""
        return 2 if self.fold_0_chose else 1

    @property
    def metric(self) -> str:
        """The objective's name in ``leukemia.scoring.metrics``."""
        return self.objective.removeprefix("tta_")
