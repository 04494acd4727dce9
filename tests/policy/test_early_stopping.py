"""The judge stops trials that are no better than chance or cannot win, and no others; the best has the highest mean."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from scipy.stats import t as student

from leukemia.scoring.jackknife import Difference
from leukemia.scoring.metrics import point_scores
from search.policy.early_stopping import (
    CONTINUE,
    MIN_BALANCED_ACCURACY,
    Contender,
    Verdict,
    best_of,
    judge_fold,
    judge_race,
    selection_luck,
)
from search.policy.error_spending import nominal_levels


def predictions(
    accuracy: float, seed: int, *, num_groups: int = 20, per_group: int = 10, share: float = 0.5
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Labels, probabilities and groups; each is correct with probability ``accuracy``, ``share`` is leukemic."""
    generator = np.random.default_rng(seed)
    groups = np.repeat(np.arange(num_groups), per_group)
    labels = (groups < share * num_groups).astype(np.int64)
    correct = generator.random(len(labels)) < accuracy
    distance = generator.uniform(0.01, 0.5, len(labels))
    return labels, np.clip(0.5 + np.where(correct == (labels == 1), distance, -distance), 0, 1), groups


def judged(labels: np.ndarray, probabilities: np.ndarray, groups: np.ndarray, num_folds: int = 1) -> Verdict:
    return judge_fold(labels, probabilities, groups, np.arange(len(labels)) % num_folds)


@pytest.mark.parametrize("probability", [0.0, 0.4999, 0.5, 1.0])
def test_constant_predictions_are_no_better_than_chance_whatever_the_accuracy(probability: float) -> None:
    labels, _, groups = predictions(1.0, 0, share=0.9)
    verdict = judged(labels, np.full(len(labels), probability), groups)
    assert not verdict.continues
    assert verdict.reason == "no better than chance: predicts a single class for all images of fold 1"


def test_a_constant_fold_among_good_ones_is_reported() -> None:
    labels, probabilities, groups = predictions(0.95, 1)
    folds = np.arange(len(labels)) % 3
    verdict = judge_fold(labels, np.where(folds == 1, 0.9, probabilities), groups, folds)
    assert verdict.reason == "no better than chance: predicts a single class for all images of fold 2"


def test_guessing_is_stopped_with_enough_images() -> None:
    stopped = [not judged(*predictions(0.5, seed, num_groups=100, per_group=20)).continues for seed in range(20)]
    assert np.mean(stopped) >= 0.9


def test_the_reason_contains_the_bound() -> None:
    verdict = judged(*predictions(0.45, 3, num_groups=100, per_group=20))
    assert "no better than chance: upper bound of balanced accuracy 0.4" in verdict.reason
    assert f"is below {MIN_BALANCED_ACCURACY:.2f}" in verdict.reason


def test_predicting_the_majority_is_stopped_even_if_accuracy_looks_good() -> None:
    generator = np.random.default_rng(4)
    labels, _, groups = predictions(1.0, 4, num_groups=100, per_group=20, share=0.9)
    probabilities = np.where(generator.random(len(labels)) < 0.97, 0.9, 0.1)
    assert point_scores(labels, probabilities)["accuracy"] > 0.85
    assert not judged(labels, probabilities, groups).continues


@pytest.mark.parametrize("accuracy", [0.7, 0.9, 1.0])
@pytest.mark.parametrize("num_groups", [8, 40])
def test_models_that_learned_something_continue(accuracy: float, num_groups: int) -> None:
    for seed in range(10):
        assert judged(*predictions(accuracy, seed, num_groups=num_groups)) == CONTINUE


def test_too_few_images_to_tell_are_not_stopped() -> None:
    labels = np.array([0, 0, 1, 1, 0, 1])
    assert judged(labels, np.array([0.6, 0.1, 0.4, 0.8, 0.7, 0.2]), np.arange(6)).continues


def test_a_model_that_misclassifies_whole_subjects_continues() -> None:
    """Subjects differ widely: all images of some groups are misclassified, and the interval must account for it."""
    groups = np.repeat(np.arange(20), 10)
    labels = (groups % 2).astype(np.int64)
    correct = groups % 10 < 7
    assert judged(labels, np.where(correct == (labels == 1), 0.8, 0.2), groups).continues


def contender(number: int, *scores: float) -> Contender:
    return Contender(number=number, fold_scores=scores)


def test_best_is_the_highest_mean_over_all_folds() -> None:
    lucky = contender(0, 1.0, 0.5, 0.6)
    steady = contender(1, 0.8, 0.8, 0.8)
    assert best_of([lucky, steady]) == steady
    assert steady.score == pytest.approx(0.8)


def test_the_earliest_wins_a_tie_in_any_order() -> None:
    equals = [contender(number, 0.5, 0.7) for number in (3, 1, 2)]
    assert best_of(equals) == equals[1]
    assert best_of(reversed(equals)) == equals[1]


def test_without_contenders_there_is_no_best() -> None:
    assert best_of([]) is None


def raced(value: float, variance: float = 4e-4, num_groups: int = 12, **settings: Any) -> Verdict:
    """The verdict on a difference after two of five folds, with one rival and without noise."""
    defaults: dict[str, Any] = {"folds_seen": 2, "num_folds": 5, "noise": 0.0, "num_rivals": 1}
    return judge_race(Difference(value, variance, num_groups), **{**defaults, **settings})


