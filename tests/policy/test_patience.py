"""Patience in complete trials' worth of training."""

from __future__ import annotations

import itertools
import random
from dataclasses import replace

import pytest
from helpers.ladders import NUM_FOLDS, RULES, epoch_of, recipe_of

from search.policy.patience import Patience, last_improvement
from search.policy.rules import Rules


def train(patience: Patience, number: int, epochs: int, *, of: int = 40, first: int = 0) -> None:
    """Add so many epochs of a trial, fold after fold, from epoch ``first`` of fold 0."""
    patience.begin(number, recipe_of(of))
    for index in range(first, first + epochs):
        patience.add_epoch(number, epoch_of(index % of + 1, 0.8, fold=index // of))


def complete(patience: Patience, number: int, of: int = 40) -> None:
    train(patience, number, NUM_FOLDS * of, of=of)
    patience.end(number, patience.trained)


def test_a_complete_trial_counts_one_whatever_its_length() -> None:
    for of in (4, 7, 30, 40):
        patience = Patience(RULES)
        complete(patience, 0, of)
        assert patience.trained == 1.0


def test_an_epoch_counts_by_its_trials_length_and_not_by_its_time() -> None:
    patience = Patience(RULES)
    for number, of, seconds in ((0, 10, 1.0), (1, 20, 1000.0)):
        patience.begin(number, recipe_of(of))
        patience.add_epoch(number, epoch_of(1, 0.5, seconds=seconds))
    assert patience.trained == pytest.approx(1 / 50 + 1 / 100)


def test_epochs_trained_again_do_not_count() -> None:
    patience = Patience(RULES)
    train(patience, 0, 6)
    train(patience, 0, 3, first=4)
    assert patience.trained == pytest.approx(7 / 200)


def test_the_default_patience_is_25_thirds_of_a_complete_trial() -> None:
    assert Patience(RULES).limit == 25 / 3


def test_without_a_noted_count_all_trials_that_have_ended_count() -> None:
    patience = Patience(RULES)
    for number in (2, 0, 1):
        train(patience, number, NUM_FOLDS * 40)
    train(patience, 3, 100)
    for number in (0, 2, 1):
        patience.end(number, None)
    assert patience.since_improvement({0: 0.8, 2: 0.9, 1: 0.7}, step=0.01) == 1.5


def test_training_counts_from_the_end_of_the_trial_that_improved() -> None:
    patience, scores = Patience(RULES), {}
    complete(patience, 0)
    scores[0] = 0.80
    train(patience, 1, 100)  # half of a trial, which waits
    complete(patience, 2)
    scores[2] = 0.85
    assert patience.since_improvement(scores, step=0.01) == 0.0
    train(patience, 1, 50, first=100)
    complete(patience, 3)
    scores[3] = 0.855  # within noise
    assert patience.since_improvement(scores, step=0.01) == pytest.approx(1.25)
    assert patience.since_improvement(scores, step=0.001) == 0.0


def test_a_low_number_that_finishes_late_counts_when_it_ends() -> None:
    """By number, trial 1 would come before trial 2, whose higher score it does not improve on."""
    patience = Patience(RULES)
    for number in (0, 2, 1):
        complete(patience, number)
    assert patience.since_improvement({0: 0.80, 2: 0.85, 1: 0.90}, step=0.01) == 0.0
    assert patience.since_improvement({0: 0.80, 2: 0.85, 1: 0.84}, step=0.01) == 1.0


def test_without_a_complete_trial_all_training_counts() -> None:
    patience = Patience(RULES)
    train(patience, 0, 150)
    patience.end(0, patience.trained)
    assert patience.since_improvement({}, step=0.01) == 0.75


def test_trials_of_earlier_studies_set_the_mark_but_do_not_count() -> None:
    patience = Patience(Rules(num_folds=NUM_FOLDS, objective="tta_accuracy", num_priors=2, start=2))
    for number in (0, 1):
        train(patience, number, NUM_FOLDS * 40)
        patience.end(number, 0.0)
    assert patience.trained == 0.0
    complete(patience, 2)
    assert patience.since_improvement({0: 0.9, 1: 0.8, 2: 0.85}, step=0.01) == 1.0


def test_a_resumed_search_counts_the_same_in_any_order() -> None:
    """The count is exact: sums of floats would depend on the order, and a limit may be met exactly."""
    lengths = {number: [7, 24, 30][number % 3] for number in range(12)}
    epochs = [
        (number, epoch_of(epoch, 0.8, fold=fold))
        for number, length in lengths.items()
        for fold, epoch in itertools.product(range(NUM_FOLDS), range(1, length + 1))
    ]
    counts = set()
    for seed in range(5):
        patience = Patience(RULES)
        for number, length in lengths.items():
            patience.begin(number, recipe_of(length))
        for number, epoch in random.Random(seed).sample(epochs, len(epochs)):
            patience.add_epoch(number, epoch)
        counts.add(patience.trained)
    assert counts == {12.0}


def test_the_last_improvement_is_compared_with_the_one_before_it() -> None:
    # Two small steps in a row are an improvement together.
    assert last_improvement([0.80, 0.806, 0.812], step=0.01) == 2
    assert last_improvement([0.80, 0.79, 0.805], step=0.01) == 0
    assert last_improvement([], step=0.01) == -1


def test_what_is_left_is_estimated_by_the_trials_that_have_ended() -> None:
    patience = Patience(RULES)
    train(patience, 0, 50)
    assert (patience.per_trial, patience.left(3)) == (1.0, 2.75)
    complete(patience, 1)
    assert patience.left(3) == 1.75
    train(patience, 2, 100)
    patience.end(2, patience.trained)  # stopped half-way
    assert patience.per_trial == 0.75
    assert patience.left(3) == pytest.approx(0.5)
    assert patience.left(2) == 0.0, "more have begun than are wanted"


def test_trials_of_earlier_studies_do_not_enter_the_estimate() -> None:
    patience = Patience(replace(RULES, num_priors=1))
    complete(patience, 0)
    assert (patience.per_trial, patience.left(2)) == (1.0, 2.0)
