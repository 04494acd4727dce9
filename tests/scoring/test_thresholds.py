"""Rules that choose a threshold, and what a threshold is worth on other patients."""

from __future__ import annotations

import math

import numpy as np
import pytest
from sklearn import metrics as reference

from leukemia.scoring.metrics import scores
from leukemia.scoring.operating_points import RATES, OperatingPoint, at_thresholds, cross_fitted
from leukemia.scoring.thresholds import RULES, choose_threshold, parse_rule


def cells(num_groups: int = 40, per_group: int = 5, seed: int = 0) -> tuple[np.ndarray, np.ndarray, list[int]]:
    """Labels, probabilities and patients; each patient has one class, and a shift of his own."""
    generator = np.random.default_rng(seed)
    groups = np.repeat(np.arange(num_groups), per_group)
    labels = (groups % 3 > 0).astype(int)
    shift = generator.normal(0, 0.4, num_groups)[groups]
    odds = 1.5 * (2 * labels - 1) + shift + generator.normal(0, 1.0, len(groups))
    return labels, np.round(1 / (1 + np.exp(-odds)), 2), groups.tolist()


@pytest.mark.parametrize(
    ("text", "rule"),
    [("Youden", "youden"), (" sensitivity=0.950 ", "sensitivity=0.95"), (".5", "0.5"), ("0.312", "0.312")],
)
def test_a_rule_has_one_spelling(text: str, rule: str) -> None:
    assert parse_rule(text) == rule
    assert parse_rule(rule) == rule


@pytest.mark.parametrize("text", ["", "sensitivity", "sensitivity=", "sensitivity=95", "specificity=0.9", "1", "nan"])
def test_another_rule_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"^expected youden, sensitivity=S, or a threshold, S and the threshold betw"):
        parse_rule(text)


@pytest.mark.parametrize("wanted", [0.5, 0.9, 0.95, 0.99])
def test_the_highest_threshold_that_reaches_a_sensitivity_is_chosen(wanted: float) -> None:
    labels, probabilities, _ = cells()
    found = choose_threshold(f"sensitivity={wanted:g}", labels, probabilities)
    sensitivity = {t: float(np.mean(probabilities[labels == 1] >= t)) for t in np.unique(probabilities)}
    assert sensitivity[found] >= wanted - 1e-12
    assert all(value < wanted for threshold, value in sensitivity.items() if threshold > found)


def test_products_that_are_rounded_up_cost_no_sensitivity() -> None:
    """0.7 * 10 is 7.000000000000001 in some orders of multiplication."""
    labels, probabilities = np.ones(10, dtype=int), np.arange(1, 11) / 10
    for wanted in range(1, 10):
        found = choose_threshold(f"sensitivity={wanted / 10:g}", labels, probabilities)
        assert int((probabilities >= found).sum()) == wanted


def test_youden_is_that_of_scikit_learn() -> None:
    labels, probabilities, _ = cells()
    false, true, thresholds = reference.roc_curve(labels, probabilities, drop_intermediate=False)
    best = float(np.max(true - false))
    found = choose_threshold("youden", labels, probabilities)
    called = probabilities >= found
    assert np.mean(called[labels == 1]) - np.mean(called[labels == 0]) == pytest.approx(best)
    # Of equal ones the lowest, in the middle between two probabilities.
    lowest = min(each for each, gain in zip(thresholds, true - false, strict=True) if gain > best - 1e-12)
    below = probabilities[probabilities < lowest].max()
    assert found == pytest.approx((lowest + below) / 2)


def test_a_rule_without_its_class_has_no_threshold() -> None:
    assert math.isnan(choose_threshold("youden", [1, 1], [0.2, 0.8]))
    assert math.isnan(choose_threshold("sensitivity=0.9", [0, 0], [0.2, 0.8]))
    assert choose_threshold("0.3", [0, 0], [0.2, 0.8]) == 0.3


