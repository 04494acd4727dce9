"""The score to quote, as text and in JSON."""

from __future__ import annotations

import dataclasses
import json
import math
from pathlib import Path

import pytest

from leukemia.scoring.metrics import Interval
from leukemia.study.best import Best
from leukemia.study.folder import Study
from leukemia.study.headline import Headline, share_leukemic, winner_verdict

EXAMPLE = Path(__file__).parents[1] / "example_study"

ON_OTHERS = "folds 2 to 5, because fold 1 chose which trials ran on"


def headline(interval: Interval, metric: str = "accuracy", num: int = 12, scored_on: str | None = None) -> Headline:
    return Headline(metric=metric, interval=interval, num_complete=num, scored_on=scored_on)


@pytest.mark.parametrize(
    ("found", "text"),
    [
        (
            headline(Interval(0.8734, 0.851, 0.894)),
            "accuracy 0.873 (95 % interval 0.851 to 0.894), out of fold, corrected for the choice among 12 complete "
            "trials",
        ),
        (
            headline(Interval(0.87, math.nan, math.nan), "auroc", num=1, scored_on=ON_OTHERS),
            "AUROC 0.870 (no interval: too few groups), out of fold, of the only complete trial, scored on "
            f"{ON_OTHERS}",
        ),
        (
            dataclasses.replace(headline(Interval(0.783, 0.716, 0.843), scored_on=ON_OTHERS), scored=0.7917),
            "accuracy 0.783 (95 % interval 0.716 to 0.843), out of fold, corrected for the choice among 12 complete "
            f"trials, scored on {ON_OTHERS} (uncorrected on the same images: 0.792)",
        ),
        (
            headline(Interval(math.nan, math.nan, math.nan), "balanced_accuracy"),
            "none, since balanced accuracy is undefined",
        ),
    ],
)
def test_it_says_what_it_is_of(found: Headline, text: str) -> None:
    assert found.describe() == text
    again = Headline.from_dict(json.loads(json.dumps(found.to_dict())))
    assert again.describe() == text


def test_the_best_of_many_that_guess_is_judged_by_its_corrected_score() -> None:
    lucky = {"accuracy": Interval(0.74, 0.7, 0.78), "balanced_accuracy": Interval(0.56, 0.51, 0.61)}
    assert headline(Interval(0.71, 0.66, 0.75)).verdict(lucky, 0.68, 0.68) == ""
    found = headline(Interval(0.67, 0.62, 0.72)).verdict(lucky, 0.68, 0.68)
    assert found == (
        "No better in accuracy than always answering leukemic, out of fold: corrected accuracy 0.670 (0.620 to 0.720), "
        "a constant answer has 0.680."
    )


def test_the_winner_of_the_example_is_better_than_a_constant_answer() -> None:
    study = Study.open(EXAMPLE)
    best = Best.of(study)
    assert share_leukemic(study, best) == 0.5
    assert winner_verdict(study, best) == ""
    assert (
        Headline.of(best).describe().startswith("accuracy 0.979 (95 % interval 0.917 to 1.000), out of fold, corrected")
    )
