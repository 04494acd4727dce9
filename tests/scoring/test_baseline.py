"""A model is compared with a constant answer."""

from __future__ import annotations

import math

import numpy as np
import pytest
from sklearn import metrics as reference

from leukemia.scoring.baseline import constant_score, verdict
from leukemia.scoring.metrics import Interval, majority_rate, scores


@pytest.mark.parametrize("share", [0.3, 0.5, 0.8])
def test_constant_scores_equal_those_of_a_constant_prediction(share: float) -> None:
    labels = (np.arange(200) < 200 * share).astype(int)
    constant = np.full(200, int(share >= 0.5))
    rate = majority_rate(labels)
    assert constant_score("accuracy", rate) == pytest.approx(reference.accuracy_score(labels, constant))
    assert constant_score("weighted_f1", rate) == pytest.approx(
        reference.f1_score(labels, constant, average="weighted", zero_division=0)
    )
    assert constant_score("balanced_accuracy", rate) == reference.balanced_accuracy_score(labels, constant)
    assert constant_score("auroc", rate) == reference.roc_auc_score(labels, constant)


def judged(balanced: Interval, accuracy: float = 0.9, **others: Interval) -> str:
    found = {"balanced_accuracy": balanced, "accuracy": Interval(accuracy, 0.0, 1.0), **others}
    return verdict(found, 0.7, 0.7, "on the test set", corrected=next(iter(others), ""))


def test_what_is_said_depends_on_the_interval_of_balanced_accuracy() -> None:
    assert judged(Interval(0.60, 0.51, 0.69)) == ""
    assert judged(Interval(0.60, 0.49, 0.69)) == (
        "Not shown to be better than always answering leukemic, on the test set: balanced accuracy 0.600 (0.490 to "
        "0.690), a constant answer has 0.500."
    )
    assert judged(Interval(0.50, 0.50, 0.50)).startswith("No better than always answering leukemic, ")
    assert judged(Interval(0.60, math.nan, math.nan)) == "", "too few groups for an interval"
    assert judged(Interval(math.nan, math.nan, math.nan), accuracy=0.1) == "", "the test set has one class only"


def test_a_model_that_is_right_less_often_is_named_even_if_it_tells_the_classes_apart() -> None:
    found = judged(Interval(0.75, 0.70, 0.80), accuracy=0.7)
    assert found.startswith("No better in accuracy than always answering leukemic, on the test set: accuracy 0.700 (")
    assert found.endswith("a constant answer has 0.700.")


def test_the_corrected_score_is_judged_as_well() -> None:
    found = judged(Interval(0.60, 0.51, 0.69), auroc=Interval(0.53, 0.48, 0.6))
    assert "corrected AUROC 0.530 (0.480 to 0.600), a constant answer has 0.500" in found
    assert "balanced" not in found
    assert "weighted F1" in judged(Interval(0.60, 0.51, 0.69), weighted_f1=Interval(0.57, 0.5, 0.6))
    assert judged(Interval(0.60, 0.51, 0.69), auroc=Interval(math.nan, math.nan, math.nan)) == "", "undefined"


def test_a_constant_model_is_found_out_and_a_good_one_is_not() -> None:
    generator = np.random.default_rng(0)
    labels, groups = np.repeat([0, 1, 1], 40), np.repeat(np.arange(24), 5)
    guesses = {"constant": np.full(120, 0.7), "random": generator.uniform(size=120)}
    for name, probabilities in guesses.items():
        assert verdict(scores(labels, probabilities, groups), 2 / 3, 2 / 3, "here"), name
    good = np.clip(labels + generator.normal(0, 0.4, 120), 0, 1)
    assert verdict(scores(labels, good, groups), 2 / 3, 2 / 3, "here") == ""
