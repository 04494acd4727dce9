"""The score to quote of a study's winner: corrected for the choice of its trial."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from leukemia.config.results import score_name
from leukemia.scoring.baseline import verdict
from leukemia.scoring.metrics import Interval
from leukemia.study.best import Best
from leukemia.study.folder import Study


@dataclass(frozen=True, kw_only=True)
class Headline:
    """The score that the search maximized, corrected for selection."""

    metric: str
    """One of ``leukemia.scoring.selection.CORRECTED``."""

    interval: Interval
    num_complete: int
    """Number of complete trials that the winner was chosen from."""

    scored_on: str | None
    """As ``Best.scored_on``."""

    scored: float | None = None
    """The score before correction on these folds; None on all folds, or if an earlier version wrote it."""

    @classmethod
    def of(cls, best: Best) -> Headline:
        """That of a study's winner."""
        return cls(
            metric=score_name(best.objective).removeprefix("tta_"),
            interval=best.score.headline.interval,
            num_complete=best.num_complete,
            scored_on=best.scored_on,
            scored=None if best.scored_on is None or best.score.scored is None else best.score.scored.value,
        )

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Headline:
        """The inverse of ``to_dict``."""
        names = ("metric", "num_complete", "scored_on")
        found = {name: values[name] for name in names}
        return cls(**found, interval=Interval.from_dict(values), scored=values.get("scored"))

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "metric": self.metric,
            **self.interval.to_dict(),
            "num_complete": self.num_complete,
            "scored_on": self.scored_on,
            **({} if self.scored is None else {"scored": self.scored}),
        }

    def describe(self) -> str:
        """The score and what it is of, without a full stop."""
        name, interval = self.metric.replace("_", " ").replace("auroc", "AUROC"), self.interval
        if math.isnan(interval.value):
            return f"none, since {name} is undefined"
        bounds = "no interval: too few groups"
        if not math.isnan(interval.low):
            bounds = f"95 % interval {interval.low:.3f} to {interval.high:.3f}"
        chosen = f"corrected for the choice among {self.num_complete} complete trials"
        if self.num_complete == 1:
            chosen = "of the only complete trial"
        scored_on = "" if self.scored_on is None else f", scored on {self.scored_on}"
        if self.scored is not None and self.num_complete > 1:
            scored_on += f" (uncorrected on the same images: {self.scored:.3f})"
        return f"{name} {interval.value:.3f} ({bounds}), out of fold, {chosen}{scored_on}"

    def verdict(self, scores: Mapping[str, Interval], majority_rate: float, share: float | None) -> str:
        """A sentence if the winner is no better than always answering the more frequent class; empty if it is better.

        The corrected score replaces the one in ``scores``: of many trials that only guess, the best is above chance.

        Args:
            scores: out-of-fold scores by metric.
            majority_rate: share of the more frequent class, in 0.5..1.
            share: of leukemic images, in 0..1; None if it is not known.
        """
        judged = {**scores, self.metric: self.interval}
        return verdict(judged, majority_rate, share, "out of fold", corrected=self.metric)


def share_leukemic(study: Study, best: Best) -> float:
    """Share of leukemic images among those that the winner was scored on, in 0..1.

    Raises:
        UserError: predictions are missing or invalid.
    """
    return float(best.out_of_fold(study)["label"].mean())


def winner_verdict(study: Study, best: Best) -> str:
    """``Headline.verdict`` of a study's winner.

    Raises:
        UserError: predictions are missing or invalid.
    """
    scores = {name: record.interval for name, record in best.scores.items()}
    return Headline.of(best).verdict(scores, best.majority_rate, share_leukemic(study, best))
