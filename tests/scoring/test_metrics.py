"""Scores against scikit-learn and simple references; intervals against plain resampling and simulated truth."""

import dataclasses
import math

import numpy as np
import pytest
from scipy import stats
from sklearn import metrics as reference

from leukemia.scoring.bootstrap import Tally
from leukemia.scoring.metrics import (
    METRICS,
    Interval,
    average_precision,
    confusion_matrix,
    describe_difference,
    majority_rate,
    paired_difference,
    point_scores,
    precision_recall_points,
    roc_points,
    scores,
    upper_bound,
)


def simulated(num_images: int = 600, num_groups: int = 20, seed: int = 0):
    """Labels, probabilities (rounded, to have ties), and groups of one class each, like subjects."""
    generator = np.random.default_rng(seed)
    groups = generator.permutation(np.arange(num_images) % num_groups)
    labels = (groups % 3 > 0).astype(int)
    spread = 0.1 * generator.normal(size=num_groups)[groups]
    logits = 0.5 + 0.15 * (2 * labels - 1) + spread + 0.2 * generator.normal(size=num_images)
    return labels, np.round(np.clip(logits, 0, 1), 2), groups


def expected_scores(labels, probabilities):
    """Independent values: scikit-learn, and the calibration error as a plain loop over bins."""
    predicted = (probabilities >= 0.5).astype(int)
    confidence = np.where(predicted == 1, probabilities, 1 - probabilities)
    error = 0.0
    for low in range(15):
        inside = (confidence > low / 15) & (confidence <= (low + 1) / 15)
        if inside.any():
            gap = np.mean(predicted[inside] == labels[inside]) - confidence[inside].mean()
            error += inside.mean() * abs(gap)
    return {
        "accuracy": reference.accuracy_score(labels, predicted),
        "balanced_accuracy": reference.balanced_accuracy_score(labels, predicted),
        "weighted_f1": reference.f1_score(labels, predicted, average="weighted"),
        "sensitivity": reference.recall_score(labels, predicted, pos_label=1),
        "specificity": reference.recall_score(labels, predicted, pos_label=0),
        "auroc": reference.roc_auc_score(labels, probabilities),
        "ece": error,
    }


@pytest.mark.parametrize("seed", range(5))
def test_point_scores_equal_scikit_learn(seed):
    labels, probabilities, _ = simulated(seed=seed)
    assert point_scores(labels, probabilities) == pytest.approx(expected_scores(labels, probabilities), abs=1e-12)


def test_scores_have_the_point_scores_as_values():
    labels, probabilities, groups = simulated()
    found = scores(labels, probabilities, groups, num_resamples=200)
    assert tuple(found) == METRICS
    assert {metric: each.value for metric, each in found.items()} == pytest.approx(point_scores(labels, probabilities))
    assert all(0 <= each.low <= each.value <= each.high <= 1 for each in found.values())


def test_confusion_matrix_and_roc_equal_scikit_learn():
    labels, probabilities, _ = simulated()
    expected = reference.confusion_matrix(labels, probabilities >= 0.5)
    np.testing.assert_array_equal(confusion_matrix(labels, probabilities), expected)
    false_rate, true_rate, _ = reference.roc_curve(labels, probabilities, drop_intermediate=False)
    found = roc_points(labels, probabilities)
    np.testing.assert_allclose(found[0], false_rate)
    np.testing.assert_allclose(found[1], true_rate)


def test_a_probability_of_one_half_is_leukemic():
    assert confusion_matrix([0, 1], [0.5, 0.4999]).tolist() == [[0, 1], [1, 0]]


def test_precision_and_recall_equal_scikit_learn():
    labels, probabilities, _ = simulated()
    precision, recall, _ = reference.precision_recall_curve(labels, probabilities)
    found_recall, found_precision = precision_recall_points(labels, probabilities)
    # scikit-learn ascends, and ends with a point without predictions.
    np.testing.assert_allclose(found_precision[::-1][-len(precision) + 1 :], precision[:-1])
    np.testing.assert_allclose(found_recall[::-1][-len(recall) + 1 :], recall[:-1])
    expected = reference.average_precision_score(labels, probabilities)
    assert average_precision(labels, probabilities) == pytest.approx(expected)
    assert math.isnan(average_precision([0, 0], [0.1, 0.2]))


