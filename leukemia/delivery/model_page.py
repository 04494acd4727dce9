"""The page and the card of a delivered model."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from leukemia.base.checksums import sha256_of
from leukemia.delivery.card import card
from leukemia.delivery.delivery import Delivery
from leukemia.delivery.results import Tested
from leukemia.reporting.operating_points import calibration_table, thresholds_table
from leukemia.reporting.page import Section, metrics_table, write_page
from leukemia.reporting.subclasses import subclass_sections
from leukemia.scoring.metrics import majority_rate
from leukemia.study import layout

CROSS_FITTED = (
    "The images of each fold are classified by the threshold that its rule chooses on the other folds; intervals are "
    "from a bootstrap over groups that repeats the choice."
)
APPARENT = (
    "There is one fold only: the rates are those of the images that the thresholds were chosen on, and so too good; "
    "intervals are from a bootstrap over groups, with the thresholds fixed."
)
FIXED = (
    "The thresholds were chosen out of fold, not on these images; intervals are from a bootstrap over groups, with the "
    "thresholds fixed."
)
PREDICTIVE = (
    "PPV and NPV, the shares of correct images among those that are called leukemic and normal, depend on the share of "
    "leukemic ones: here that of these images, unless another one is stated."
)
CALIBRATED = (
    "Brier score and negative log-likelihood are means over images; the calibration error is the mean difference "
    "between P(leukemic) and the share of leukemic images in 15 bins. 0 is best."
)


def write_model_page(folder: Path, delivery: Delivery) -> None:
    """Write ``report.html``; the pictures must be in the folder."""
    title = f"Model of study {delivery.record.study}, trial {delivery.record.trial}"
    write_page(folder / layout.REPORT, title, delivery.recipe.describe(), _sections(folder, delivery))


def card_of(folder: Path, delivery: Delivery, tested: Sequence[Tested]) -> str:
    """The text of the card.

    Args:
        folder: of the model; it has the weights.
        tested: all test sets of the model.
    """
    scores = _out_of_fold_table(delivery) if delivery.scored is None else _test_table(delivery)
    return card(
        delivery.recipe,
        verdicts=delivery.verdicts(),
        quote=delivery.quote(),
        scored_on="out of fold, not corrected for selection" if delivery.scored is None else "on the test set",
        decision=delivery.record.decision.describe(),
        rates_on=_rates_on(delivery),
        thresholds=_thresholds(delivery),
        sentences=[delivery.describe_test(), *delivery.describe_difference()],
        scores=scores.to_numpy().tolist(),
        tested=tested,
        caveats=delivery.caveats(),
        provenance=[
            (f"{layout.WEIGHTS} SHA-256", sha256_of(folder / layout.WEIGHTS)),
            *delivery.record.provenance(),
        ],
    )


def _sections(folder: Path, delivery: Delivery) -> list[Section]:
    evaluation, record = delivery.evaluation, delivery.record
    return [
        *_first_section(delivery),
        _test_section(folder, delivery),
        *_tested_choice_sections(delivery),
        *subclass_sections(() if evaluation is None else evaluation.subclasses, "of the test set"),
        Section(
            title="Out of fold, not corrected",
            text=delivery.out_of_fold.describe(),
            table=_out_of_fold_table(delivery),
        ),
        *_choice_sections(folder, delivery),
        *subclass_sections(delivery.out_of_fold.subclasses, "out of fold"),
        Section(
            title="Training",
            text=f"Retrained on all {record.num_training_images} training images.",
            pictures=[(folder / layout.CURVES, "retraining")],
        ),
        Section(
            title="Recipe",
            text="All settings.",
            table=[("field", "value"), *((key, str(value)) for key, value in sorted(delivery.recipe.flat().items()))],
        ),
        Section(title="Provenance", text="", table=[("item", "value"), *record.provenance()]),
    ]


def _first_section(delivery: Delivery) -> list[Section]:
    """What a reader must know first."""
    quote = delivery.quote()
    text = "\n\n".join([*delivery.verdicts(), *([f"The score to quote: {quote}."] if quote else [])])
    return [Section(title="Result", text=text)] if text else []


def _test_section(folder: Path, delivery: Delivery) -> Section:
    text = "\n\n".join([delivery.describe_test(), *delivery.describe_difference(), *delivery.caveats()])
    if delivery.scored is None:
        return Section(title="Test set", text=text)
    pictures = [
        (folder / layout.CONFUSION, "confusion matrix of the test set"),
        (folder / layout.ROC, "receiver operating characteristic of the test set"),
        (folder / layout.PRECISION_RECALL, "precision and recall of leukemic images of the test set"),
        (folder / layout.CALIBRATION, "calibration of P(leukemic) on the test set"),
    ]
    return Section(title="Test set", text=text, table=_test_table(delivery), pictures=pictures)


def _rates_on(delivery: Delivery) -> str:
    if delivery.scored is not None:
        return "those on the test set"
    if delivery.out_of_fold.cross_fitted:
        return "those of folds that did not choose them"
    return "those of the images that they were chosen on, and so too good"


def _thresholds(delivery: Delivery) -> list[tuple[str, ...]] | None:
    """What each threshold is worth, on the test set if it has labels, else out of fold; None if that is not known."""
    rule, scored, out_of_fold = delivery.record.decision.rule, delivery.scored, delivery.out_of_fold
    if scored is not None:
        return thresholds_table(scored.operating_points, rule, scored.choice.prevalence)
    if out_of_fold.operating_points:
        return thresholds_table(out_of_fold.operating_points, rule, out_of_fold.prevalence)
    return None


def _tested_choice_sections(delivery: Delivery) -> list[Section]:
    """Thresholds and calibration on the test set; empty if it has no labels."""
    scored = delivery.scored
    if scored is None:
        return []
    assert scored.calibration is not None
    return [
        Section(
            title="Thresholds on the test set",
            text=f"{FIXED} {PREDICTIVE}",
            table=_thresholds(delivery),
        ),
        Section(
            title="Calibration on the test set",
            text=f"The probabilities of the network, and those of the model. {CALIBRATED}",
            table=calibration_table(scored.calibration),
        ),
    ]


def _choice_sections(folder: Path, delivery: Delivery) -> list[Section]:
    """How threshold and temperature were chosen; empty if an earlier version delivered the model."""
    found, decision = delivery.out_of_fold, delivery.record.decision
    if found.calibration is None:
        return []
    picture = folder / layout.SCALING
    judged = CROSS_FITTED if found.cross_fitted else APPARENT
    scaled = ", in each fold by that of the other folds" if found.cross_fitted else ", which was fitted on these images"
    return [
        Section(
            title="Threshold",
            text=f"An image is called {decision.describe()}. {found.describe_choice()} {judged} {PREDICTIVE}",
            table=thresholds_table(found.operating_points, decision.rule, found.prevalence),
        ),
        Section(
            title="Calibration",
            text=(
                f"{found.describe_choice()} Before and after the log-odds are divided by the temperature{scaled}. "
                f"{CALIBRATED}"
            ),
            table=calibration_table(found.calibration),
            pictures=[(picture, "calibration of P(leukemic) out of fold")] if picture.is_file() else [],
        ),
    ]


def _test_table(delivery: Delivery) -> pd.DataFrame:
    evaluation = delivery.scored
    assert evaluation is not None
    assert evaluation.scores is not None
    return metrics_table(evaluation.scores, majority_rate(evaluation.labels))


def _out_of_fold_table(delivery: Delivery) -> pd.DataFrame:
    return metrics_table(delivery.out_of_fold.scores, delivery.out_of_fold.majority_rate)
