"""The search's own scores of the winner, as a delivered model keeps them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from leukemia.config.results import num_folds_text
from leukemia.scoring.baseline import verdict
from leukemia.scoring.metrics import METRICS, Interval
from leukemia.scoring.subclasses import SubclassScore
from leukemia.study.best import Best
from leukemia.study.folder import Study
from leukemia.study.headline import Headline, share_leukemic
from leukemia.study.subclasses import subclasses_of


@dataclass(frozen=True, kw_only=True)
class OutOfFold:
    """Scores over the images of a search, each predicted by the model that has not seen its fold."""

    n: int
    """Number of images."""

    protocol: str
    majority_rate: float
    share_leukemic: float | None
    """Share of leukemic images, in 0..1; None in a file of an earlier version."""

    folds: int | None
    """None in a file of an earlier version."""

    scores: Mapping[str, Interval]
    """By metric; not corrected for selecting the best of several trials."""

    headline: Headline | None
    """The corrected score; None in a file of an earlier version."""

    recipe_changed: bool
    """Whether the model was trained with another recipe than the search."""

    subclasses: tuple[SubclassScore, ...]

    @classmethod
    def of(cls, study: Study, best: Best, *, recipe_changed: bool) -> OutOfFold:
        """Those of a study's winner.

        Raises:
            UserError: the split or a prediction is missing or invalid.
        """
        return cls(
            n=best.n,
            protocol=best.protocol,
            majority_rate=best.majority_rate,
            share_leukemic=share_leukemic(study, best),
            folds=best.folds,
            scores={name: record.interval for name, record in best.scores.items()},
            headline=Headline.of(best),
            recipe_changed=recipe_changed,
            subclasses=subclasses_of(study, best),
        )

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> OutOfFold:
        """The inverse of ``to_dict``."""
        return cls(
            n=values["n"],
            protocol=values["protocol"],
            majority_rate=values["majority_rate"],
            share_leukemic=values.get("share_leukemic"),
            folds=values.get("folds"),
            scores={name: Interval.from_dict(values[name]) for name in METRICS if name in values},
            headline=None if values.get("headline") is None else Headline.from_dict(values["headline"]),
            recipe_changed=values.get("recipe_changed", False),
            subclasses=tuple(map(SubclassScore.from_dict, values.get("subclasses", []))),
        )

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "headline": None if self.headline is None else self.headline.to_dict(),
            "recipe_changed": self.recipe_changed,
            "n": self.n,
            "protocol": self.protocol,
            "majority_rate": self.majority_rate,
            "share_leukemic": self.share_leukemic,
            "folds": self.folds,
            "uncorrected": list(self.scores),
            **{name: interval.to_dict() for name, interval in self.scores.items()},
            "subclasses": [each.to_dict() for each in self.subclasses],
        }

    def describe(self) -> str:
        """What the scores are of."""
        folds = "" if self.folds is None else f", {num_folds_text(self.folds)} of the search"
        return (
            f"{self.n} images{folds}, protocol {self.protocol}. These scores are not corrected for the choice of the "
            "winner among the trials: expect lower ones on new patients."
        )

    def quote(self) -> str:
        """The score to quote of the model, from the search; empty if there is none.

        It is that of the recipe, so there is none if the recipe was changed.
        """
        return "" if self.headline is None or self.recipe_changed else self.headline.describe()

    def verdict(self) -> str:
        """A sentence if the winner is no better than always answering the more frequent class; else empty."""
        if self.headline is not None:
            return self.headline.verdict(self.scores, self.majority_rate, self.share_leukemic)
        return verdict(self.scores, self.majority_rate, self.share_leukemic, "out of fold")