def bound_by_hand(
    value: float,
    variance: float,
    num_groups: int,
    *,
    look: int,
    first: int = 1,
    rivals: int = 1,
    noise: float = 0.0,
    seeds: int = 1,
) -> float:
    """The optimistic bound of the difference at ``look`` of five folds, computed independently."""
    both = variance + (1 + 1 / seeds) * noise**2 / look
    luck = {1: 0.0, 2: 0.5640}[rivals] * math.sqrt(both * look / 5 / 2)
    level = nominal_levels(0.05, 5 - first, first)[look - first]
    return value + luck + float(student.ppf(1 - level, num_groups - 1)) * math.sqrt(both)


@pytest.mark.parametrize("look", [1, 2, 3, 4])
@pytest.mark.parametrize(
    "settings", [{}, {"noise": 0.02}, {"noise": 0.02, "reference_seeds": 3}, {"noise": 0.02, "num_rivals": 2}]
)
def test_a_trial_is_stopped_exactly_when_its_bound_falls_below_the_margin(look: int, settings: dict[str, Any]) -> None:
    names = {"noise": "noise", "reference_seeds": "seeds", "num_rivals": "rivals"}
    bound = bound_by_hand(0.0, 4e-4, 12, look=look, **{names[key]: value for key, value in settings.items()})
    edge = -0.01 - bound
    # 0.564 is the expected maximum of two normal variables; Blom's formula is off by a few per cent.
    slack = 0.002 if "num_rivals" in settings else 1e-9
    assert raced(edge + slack, folds_seen=look, **settings) == CONTINUE
    assert not raced(edge - slack, folds_seen=look, **settings).continues


@pytest.mark.parametrize("look", [2, 3, 4])
def test_a_later_first_look_spends_the_whole_error_at_the_looks_that_are_left(look: int) -> None:
    edge = -0.01 - bound_by_hand(0.0, 4e-4, 12, look=look, first=2)
    assert raced(edge + 1e-9, folds_seen=look, first_look=2) == CONTINUE
    assert not raced(edge - 1e-9, folds_seen=look, first_look=2).continues
    assert edge > -0.01 - bound_by_hand(0.0, 4e-4, 12, look=look) or look == 2


@pytest.mark.parametrize("num_folds", [2, 3, 5])
def test_before_the_first_look_every_trial_continues(num_folds: int) -> None:
    """Of two folds, the second is the last, which leaves no look at all."""
    assert raced(-0.9, folds_seen=1, num_folds=num_folds, first_look=2) == CONTINUE
    assert raced(-0.9, folds_seen=2, num_folds=num_folds, first_look=2).continues == (num_folds == 2)
    assert not raced(-0.9, folds_seen=1, num_folds=num_folds).continues


def test_the_reason_contains_difference_and_bound_in_points() -> None:
    bound = bound_by_hand(-0.15, 4e-4, 12, look=2)
    assert raced(-0.15).reason == f"cannot win: 15.0 points below the best (optimistic bound: {100 * bound:+.1f})"
    assert raced(-0.15).reason.endswith("bound: -10.9)")


@pytest.mark.parametrize("value", [-0.03, 0.0, 0.2])
def test_equal_slightly_worse_and_better_trials_continue(value: float) -> None:
    assert raced(value) == CONTINUE


def test_a_larger_margin_stops_fewer_and_a_larger_error_more() -> None:
    assert not raced(-0.06, margin=0.01).continues
    assert raced(-0.06, margin=0.05).continues
    assert not raced(-0.045, error=0.2).continues
    assert raced(-0.045, error=0.05).continues


def test_selection_luck_and_noise_of_the_reference_let_a_trial_continue() -> None:
    assert not raced(-0.056, num_rivals=1).continues
    assert raced(-0.056, num_rivals=50).continues
    assert not raced(-0.056, noise=0.0).continues
    assert raced(-0.056, noise=0.02).continues
    # A reference with many seeds has little noise.
    assert raced(-0.064, noise=0.02, reference_seeds=1).continues
    assert not raced(-0.064, noise=0.02, reference_seeds=100).continues


@pytest.mark.parametrize(
    "undecidable",
    [{"num_groups": 2}, {"num_groups": 1}, {"variance": math.nan}, {"folds_seen": 5}],
    ids=["two groups", "one group", "no variance", "last fold"],
)
def test_a_trial_continues_if_the_race_cannot_or_need_not_be_decided(undecidable: dict[str, Any]) -> None:
    assert raced(-0.9, **undecidable) == CONTINUE
    assert not raced(-0.9).continues


def test_an_undefined_difference_stops_no_trial() -> None:
    assert raced(math.nan) == CONTINUE


@pytest.mark.parametrize("num_rivals", [2, 5, 20, 100])
def test_luck_is_the_expected_maximum_of_equal_trials(num_rivals: int) -> None:
    drawn = np.random.default_rng(0).standard_normal((20_000, num_rivals)).max(axis=1)
    # The variance of a difference is twice that of one trial.
    assert selection_luck(num_rivals, 2.0) == pytest.approx(drawn.mean(), rel=0.06)
    assert selection_luck(num_rivals, 0.08) == pytest.approx(0.2 * selection_luck(num_rivals, 2.0))


def test_a_single_rival_has_no_luck() -> None:
    assert selection_luck(1, 1.0) == 0.0