@pytest.mark.parametrize("threshold", [0.2, 0.5, 0.83])
def test_fixed_thresholds_have_the_rates_of_scikit_learn_and_the_intervals_of_scores(threshold: float) -> None:
    labels, probabilities, groups = cells()
    (point,) = at_thresholds({"a": threshold}, labels, probabilities, groups, prevalence=0.1)
    called = (probabilities >= threshold).astype(int)
    for rate, label, expected in (
        ("sensitivity", 1, reference.recall_score),
        ("specificity", 0, reference.recall_score),
        ("ppv", 1, reference.precision_score),
        ("npv", 0, reference.precision_score),
    ):
        assert getattr(point, rate).value == pytest.approx(expected(labels, called, pos_label=label)), rate
    known = scores(labels, probabilities, groups, threshold=threshold)
    assert (point.sensitivity, point.specificity) == (known["sensitivity"], known["specificity"])
    # Bayes' theorem, with whole patients: of 1000, 100 are ill.
    found, sound = 100 * point.sensitivity.value, 900 * point.specificity.value
    assert point.ppv_at is not None
    assert point.npv_at is not None
    assert point.ppv_at.value == pytest.approx(found / (found + 900 - sound))
    assert point.npv_at.value == pytest.approx(sound / (sound + 100 - found))
    assert point.ppv_at.value < point.ppv.value or point.specificity.value == 1, "leukemic cells are rarer than here"
    assert OperatingPoint.from_dict(point.to_dict()) == point


def test_at_the_prevalence_of_the_images_bayes_changes_nothing() -> None:
    labels, probabilities, groups = cells()
    (point,) = at_thresholds({"a": 0.4}, labels, probabilities, groups, prevalence=float(labels.mean()))
    assert point.ppv_at is not None
    assert point.ppv_at.value == pytest.approx(point.ppv.value)


def test_predictive_values_are_undefined_if_no_image_is_called_so() -> None:
    (point,) = at_thresholds({"a": 0.99}, [0, 1], [0.1, 0.2], ["g", "h"])
    assert math.isnan(point.ppv.value)
    assert point.npv.value == 0.5
    assert OperatingPoint.from_dict(point.to_dict()).to_dict()["ppv"] == {"value": None, "low": None, "high": None}


def test_rates_are_of_thresholds_that_other_folds_chose() -> None:
    """Compared with a loop over the folds."""
    labels, probabilities, groups = cells()
    folds = np.array(groups) % 4
    found = cross_fitted(RULES, labels, probabilities, groups, folds)
    assert [point.rule for point in found] == list(RULES)
    for point in found:
        called = np.zeros(len(labels), dtype=bool)
        for fold in range(4):
            others = folds != fold
            threshold = choose_threshold(point.rule, labels[others], probabilities[others])
            called[~others] = probabilities[~others] >= threshold
        assert point.threshold == choose_threshold(point.rule, labels, probabilities)
        assert point.sensitivity.value == pytest.approx(called[labels == 1].mean())
        assert point.specificity.value == pytest.approx((~called)[labels == 0].mean())
        assert point.ppv.value == pytest.approx(labels[called].mean())
        for rate in RATES:
            interval = getattr(point, rate)
            assert interval.low <= interval.value <= interval.high, rate


def test_resamples_repeat_the_choice() -> None:
    """On the images that a threshold was chosen on, its sensitivity could never be below what was wanted."""
    labels, probabilities, groups = cells()
    rule = "sensitivity=0.9"
    (point,) = cross_fitted([rule], labels, probabilities, groups, np.array(groups) % 4)
    (fixed,) = at_thresholds({rule: point.threshold}, labels, probabilities, groups)
    assert fixed.sensitivity.value >= 0.9
    assert point.sensitivity.low < 0.9 < point.sensitivity.high
    spread, narrow = (each.specificity.high - each.specificity.low for each in (point, fixed))
    assert spread > narrow, "the threshold varies as well"
    (again,) = cross_fitted([rule], labels, probabilities, groups, np.array(groups) % 4)
    assert again == point


def test_sensitivity_is_not_overstated() -> None:
    """Over simulated studies, what is reported is what the rule reaches on new patients; on its own images it is more.

    40 studies of 20 patients: the standard error of the mean difference is about 0.01.
    """
    rule, reported, apparent, actual = "sensitivity=0.9", [], [], []
    new = cells(num_groups=600, seed=999)
    for seed in range(40):
        labels, probabilities, groups = cells(num_groups=20, seed=seed)
        (point,) = cross_fitted([rule], labels, probabilities, groups, np.array(groups) % 5, num_resamples=2)
        reported.append(point.sensitivity.value)
        apparent.append(np.mean(probabilities[labels == 1] >= point.threshold))
        actual.append(np.mean(new[1][new[0] == 1] >= point.threshold))
    assert np.mean(reported) == pytest.approx(np.mean(actual), abs=0.025)
    assert np.mean(apparent) > np.mean(reported)


def test_with_one_fold_the_threshold_is_held_fixed() -> None:
    labels, probabilities, groups = cells()
    (point,) = cross_fitted(["youden"], labels, probabilities, groups, np.zeros(len(labels), dtype=int))
    threshold = choose_threshold("youden", labels, probabilities)
    assert (point,) == at_thresholds({"youden": threshold}, labels, probabilities, groups)
