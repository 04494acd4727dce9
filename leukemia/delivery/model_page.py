"""The page and the card of a delivered model."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from leukemia.delivery.card import card
from leukemia.delivery.delivery import Delivery
from leukemia.delivery.results import Tested
from leukemia.reporting.page import Section, metrics_table, write_page
from leukemia.reporting.subclasses import subclass_sections
from leukemia.scoring.metrics import majority_rate
from leukemia.study import layout


def write_model_page(folder: Path, delivery: Delivery) -> None:
    """Write ``report.html``; the pictures must be in the folder."""
    title = f"Model of study {delivery.record.study}, trial {delivery.record.trial}"
    write_page(folder / layout.REPORT, title, delivery.recipe.describe(), _sections(folder, delivery))


def card_of(delivery: Delivery, tested: Sequence[Tested]) -> str:
    """The text of the card.

    Args:
        tested: all test sets of the model.
    """
    scores = _out_of_fold_table(delivery) if delivery.scored is None else _test_table(delivery)
    return card(
        delivery.recipe,
        verdicts=delivery.verdicts(),
        quote=delivery.out_of_fold.quote(),
        scored_on="out of fold, not corrected for selection" if delivery.scored is None else "on the test set",
        sentences=[delivery.describe_test(), *delivery.describe_difference()],
        scores=scores.to_numpy().tolist(),
        tested=tested,
        caveats=delivery.caveats(),
        provenance=delivery.record.provenance(),
    )


def _sections(folder: Path, delivery: Delivery) -> list[Section]:
    evaluation, record = delivery.evaluation, delivery.record
    return [
        *_first_section(delivery),
        _test_section(folder, delivery),
        *subclass_sections(() if evaluation is None else evaluation.subclasses, "of the test set"),
        Section(
            title="Out of fold, not corrected",
            text=delivery.out_of_fold.describe(),
            table=_out_of_fold_table(delivery),
        ),
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
    quote = delivery.out_of_fold.quote()
    text = "\n\n".join([*delivery.verdicts(), *([f"The score to quote: {quote}."] if quote else [])])
    return [Section(title="Result", text=text)] if text else []


def _test_section(folder: Path, delivery: Delivery) -> Section:
    text = "\n\n".join([delivery.describe_test(), *delivery.describe_difference(), *delivery.caveats()])
    if delivery.scored is None:
        return Section(title="Test set", text=text)
    pictures = [
        (folder / layout.CONFUSION, "confusion matrix of the test set"),
        (folder / layout.ROC, "receiver operating characteristic of the test set"),
        (folder / layout.CALIBRATION, "calibration on the test set"),
    ]
    return Section(title="Test set", text=text, table=_test_table(delivery), pictures=pictures)


def _test_table(delivery: Delivery) -> pd.DataFrame:
    evaluation = delivery.scored
    assert evaluation is not None
    assert evaluation.scores is not None
    return metrics_table(evaluation.scores, majority_rate(evaluation.labels))


def _out_of_fold_table(delivery: Delivery) -> pd.DataFrame:
    return metrics_table(delivery.out_of_fold.scores, delivery.out_of_fold.majority_rate)
