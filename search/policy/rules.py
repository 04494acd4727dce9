"""The rules of a race: racing, repeats, patience and statistical parameters."""

from __future__ import annotations

from dataclasses import dataclass

from leukemia.study.schema import SearchOptions
from search.policy.judge import ERROR, MARGIN, PRIOR_NOISE


@dataclass(frozen=True, kw_only=True)
class Rules:
    """How a search is raced."""

    num_folds: int
    objective: str
    """Score of a fold that is maximized, such as ``tta_accuracy``."""

    by_cost: bool = False
    """Whether the cheapest of those that the leader does not clearly beat wins (two objectives)."""

    racing: bool = SearchOptions.racing
    """Whether trials are stopped against the best complete one; the hopeless are always stopped."""

    repeats: int = SearchOptions.repeats
    """Other seeds that a leading trial gets at most."""

    patience: int = SearchOptions.patience
    """Trials in a row without an improvement beyond noise, after which no more begin."""

    num_priors: int = 0
    """Trials taken over from earlier studies: the first numbers."""

    start: int = 0
    """Number of the starting recipe's trial."""

    margin: float = MARGIN
    error: float = ERROR
    prior_noise: float = PRIOR_NOISE

    @property
    def metric(self) -> str:
        """The objective's name in ``leukemia.scoring.metrics``."""
        return self.objective.removeprefix("tta_")