def test_scores_are_of_the_classes_from_the_threshold():
    labels, probabilities, groups = simulated()
    found = scores(labels, probabilities, groups, threshold=0.3)
    called = probabilities >= 0.3
    assert found["accuracy"].value == reference.accuracy_score(labels, called)
    assert found["sensitivity"].value == pytest.approx(reference.recall_score(labels, called))
    assert point_scores(labels, probabilities, 0.3)["balanced_accuracy"] == found["balanced_accuracy"].value
    assert confusion_matrix(labels, probabilities, 0.3).tolist() == reference.confusion_matrix(labels, called).tolist()
    same = scores(labels, probabilities, groups)
    assert (found["auroc"], found["ece"]) == (same["auroc"], same["ece"])


def test_a_certain_and_correct_classifier_is_perfectly_calibrated():
    found = point_scores([0, 1, 1], [0.0, 1.0, 1.0])
    assert found == {metric: 0.0 if metric == "ece" else 1.0 for metric in METRICS}


def test_intervals_equal_those_of_a_bootstrap_that_repeats_rows():
    labels, probabilities, groups = simulated(num_images=200)
    # Number groups by appearance, as the code does, so that the same seed draws the same groups.
    _, groups = np.unique([list(groups).index(group) for group in groups], return_inverse=True)
    found = scores(labels, probabilities, groups, seed=3, num_resamples=100)
    draws = np.random.default_rng(3).integers(20, size=(100, 20))
    drawn = [np.concatenate([np.flatnonzero(groups == group) for group in draw]) for draw in draws]
    resampled = [expected_scores(labels[rows], probabilities[rows]) for rows in drawn]
    for metric in METRICS:
        samples = np.array([each[metric] for each in resampled])
        # Resamples of the calibration error are biased upwards, so they are centred on its value.
        shift = found[metric].value - samples.mean() if metric == "ece" else 0.0
        low, high = np.clip(np.quantile(samples + shift, [0.025, 0.975]), 0, 1)
        assert (found[metric].low, found[metric].high) == pytest.approx((low, high), abs=1e-12), metric


def test_the_calibration_error_is_inside_its_interval_despite_biased_resamples():
    generator = np.random.default_rng(0)
    probabilities = generator.random(400)
    labels = (generator.random(400) < probabilities).astype(int)
    found = scores(labels, probabilities, range(400))["ece"]
    assert 0 <= found.low < found.value < found.high


def test_intervals_of_grouped_images_are_wider_than_of_independent_ones():
    labels, probabilities, groups = simulated(num_images=2000)
    grouped = scores(labels, probabilities, groups)["accuracy"]
    single = scores(labels, probabilities, range(2000))["accuracy"]
    assert grouped.high - grouped.low > 1.5 * (single.high - single.low)


def test_intervals_are_reproducible_by_seed():
    data = simulated()
    assert scores(*data, num_resamples=100, seed=3) == scores(*data, num_resamples=100, seed=3)
    assert scores(*data, num_resamples=100, seed=3) != scores(*data, num_resamples=100, seed=4)


def test_group_names_do_not_matter():
    labels, probabilities, groups = simulated(num_images=100)
    named = [("subject", f"H{group}") for group in groups]
    assert scores(labels, probabilities, named, num_resamples=50) == scores(
        labels, probabilities, groups, num_resamples=50
    )


def test_memory_chunks_do_not_change_the_result(monkeypatch):
    data = simulated(num_images=90)
    whole = scores(*data, num_resamples=60)
    monkeypatch.setattr("leukemia.scoring.bootstrap._CHUNK_CELLS", 90 * 7)
    assert scores(*data, num_resamples=60) == whole


def test_resamples_are_scored_together(monkeypatch):
    """With ten thousand images, one resample at a time would take minutes."""
    calls, weighted = [], Tally.weighted
    monkeypatch.setattr(Tally, "weighted", lambda *given: calls.append(len(given[1])) or weighted(*given))
    scores(*simulated(num_images=90), num_resamples=1000)
    assert sorted(calls) == [1, 1000], "one call for the point, one for all resamples"


def test_resamples_without_a_class_are_skipped():
    labels, probabilities = np.array([0, 0, 1, 1]), np.array([0.2, 0.7, 0.6, 0.8])
    found = scores(labels, probabilities, ["a", "a", "b", "b"], num_resamples=200)
    # These are defined only if both groups are drawn, and all such resamples are equal.
    assert found["balanced_accuracy"] == Interval(0.75, 0.75, 0.75)
    assert found["auroc"] == Interval(0.75, 0.75, 0.75)
    assert (found["accuracy"].low, found["accuracy"].high) == (0.5, 1.0)


