"""The jackknife over groups against an explicit leave-one-out loop and the closed form."""

from __future__ import annotations

import math

import numpy as np
import pytest
from sklearn.metrics import balanced_accuracy_score, roc_auc_score

from leukemia.scoring import jackknife
from leukemia.scoring.jackknife import paired_jackknife


def predictions(
    seed: int, *, num_groups: int = 12, most: int = 9, seeds: tuple[int, int] = (1, 1)
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Labels, probabilities of a and b, and groups of 1 to ``most`` images, alternately of class 0 and 1."""
    generator = np.random.default_rng(seed)
    groups = np.repeat(np.arange(num_groups), generator.integers(1, most + 1, num_groups))
    labels = groups % 2
    # Each group is easier for one of the two predictors.
    advantage = generator.normal(0, 0.15, num_groups)[groups]
    sides = [
        np.clip(0.5 + (labels - 0.5) * 0.4 + sign * advantage + generator.normal(0, 0.3, (count, len(labels))), 0, 1)
        for sign, count in zip((1, -1), seeds, strict=True)
    ]
    return labels, sides[0], sides[1], groups


def score(labels: np.ndarray, probabilities: np.ndarray, metric: str) -> float:
    """The mean over seeds of scikit-learn's score."""
    if metric == "auroc":
        return float(np.mean([roc_auc_score(labels, each) for each in probabilities]))
    if metric == "accuracy":
        return float(np.mean((probabilities >= 0.5) == labels))
    return float(np.mean([balanced_accuracy_score(labels, each >= 0.5) for each in probabilities]))


def leave_one_out(
    labels: np.ndarray, a: np.ndarray, b: np.ndarray, groups: np.ndarray, metric: str
) -> tuple[float, float, int]:
    """Value, variance and number of groups, from a leave-one-out loop."""
    names = np.unique(groups)
    rest = []
    for name in names:
        kept = groups != name
        rest.append(score(labels[kept], a[:, kept], metric) - score(labels[kept], b[:, kept], metric))
    spread = np.array(rest) - np.mean(rest)
    value = score(labels, a, metric) - score(labels, b, metric)
    return value, (len(names) - 1) / len(names) * float(spread @ spread), len(names)


@pytest.mark.parametrize("metric", ["accuracy", "balanced_accuracy", "auroc"])
@pytest.mark.parametrize("seeds", [(1, 1), (2, 3)])
def test_variance_equals_that_of_a_leave_one_out_loop(metric: str, seeds: tuple[int, int]) -> None:
    data = predictions(0, seeds=seeds)
    found = paired_jackknife(*data, metric)
    assert (found.value, found.variance, found.num_groups) == pytest.approx(leave_one_out(*data, metric))
    assert found.variance > 0


def test_variance_of_accuracy_in_equal_groups_is_the_closed_form() -> None:
    """With equal group sizes the difference is the mean of group means, with variance s^2 / G."""
    generator = np.random.default_rng(1)
    labels, groups = generator.integers(0, 2, 60), np.repeat(np.arange(12), 5)
    a, b = generator.random((1, 60)), generator.random((1, 60))
    means = (((a[0] >= 0.5) == labels).astype(float) - ((b[0] >= 0.5) == labels)).reshape(12, 5).mean(axis=1)
    found = paired_jackknife(labels, a, b, groups, "accuracy")
    assert found.value == pytest.approx(means.mean())
    assert found.variance == pytest.approx(means.var(ddof=1) / 12)


@pytest.mark.parametrize("metric", ["accuracy", "balanced_accuracy"])
def test_image_order_and_group_names_do_not_matter(metric: str) -> None:
    labels, a, b, groups = predictions(2)
    order = np.random.default_rng(3).permutation(len(labels))
    names = np.array([f"H{7 * group}" for group in groups])
    found = paired_jackknife(labels, a, b, groups, metric)
    again = paired_jackknife(labels[order], a[:, order], b[:, order], names[order], metric)
    assert (again.value, again.variance) == pytest.approx((found.value, found.variance))


def test_swapping_a_and_b_only_changes_the_sign() -> None:
    labels, a, b, groups = predictions(4)
    one, other = paired_jackknife(labels, a, b, groups, "accuracy"), paired_jackknife(labels, b, a, groups, "accuracy")
    assert (one.value, one.variance) == pytest.approx((-other.value, other.variance))


@pytest.mark.parametrize("metric", ["accuracy", "balanced_accuracy", "auroc"])
def test_identical_predictions_have_zero_difference_and_variance(metric: str) -> None:
    labels, a, _, groups = predictions(5)
    found = paired_jackknife(labels, a, a, groups, metric)
    assert (found.value, found.variance) == (0.0, 0.0)


def test_the_score_is_the_mean_over_seeds() -> None:
    labels, a, b, groups = predictions(6, seeds=(3, 1))
    whole = paired_jackknife(labels, a, b, groups, "accuracy")
    single = [paired_jackknife(labels, a[row : row + 1], b, groups, "accuracy").value for row in range(3)]
    assert whole.value == pytest.approx(np.mean(single))
    repeated = paired_jackknife(labels, np.repeat(a[:1], 4, axis=0), b, groups, "accuracy")
    assert repeated == paired_jackknife(labels, a[:1], b, groups, "accuracy")


@pytest.mark.parametrize("metric", ["accuracy", "balanced_accuracy"])
def test_a_single_group_has_a_difference_but_no_variance(metric: str) -> None:
    labels, a, b, _ = predictions(7)
    found = paired_jackknife(labels, a, b, np.zeros(len(labels)), metric)
    assert found.value == pytest.approx(score(labels, a, metric) - score(labels, b, metric))
    assert math.isnan(found.variance)
    assert found.num_groups == 1


def test_leave_outs_without_a_class_are_skipped() -> None:
    """One of three groups has all images of class 1: without it balanced accuracy is undefined."""
    labels = np.array([0, 0, 0, 0, 1, 1])
    groups = np.array([0, 0, 1, 1, 2, 2])
    a, b = np.array([[0.2, 0.8, 0.2, 0.2, 0.8, 0.8]]), np.array([[0.2, 0.2, 0.2, 0.8, 0.8, 0.2]])
    # Without group 0: a 1, b (1/2 + 1/2) / 2; without group 1: a (1/2 + 1) / 2, b (1 + 1/2) / 2.
    found = paired_jackknife(labels, a, b, groups, "balanced_accuracy")
    assert found.value == pytest.approx((0.75 + 1) / 2 - (0.75 + 0.5) / 2)
    assert found.variance == pytest.approx(0.5 * 2 * 0.25**2)
    assert found.num_groups == 3
    only = paired_jackknife(labels[:4], a[:, :4], b[:, :4], groups[:4], "balanced_accuracy")
    assert math.isnan(only.value)
    assert math.isnan(only.variance)


def test_blocks_approximate_leaving_out_each_group(monkeypatch: pytest.MonkeyPatch) -> None:
    data = predictions(8, num_groups=700, most=2)
    blocks = paired_jackknife(*data, "balanced_accuracy")
    monkeypatch.setattr(jackknife, "MAX_BLOCKS", 10_000)
    each = paired_jackknife(*data, "balanced_accuracy")
    assert blocks.value == each.value
    assert blocks.num_groups == each.num_groups == 700
    # 200 blocks estimate a variance with a relative standard error of about sqrt(2 / 200).
    assert blocks.variance == pytest.approx(each.variance, rel=0.2)
    assert blocks.variance != each.variance
    assert paired_jackknife(*data, "accuracy").variance == pytest.approx(leave_one_out(*data, "accuracy")[1])
