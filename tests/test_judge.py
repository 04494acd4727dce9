"""The judge: hopeless trials are stopped, all others go on; the best is the highest mean over all folds."""

from __future__ import annotations

import numpy as np
import pytest

from leukemia.metrics import point_scores
from search.judge import GO_ON, HOPELESS, Contender, Verdict, best_of, judge_fold


def predictions(
    accuracy: float, seed: int, *, num_groups: int = 20, per_group: int = 10, share: float = 0.5
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Labels, probabilities and groups; each image is right with probability ``accuracy``, ``share`` are leukemic."""
    generator = np.random.default_rng(seed)
    groups = np.repeat(np.arange(num_groups), per_group)
    labels = (groups < share * num_groups).astype(np.int64)
    right = generator.random(len(labels)) < accuracy
    distance = generator.uniform(0.01, 0.5, len(labels))
    return labels, np.clip(0.5 + np.where(right == (labels == 1), distance, -distance), 0, 1), groups


def judged(labels: np.ndarray, probabilities: np.ndarray, groups: np.ndarray, num_folds: int = 1) -> Verdict:
    return judge_fold(labels, probabilities, groups, np.arange(len(labels)) % num_folds)


@pytest.mark.parametrize("answer", [0.0, 0.4999, 0.5, 1.0])
def test_constant_answers_are_hopeless_however_good_the_accuracy(answer: float) -> None:
    labels, _, groups = predictions(1.0, 0, share=0.9)
    verdict = judged(labels, np.full(len(labels), answer), groups)
    assert not verdict.go_on
    assert verdict.reason == "hopeless: one answer to all images of fold 0"


def test_one_constant_fold_among_good_ones_is_named() -> None:
    labels, probabilities, groups = predictions(0.95, 1)
    folds = np.arange(len(labels)) % 3
    verdict = judge_fold(labels, np.where(folds == 1, 0.9, probabilities), groups, folds)
    assert verdict.reason == "hopeless: one answer to all images of fold 1"


def test_guessing_is_hopeless_with_enough_images() -> None:
    stopped = [not judged(*predictions(0.5, seed, num_groups=100, per_group=20)).go_on for seed in range(20)]
    assert np.mean(stopped) >= 0.9


def test_the_reason_names_the_bound() -> None:
    verdict = judged(*predictions(0.45, 3, num_groups=100, per_group=20))
    assert "hopeless: upper bound of balanced accuracy 0.4" in verdict.reason
    assert f"below {HOPELESS:.2f}" in verdict.reason


def test_majority_guessing_is_hopeless_where_accuracy_looks_good() -> None:
    generator = np.random.default_rng(4)
    labels, _, groups = predictions(1.0, 4, num_groups=100, per_group=20, share=0.9)
    probabilities = np.where(generator.random(len(labels)) < 0.97, 0.9, 0.1)
    assert point_scores(labels, probabilities)["accuracy"] > 0.85
    assert not judged(labels, probabilities, groups).go_on


@pytest.mark.parametrize("accuracy", [0.7, 0.9, 1.0])
@pytest.mark.parametrize("num_groups", [8, 40])
def test_models_that_learned_something_go_on(accuracy: float, num_groups: int) -> None:
    for seed in range(10):
        assert judged(*predictions(accuracy, seed, num_groups=num_groups)) == GO_ON


def test_too_few_images_to_tell_is_not_hopeless() -> None:
    labels = np.array([0, 0, 1, 1, 0, 1])
    assert judged(labels, np.array([0.6, 0.1, 0.4, 0.8, 0.7, 0.2]), np.arange(6)).go_on


def test_weak_model_with_a_few_subjects_that_are_all_wrong_goes_on() -> None:
    """Subjects differ widely: whole groups are wrong, and the interval must allow for it."""
    groups = np.repeat(np.arange(20), 10)
    labels = (groups % 2).astype(np.int64)
    right = groups % 10 < 7
    assert judged(labels, np.where(right == (labels == 1), 0.8, 0.2), groups).go_on


def contender(number: int, *scores: float) -> Contender:
    return Contender(number=number, fold_scores=scores)


def test_best_is_the_highest_mean_over_all_folds() -> None:
    lucky = contender(0, 1.0, 0.5, 0.6)
    steady = contender(1, 0.8, 0.8, 0.8)
    assert best_of([lucky, steady]) == steady
    assert steady.score == pytest.approx(0.8)


def test_of_equals_the_earliest_wins_whatever_the_order() -> None:
    equals = [contender(number, 0.5, 0.7) for number in (3, 1, 2)]
    assert best_of(equals) == equals[1]
    assert best_of(reversed(equals)) == equals[1]


def test_without_contenders_there_is_no_best() -> None:
    assert best_of([]) is None
