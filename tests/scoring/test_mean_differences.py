"""Differences of mean scores: against the paired jackknife, Welch's test and known variances."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from scipy.stats import t, ttest_ind

from leukemia.scoring.jackknife import paired_jackknife, student_interval
from leukemia.scoring.mean_differences import JackknifedScores, difference_of_means, difference_of_pairs, jackknifed
from leukemia.scoring.metrics import Interval, describe_difference


def images(seed: int, *, runs: int, num_groups: int = 12, per_group: int = 5) -> tuple[Any, Any, Any]:
    """Labels, probabilities (runs, n) and groups; groups differ in difficulty."""
    generator = np.random.default_rng(seed)
    groups = np.repeat(np.arange(num_groups), per_group)
    labels = np.arange(len(groups)) % 2
    easy = generator.normal(0, 0.1, num_groups)[groups]
    shift = (labels - 0.5) * (0.4 + easy)
    return labels, np.clip(0.5 + shift + generator.normal(0, 0.3, (runs, len(labels))), 0, 1), groups


def halves(seed: int, runs: int, metric: str) -> tuple[JackknifedScores, JackknifedScores]:
    labels, probabilities, groups = images(seed, runs=2 * runs)
    return tuple(jackknifed(labels, each, groups, metric) for each in np.split(probabilities, 2))  # type: ignore[return-value]


@pytest.mark.parametrize("metric", ["accuracy", "balanced_accuracy", "weighted_f1", "auroc"])
def test_a_pair_without_noise_is_the_paired_jackknife(metric: str) -> None:
    labels, probabilities, groups = images(0, runs=4)
    one, other = (jackknifed(labels, each, groups, metric) for each in (probabilities[:2], probabilities[2:]))
    expected = paired_jackknife(labels, probabilities[:2], probabilities[2:], groups, metric)
    # Two seeds of one pair.
    found = difference_of_pairs(one, other, np.array([7, 7]), noise=0.0)
    interval = student_interval(expected.value, expected.variance, 11)
    assert (found.value, found.low, found.high) == pytest.approx((interval.value, interval.low, interval.high))
    assert found.low < found.value < found.high


def test_each_pair_counts_once_whatever_its_seeds() -> None:
    one, other = halves(1, 3, "accuracy")
    found = difference_of_pairs(one, other, np.array([0, 0, 1]), noise=0.0)
    gaps = one.whole - other.whole
    assert found.value == pytest.approx(((gaps[0] + gaps[1]) / 2 + gaps[2]) / 2)
    assert found.value != pytest.approx(gaps.mean())


def test_noise_of_training_widens_the_interval_by_its_variance() -> None:
    one, other = halves(2, 2, "accuracy")
    pairs, factor = np.array([0, 1]), t.ppf(0.975, 11)
    variances = []
    for noise in (0.0, 0.05):
        found = difference_of_pairs(one, other, pairs, noise=noise)
        variances.append(((found.high - found.value) / factor) ** 2)
    # Four runs, of which each counts half.
    assert variances[1] - variances[0] == pytest.approx(4 * 0.25 * 0.05**2)


def test_means_of_trials_on_equal_groups_are_welchs_test() -> None:
    """In each group every run has as many correct images, so that only trials vary."""
    groups = np.repeat(np.arange(40), 10)
    labels = np.zeros(400, dtype=np.int64)
    correct = {"a": (9, 8, 9, 7, 9), "b": (6, 8, 5, 7)}
    sides = {
        name: jackknifed(
            labels, [np.tile(np.arange(10) >= each, 40).astype(float) for each in numbers], groups, "accuracy"
        )
        for name, numbers in correct.items()
    }
    found = difference_of_means(sides["a"], sides["b"])
    shares = {name: np.array(numbers) / 10 for name, numbers in correct.items()}
    expected = ttest_ind(shares["a"], shares["b"], equal_var=False).confidence_interval(0.95)
    assert found.value == pytest.approx(shares["a"].mean() - shares["b"].mean())
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high))


def test_means_of_equal_trials_vary_over_groups_only() -> None:
    labels, probabilities, groups = images(3, runs=2)
    one, other = (jackknifed(labels, [each] * 5, groups, "accuracy") for each in probabilities)
    expected = paired_jackknife(labels, probabilities[:1], probabilities[1:], groups, "accuracy")
    interval = student_interval(expected.value, expected.variance, 11)
    found = difference_of_means(one, other)
    assert (found.value, found.low, found.high) == pytest.approx((interval.value, interval.low, interval.high))


def test_intervals_of_means_contain_the_truth_as_often_as_they_say() -> None:
    """Trials and groups are drawn; both kinds of trials are equally good."""
    hits = 0
    for seed in range(150):
        generator = np.random.default_rng([4, seed])
        groups = np.repeat(np.arange(20), 4)
        hard = generator.normal(0, 0.1, 20)[groups]
        skills = generator.normal(0.8, 0.05, 10)
        right = generator.random((10, 80)) < np.clip(skills[:, None] + hard, 0, 1)
        one, other = (
            jackknifed(np.ones(80, dtype=np.int64), each.astype(float), groups, "accuracy")
            for each in np.split(right, 2)
        )
        found = difference_of_means(one, other)
        hits += found.low <= 0 <= found.high
    # 0.95, or more: their interaction counts twice.
    assert hits >= 0.93 * 150


def test_one_group_gives_no_interval() -> None:
    labels, probabilities, groups = images(5, runs=4, num_groups=1, per_group=20)
    one, other = (jackknifed(labels, each, groups, "accuracy") for each in np.split(probabilities, 2))
    for found in (difference_of_means(one, other), difference_of_pairs(one, other, np.array([0, 1]), noise=0.1)):
        assert not math.isnan(found.value)
        assert math.isnan(found.low)
        assert math.isnan(found.high)


def test_an_absent_class_leaves_the_difference_undefined() -> None:
    _, probabilities, groups = images(6, runs=4)
    one, other = (jackknifed(np.ones(60, dtype=np.int64), each, groups, "auroc") for each in np.split(probabilities, 2))
    found = difference_of_means(one, other)
    assert describe_difference(found) == "not defined: a class is absent"


def test_many_groups_are_left_out_in_blocks() -> None:
    labels, probabilities, groups = images(7, runs=2, num_groups=450, per_group=2)
    assert jackknifed(labels, probabilities, groups, "accuracy").left_out.shape == (200, 2)


def test_invalid_numbers_of_runs_are_refused() -> None:
    one, other = halves(8, 2, "accuracy")
    with pytest.raises(ValueError, match="expected a pair for each run, got 2, 2 and 1"):
        difference_of_pairs(one, other, np.array([0]), noise=0.0)
    empty = JackknifedScores(whole=np.zeros(0), left_out=np.zeros((3, 0)), num_groups=3)
    with pytest.raises(ValueError, match="expected a pair for each run, got 0, 0 and 0"):
        difference_of_pairs(empty, empty, np.zeros(0, dtype=np.int64), noise=0.0)
    single = JackknifedScores(whole=one.whole[:1], left_out=one.left_out[:, :1], num_groups=one.num_groups)
    with pytest.raises(ValueError, match="expected at least two runs of each, got 2 and 1"):
        difference_of_means(one, single)


def test_an_undefined_value_has_no_interval() -> None:
    found = student_interval(math.nan, 0.1, 3)
    assert isinstance(found, Interval)
    assert math.isnan(found.low)