def test_scores_of_an_absent_class_are_undefined_and_null_in_json():
    found = scores([1, 1, 1, 1], [0.9, 0.8, 0.2, 0.7], [0, 0, 1, 1], num_resamples=100)
    for metric in ("balanced_accuracy", "specificity", "auroc"):
        assert found[metric].to_dict() == {"value": None, "low": None, "high": None}
    assert found["sensitivity"].value == found["accuracy"].value == 0.75
    assert found["weighted_f1"].value == pytest.approx(reference.f1_score([1] * 4, [1, 1, 0, 1], average="weighted"))


def test_a_single_group_has_no_interval():
    found = scores([0, 1, 1], [0.2, 0.9, 0.4], ["a", "a", "a"])["accuracy"]
    assert found.to_dict() == {"value": pytest.approx(2 / 3), "low": None, "high": None}


def test_an_interval_is_frozen_and_round_trips_through_json():
    interval = Interval(0.5, math.nan, 0.75)
    assert str(Interval.from_dict(interval.to_dict())) == str(interval)
    assert Interval.from_dict({"value": 0.0, "low": 0.0, "high": 1.0}) == Interval(0.0, 0.0, 1.0)
    with pytest.raises(dataclasses.FrozenInstanceError):
        interval.value = 1.0


def test_majority_rate():
    assert majority_rate([0, 0, 0, 1]) == majority_rate([1, 1, 1, 0]) == 0.75


def test_a_paired_difference_is_exact_antisymmetric_and_narrower_than_separate_intervals():
    labels, a, groups = simulated(num_images=2000)
    b = np.clip(a + 0.03 * np.random.default_rng(5).normal(size=2000), 0, 1)
    forth = paired_difference(labels, a, b, groups, "accuracy")
    back = paired_difference(labels, b, a, groups, "accuracy")
    alone = scores(labels, a, groups)["accuracy"]
    assert forth.value == pytest.approx(point_scores(labels, a)["accuracy"] - point_scores(labels, b)["accuracy"])
    assert (back.value, back.low, back.high) == pytest.approx((-forth.value, -forth.high, -forth.low))
    assert forth.high - forth.low < 0.5 * (alone.high - alone.low)


def test_a_model_does_not_differ_from_itself():
    labels, probabilities, groups = simulated()
    for metric in METRICS:
        assert paired_difference(labels, probabilities, probabilities, groups, metric) == Interval(0.0, 0.0, 0.0)


def test_a_paired_interval_has_about_its_nominal_coverage():
    generator, covered = np.random.default_rng(7), 0
    for trial in range(100):
        groups = np.repeat(np.arange(40), 5)
        labels = groups % 2
        correct = [generator.random(200) < share for share in (0.8, 0.7)]
        a, b = (np.where(each, labels, 1 - labels).astype(float) for each in correct)
        interval = paired_difference(labels, a, b, groups, "accuracy", num_resamples=400, seed=trial)
        covered += interval.low <= 0.1 <= interval.high
    assert 88 <= covered <= 99


@pytest.mark.parametrize(
    ("interval", "text"),
    [
        (Interval(0.012, -0.003, 0.026), "better by 1.2 points, 95 % interval -0.3 to 2.6: not significant"),
        (Interval(-0.02, -0.03, -0.01), "worse by 2.0 points, 95 % interval -3.0 to -1.0: significant"),
        (Interval(0.03, 0.001, 0.05), "better by 3.0 points, 95 % interval 0.1 to 5.0: significant"),
        (Interval(-0.0001, -0.01, 0.01), "no difference to 0.1 points, 95 % interval -1.0 to 1.0: not significant"),
        (Interval(0.02, math.nan, math.nan), "better by 2.0 points, no interval: too few groups"),
        (Interval(math.nan, math.nan, math.nan), "not defined: a class is absent"),
    ],
)
def test_a_difference_is_described_as_text(interval, text):
    assert describe_difference(interval) == text


def test_the_confidence_level_is_shown():
    assert "90 % interval" in describe_difference(Interval(0.01, 0.0, 0.02), level=0.9)


@pytest.mark.parametrize("probability", [0.1, 0.9])
def test_the_bound_of_a_constant_prediction_is_its_exact_balanced_accuracy(probability):
    labels, _, groups = simulated()
    constant = np.full(len(labels), probability)
    assert upper_bound(labels, constant, groups, "balanced_accuracy") == 0.5
    assert upper_bound(labels, constant, groups, "auroc") == 0.5
    assert upper_bound(labels, constant, groups, "accuracy") > point_scores(labels, constant)["accuracy"]


