"""What a delivered model's folder says about it: scores, predictions, provenance, limitations."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias

import pandas as pd

from leukemia.config.recipe import Recipe
from leukemia.delivery.caveats import on_test
from leukemia.delivery.evaluation import Evaluation
from leukemia.delivery.out_of_fold import OutOfFold
from leukemia.scoring.metrics import (
    THRESHOLD,
    Interval,
    average_precision,
    confusion_matrix,
    describe_difference,
    majority_rate,
)
from leukemia.study.ensemble import describe_model
from leukemia.study.models import ModelRecord

Difference: TypeAlias = tuple[str, dict[str, Interval]]
"""Name of another model, and the paired difference on the test set by metric."""

NOT_OF_THE_ENSEMBLE = "it is of single models, each trained without one fold, not of the ensemble"
NOT_COMPARED = "Not compared with the single model: leukemia.final does that on a --test with labels."


@dataclass(frozen=True, kw_only=True)
class Delivery:
    """All that is written to a model's folder but the model itself."""

    recipe: Recipe
    """As trained."""

    epochs: pd.DataFrame
    """Of the training, with the fields of ``Epoch``."""

    record: ModelRecord
    out_of_fold: OutOfFold
    training_caveats: tuple[str, ...]
    """Limitations that do not depend on a test set, one sentence each."""

    test_name: str
    """Of the folder for the results on the test set; empty without one."""

    evaluation: Evaluation | None
    difference: Difference | None

    @property
    def scored(self) -> Evaluation | None:
        """The evaluation if the test set has labels, and so scores."""
        return None if self.evaluation is None or self.evaluation.scores is None else self.evaluation

    def verdicts(self) -> list[str]:
        """Sentences if the model is no better than a constant answer, on the test set or out of fold; every output has
        them first."""
        tested = "" if self.evaluation is None else self.evaluation.verdict()
        return [each for each in (tested, self.out_of_fold.verdict()) if each]

    def quote(self) -> str:
        """The score to quote; empty if there is none. The search has none of an ensemble."""
        quote = self.out_of_fold.quote(self.record.decision.threshold)
        return quote if not quote or self.record.ensemble is None else f"{quote}; {NOT_OF_THE_ENSEMBLE}"

    def describe(self) -> str:
        """The model in one line."""
        return describe_model(self.recipe, self.record.ensemble)

    def caveats(self) -> list[str]:
        """Limitations that affect the scores, one sentence each."""
        if self.evaluation is None:
            return list(self.training_caveats)
        return [*self.training_caveats, *on_test(self.evaluation, self.record.share_leukemic)]

    def metrics(self) -> dict[str, Any]:
        """The content of ``metrics.json``, as ``MetricsRecord``."""
        difference = None
        if self.difference is not None:
            against, intervals = self.difference
            difference = {"against": against, **{name: interval.to_dict() for name, interval in intervals.items()}}
        return {
            "verdict": self.verdicts(),
            "quote": self.quote(),
            "test": None if self.scored is None else _test_metrics(self.scored),
            "out_of_fold": self.out_of_fold.to_dict(),
            "difference": difference,
            "caveats": self.caveats(),
        }

    def describe_test(self) -> str:
        """The test set as a sentence."""
        if self.evaluation is None:
            return "No test set was given; only the out-of-fold scores of the search are available."
        catalog = self.evaluation.catalog
        of_whom = f" of {catalog.table['subject'].nunique()} subjects" if catalog.has_subjects else ""
        images = f"{len(catalog.table)} test images{of_whom}"
        if self.scored is None:
            return f"{images} without labels: predictions only, no scores."
        tta = self.recipe.evaluate.tta
        threshold = f"classes from a probability of {self.record.decision.threshold:.3g} on"
        return f"{images}, predicted with test-time augmentation ({tta}), {threshold}; 95 % intervals."

    def describe_difference(self) -> list[str]:
        """The comparison with another model as a sentence; empty if there was none, which an ensemble says."""
        if self.difference is None:
            return [] if self.record.ensemble is None else [NOT_COMPARED]
        against, intervals = self.difference
        threshold = "" if self.record.decision.threshold == THRESHOLD else f" (classes from {THRESHOLD} on)"
        differences = "; ".join(
            f"{name.replace('_', ' ')} {describe_difference(interval)}" for name, interval in intervals.items()
        )
        return [f"Compared with {against} on the same test images{threshold}: {differences}."]


def _test_metrics(evaluation: Evaluation) -> dict[str, Any]:
    assert evaluation.scores is not None
    assert evaluation.calibration is not None
    labels, left_out, choice = evaluation.labels, evaluation.left_out, evaluation.choice
    return {
        "n": len(labels),
        "left_out": 0 if left_out is None else left_out.total,
        "left_out_reasons": [] if left_out is None else left_out.reasons(),
        "protocol": evaluation.protocol,
        "overlap": list(evaluation.overlap),
        "majority_rate": majority_rate(labels),
        "share_leukemic": float(labels.mean()),
        "confusion": confusion_matrix(labels, evaluation.probabilities, choice.decision.threshold).tolist(),
        **{name: interval.to_dict() for name, interval in evaluation.scores.items()},
        "average_precision": average_precision(labels, evaluation.probabilities),
        "subclasses": [each.to_dict() for each in evaluation.subclasses],
        "threshold": choice.decision.threshold,
        "prevalence": choice.prevalence,
        "operating_points": [each.to_dict() for each in evaluation.operating_points],
        "calibration": evaluation.calibration.to_dict(),
        "patients": None if evaluation.patient_scores is None else evaluation.patient_scores.to_dict(),
    }
