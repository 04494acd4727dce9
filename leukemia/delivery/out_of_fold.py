"""The search's own scores of the winner, as a delivered model keeps them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from leukemia.config.results import num_folds_text
from leukemia.scoring.metrics import METRICS, Interval
from leukemia.scoring.subclasses import SubclassScore
from leukemia.study.best import Best


@dataclass(frozen=True, kw_only=True)
class OutOfFold:
    """Scores over the images of a search, each predicted by the model that has not seen its fold."""

    n: int
    """Number of images."""

    protocol: str
    majority_rate: float
    folds: int | None
    """None in a file of an earlier version."""

    scores: Mapping[str, Interval]
    """By metric; not corrected for selecting the best of several trials."""

    subclasses: tuple[SubclassScore, ...]

    @classmethod
    def of(cls, best: Best, subclasses: tuple[SubclassScore, ...]) -> OutOfFold:
        """Those of a study's winner."""
        return cls(
            n=best.n,
            protocol=best.protocol,
            majority_rate=best.majority_rate,
            folds=best.folds,
            scores={name: record.interval for name, record in best.scores.items()},
            subclasses=subclasses,
        )

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> OutOfFold:
        """The inverse of ``to_dict``."""
        return cls(
            n=values["n"],
            protocol=values["protocol"],
            majority_rate=values["majority_rate"],
            folds=values.get("folds"),
            scores={name: Interval.from_dict(values[name]) for name in METRICS if name in values},
            subclasses=tuple(map(SubclassScore.from_dict, values.get("subclasses", []))),
        )

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "n": self.n,
            "protocol": self.protocol,
            "majority_rate": self.majority_rate,
            "folds": self.folds,
            **{name: interval.to_dict() for name, interval in self.scores.items()},
            "subclasses": [each.to_dict() for each in self.subclasses],
        }

    def describe(self) -> str:
        """As one sentence."""
        folds = "" if self.folds is None else f", {num_folds_text(self.folds)} of the search"
        return f"{self.n} images{folds}, protocol {self.protocol}."
