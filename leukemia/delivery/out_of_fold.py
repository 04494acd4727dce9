"""The search's own scores of the winner, as a delivered model keeps them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from leukemia.base.errors import UserError
from leukemia.config.results import num_folds_text
from leukemia.scoring.baseline import verdict
from leukemia.scoring.bootstrap import THRESHOLD
from leukemia.scoring.calibration import Calibration, cross_tempered, fit_temperature, tempered
from leukemia.scoring.metrics import METRICS, Interval
from leukemia.scoring.operating_points import OperatingPoint, cross_fitted
from leukemia.scoring.subclasses import SubclassScore
from leukemia.scoring.thresholds import RULES
from leukemia.study.best import Best
from leukemia.study.decision import Decision
from leukemia.study.folder import Study
from leukemia.study.headline import Headline, share_leukemic
from leukemia.study.subclasses import subclasses_of

PREVALENCE = "prevalence"
"""Field of ``metrics.json``."""


@dataclass(frozen=True, kw_only=True)
class Choosing:
    """The out-of-fold images on which temperature and thresholds are chosen: those of the folds that chose no trial."""

    labels: np.ndarray
    """int64 (n,)."""

    groups: list[str]
    folds: np.ndarray
    """int64 (n,), the fold in which each image was validated."""

    probabilities: np.ndarray
    """float64 (n,), of class 1, of the networks."""

    @classmethod
    def of(cls, study: Study, best: Best) -> Choosing:
        """Those of a study's winner, for its first seed.

        Raises:
            UserError: predictions are missing or invalid.
        """
        table = best.out_of_fold(study)
        if best.score.scored_folds is not None:
            table = table[table["fold"].isin(best.score.scored_folds)]
        return cls(
            labels=table["label"].to_numpy(dtype=np.int64),
            groups=table["group"].astype(str).tolist(),
            folds=table["fold"].to_numpy(dtype=np.int64),
            probabilities=table["probability_leukemic"].to_numpy(dtype=np.float64),
        )

    def scaled(self, temperature: float) -> np.ndarray:
        """float64 (n,), of class 1, of each fold at the temperature that the other folds give.

        Args:
            temperature: of the model. If it is 1, its probabilities are not scaled, and neither are these.
        """
        if temperature == 1:
            return self.probabilities
        return cross_tempered(self.labels, self.probabilities, self.folds)


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
    operating_points: tuple[OperatingPoint, ...]
    """Of ``RULES`` and the model's own rule; empty in a file of an earlier version."""

    prevalence: float | None
    """At which the operating points have predictive values, too."""

    calibration: Calibration | None
    """None in a file of an earlier version."""

    cross_fitted: bool
    """Whether thresholds and temperature were judged on other folds than they were chosen on; not with one fold."""

    @classmethod
    def of(
        cls,
        study: Study,
        best: Best,
        *,
        recipe_changed: bool,
        rule: str,
        temperature: float | None = None,
        prevalence: float | None = None,
    ) -> OutOfFold:
        """Those of a study's winner.

        Args:
            rule: of the model's threshold, as of ``leukemia.scoring.thresholds.parse_rule``.
            temperature: of the model; None to fit it.
            prevalence: as for ``leukemia.scoring.operating_points.cross_fitted``.

        Raises:
            UserError: the split or a prediction is missing or invalid.
        """
        choosing = Choosing.of(study, best)
        labels, groups, folds = choosing.labels, choosing.groups, choosing.folds
        fitted = fit_temperature(labels, choosing.probabilities) if temperature is None else temperature
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
            operating_points=cross_fitted(
                tuple(dict.fromkeys((*RULES, rule))),
                labels,
                tempered(choosing.probabilities, fitted),
                groups,
                folds,
                prevalence=prevalence,
            ),
            prevalence=prevalence,
            calibration=Calibration.of(
                labels,
                choosing.probabilities,
                groups,
                temperature=fitted,
                after=choosing.scaled(fitted),
            ),
            cross_fitted=len(np.unique(folds)) > 1,
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
            operating_points=tuple(map(OperatingPoint.from_dict, values.get("operating_points", []))),
            prevalence=values.get(PREVALENCE),
            calibration=None if values.get("calibration") is None else Calibration.from_dict(values["calibration"]),
            cross_fitted=values.get("cross_fitted", True),
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
            PREVALENCE: self.prevalence,
            "cross_fitted": self.cross_fitted,
            "operating_points": [each.to_dict() for each in self.operating_points],
            "calibration": None if self.calibration is None else self.calibration.to_dict(),
        }

    @property
    def thresholds(self) -> dict[str, float]:
        """The chosen thresholds by rule."""
        return {each.rule: each.threshold for each in self.operating_points}

    def decision(self, rule: str) -> Decision:
        """Temperature and threshold of a model whose threshold is chosen by this rule, one of ``thresholds``.

        Raises:
            UserError: a class that the rule needs is absent.
        """
        assert self.calibration is not None
        threshold = self.thresholds[rule]
        if math.isnan(threshold):
            raise UserError(
                f"--threshold {rule}: the out-of-fold images that it is chosen on lack a class; give a number instead"
            )
        return Decision(rule=rule, threshold=threshold, temperature=self.calibration.temperature)

    def describe(self) -> str:
        """What the scores are of."""
        folds = "" if self.folds is None else f", {num_folds_text(self.folds)} of the search"
        return (
            f"{self.n} images{folds}, protocol {self.protocol}. These scores are not corrected for the choice of the "
            "winner among the trials: expect lower ones on new patients. Classes are from a probability of 0.5 on, and "
            "probabilities are not scaled."
        )

    def describe_choice(self) -> str:
        """How thresholds and temperature were chosen and judged."""
        scored_on = "" if self.headline is None or self.headline.scored_on is None else f", {self.headline.scored_on}"
        return f"Chosen on the out-of-fold images of the winner{scored_on}."

    def quote(self, threshold: float) -> str:
        """The score to quote of the model, from the search; empty if there is none.

        It is that of the recipe, so there is none if the recipe was changed.

        Args:
            threshold: of the model, which need not be that of the search.
        """
        if self.headline is None or self.recipe_changed:
            return ""
        is_other = threshold != THRESHOLD and self.headline.metric != "auroc"
        note = f", with classes from {THRESHOLD} on (the model's are from {threshold:.3g} on)" if is_other else ""
        return f"{self.headline.describe()}{note}"

    def verdict(self) -> str:
        """A sentence if the winner is no better than always answering the more frequent class; else empty."""
        if self.headline is not None:
            return self.headline.verdict(self.scores, self.majority_rate, self.share_leukemic)
        return verdict(self.scores, self.majority_rate, self.share_leukemic, "out of fold")
