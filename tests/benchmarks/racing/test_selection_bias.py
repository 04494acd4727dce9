"""The simulation of selection bias: its race is the search's own, and its recipes are equally good."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from benchmarks.racing import selection_bias
from benchmarks.racing.selecting.bias import remaining_bias
from benchmarks.racing.selecting.studies import TRUTH, World, simulate
from benchmarks.racing.selecting.survivors import KINDS, raced, unraced
from leukemia.base.errors import UserError

WORLD = World(num_recipes=20, patients=True, recipe_sd=0.01, fold_sd=0.02)


def test_the_race_stops_a_much_worse_recipe_and_hardly_any_equal_one() -> None:
    study = simulate(WORLD, np.random.default_rng(0))
    assert len(raced(study)) >= 19
    worse = study.correct.copy()
    worse[7] &= np.random.default_rng(1).random(worse.shape[1]) < 0.7
    assert 7 not in raced(replace(study, correct=worse))
    assert unraced(study) == list(range(20))


def test_all_recipes_have_the_same_true_accuracy() -> None:
    means = [simulate(WORLD, np.random.default_rng(seed)).correct.mean(axis=1) for seed in range(100)]
    assert np.mean(means, axis=0) == pytest.approx(TRUTH, abs=0.01)


@pytest.mark.parametrize(("name", "num_complete"), [("third", 6), ("ninth", 2)])
def test_with_pausing_the_best_by_fold_0_complete_and_are_scored_on_the_other_folds(
    name: str, num_complete: int
) -> None:
    """Scored on fold 0 as well, leaving folds out would give too much by half a point and more."""
    kind, left = KINDS[name], []
    for seed in range(60):
        study = simulate(WORLD, np.random.default_rng(seed))
        complete = kind.survivors(study)
        first = study.correct[:, study.folds == 0].mean(axis=1)
        assert len(complete) == num_complete
        assert first[complete].min() >= np.delete(first, complete).max()
        found = remaining_bias(study, complete, kind.scored_folds, seed)
        left.append((found["on_all_folds"] - found["leave_fold_out"], found["raw"], found["headline"]))
    too_much, raw, headline = np.mean(left, axis=0)
    assert too_much > 0.25
    assert raw > 1.0
    assert -1.0 < headline < 0.2


def test_leaving_folds_out_on_all_folds_is_the_correction_of_the_search() -> None:
    study = simulate(WORLD, np.random.default_rng(0))
    found = remaining_bias(study, unraced(study), range(5), 0)
    assert found["on_all_folds"] == pytest.approx(found["leave_fold_out"])


@pytest.mark.parametrize("count", [-1, 1])
def test_too_few_studies_are_refused(count: int) -> None:
    with pytest.raises(UserError, match=rf"--studies: expected 2 or more, got {count}"):
        selection_bias.main(["--studies", str(count)])