def test_upper_bound_is_one_with_fewer_than_three_groups_of_a_class():
    groups = np.repeat(np.arange(8), 10)
    labels = (groups >= 2).astype(int)
    wrong_half = np.where(np.arange(80) % 10 < 5 + (groups % 2), 1 - labels, labels)
    assert upper_bound(labels, wrong_half, groups, "balanced_accuracy") == 1.0
    assert upper_bound(labels, wrong_half, groups, "specificity") == 1.0
    assert upper_bound(labels, wrong_half, groups, "sensitivity") < 0.6


@pytest.mark.parametrize("num_groups", [3, 5, 12])
def test_upper_bound_of_equal_groups_is_the_classical_t_bound(num_groups):
    shares = np.linspace(0.3, 0.5, num_groups)
    groups = np.repeat(np.arange(num_groups), 1000)
    labels = np.arange(len(groups)) % 2
    correct = np.tile(np.arange(1000) / 1000, num_groups) < shares[groups]
    found = upper_bound(labels, np.where(correct, labels, 1 - labels), groups, "accuracy")
    margin = stats.t.ppf(0.95, num_groups - 1) * shares.std(ddof=1) / math.sqrt(num_groups)
    assert found - 0.4 == pytest.approx(margin, rel=0.08)


def test_upper_bound_without_variance_is_hoeffdings():
    labels = np.array([0, 0, 0, 0, 1, 1, 1, 1])
    found = upper_bound(labels, 1.0 - labels, range(8), "accuracy")
    assert found == pytest.approx(math.sqrt(math.log(20) / 16))


def test_upper_bound_of_an_absent_class_is_undefined():
    assert math.isnan(upper_bound([1, 1, 1], [0.2, 0.6, 0.7], [0, 1, 2], "balanced_accuracy"))


@pytest.mark.parametrize("num_groups", [4, 30])
def test_upper_bound_is_rarely_below_the_true_score(num_groups):
    generator, above = np.random.default_rng(11), 0
    for _ in range(150):
        share = np.clip(0.6 + 0.15 * generator.normal(size=num_groups), 0, 1)
        groups = np.repeat(np.arange(num_groups), 30)
        labels = np.arange(len(groups)) % 2
        correct = generator.random(len(groups)) < share[groups]
        above += upper_bound(labels, np.where(correct, labels, 1 - labels), groups, "accuracy") >= 0.6
    assert above / 150 > 0.9


def test_upper_bound_tightens_with_more_groups():
    few, many = (upper_bound(*simulated(3000, num_groups), "accuracy") for num_groups in (6, 300))
    assert many < few


def test_float32_rounding_above_one_is_accepted():
    assert point_scores([0, 1], np.array([0.0, 1.0000001], dtype=np.float32))["accuracy"] == 1.0


@pytest.mark.parametrize(
    ("labels", "probabilities", "groups", "message"),
    [
        ([], [], [], r"labels: expected a non-empty array \(n,\), got shape \(0,\)"),
        ([0, 2], [0.1, 0.2], [0, 1], r"labels: expected 0 or 1, got 2 at row 1 \(1 such rows\)"),
        ([0, 1], [0.1], [0, 1], r"probabilities: expected shape \(2,\), like the labels, got \(1,\)"),
        ([0, 1], [0.1, 1.5], [0, 1], r"probabilities: expected values in 0..1, got 1.5 at row 1"),
        ([0, 1], [math.nan, 0.5], [0, 1], r"probabilities: expected values in 0..1, got nan at row 0"),
        ([0, 1], [0.1, 0.2], [0], r"groups: expected 2 values, one per label, got 1"),
        ([0, 1], [0.1, 0.2], [0, None], r"groups: expected a group for every image, got None at row 1"),
        ([0, 1], [0.1, 0.2], ["a", math.nan], r"groups: expected a group for every image, got nan at row 1"),
    ],
)
def test_invalid_input_is_rejected(labels, probabilities, groups, message):
    with pytest.raises(ValueError, match=message):
        scores(labels, probabilities, groups)


def test_an_unknown_metric_is_rejected():
    message = r"metric: expected one of accuracy, .*, got 'f2'"
    with pytest.raises(ValueError, match=message):
        upper_bound([0, 1], [0.1, 0.9], [0, 1], "f2")
    with pytest.raises(ValueError, match=message):
        paired_difference([0, 1], [0.1, 0.9], [0.1, 0.9], [0, 1], "f2")
