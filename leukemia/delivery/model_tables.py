"""Tables of scores that the page and the card of a delivered model share."""

from __future__ import annotations

import pandas as pd

from leukemia.delivery.delivery import Delivery
from leukemia.delivery.evaluation import Evaluation
from leukemia.reporting.operating_points import thresholds_table
from leukemia.reporting.page import metrics_table
from leukemia.scoring.metrics import majority_rate


def tested_table(scored: Evaluation) -> pd.DataFrame:
    """Scores by image of a test set that has labels."""
    assert scored.scores is not None
    return metrics_table(scored.scores, majority_rate(scored.labels))


def out_of_fold_table(delivery: Delivery) -> pd.DataFrame:
    """Those of the search, not corrected for selection."""
    return metrics_table(delivery.out_of_fold.scores, delivery.out_of_fold.majority_rate)


def thresholds_of(delivery: Delivery) -> list[tuple[str, ...]] | None:
    """What each threshold is worth, on the test set if it has labels, else out of fold; None if that is not known."""
    rule, scored, out_of_fold = delivery.record.decision.rule, delivery.scored, delivery.out_of_fold
    if scored is not None:
        return thresholds_table(scored.operating_points, rule, scored.choice.prevalence)
    if out_of_fold.operating_points:
        return thresholds_table(out_of_fold.operating_points, rule, out_of_fold.prevalence)
    return None


def rates_on(delivery: Delivery) -> str:
    """What the rates of ``thresholds_of`` are of."""
    if delivery.scored is not None:
        return "those on the test set"
    if delivery.out_of_fold.cross_fitted:
        return "those of folds that did not choose them"
    return "those of the images that they were chosen on, and so too good"
