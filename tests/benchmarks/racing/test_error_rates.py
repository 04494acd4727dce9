"""The race by simulation, in reduced form: few equally good trials are stopped, most of the worse ones are."""

from __future__ import annotations

import functools
import math
from dataclasses import replace

import numpy as np
import pytest

from benchmarks.racing import error_rates
from benchmarks.racing.error_rates import Cell, stopped_after
from leukemia.base.errors import UserError

NUM_RACES = 300

HARD = [
    Cell(noise_points=2.0),
    Cell(groups_per_fold=15, subject_points=10.0),
    Cell(groups_per_fold=15, subject_points=6.0, noise_points=2.0),
    Cell(groups_per_fold=15, subject_points=6.0, noise_points=2.0, one_in=3),
    Cell(noise_points=2.0, one_in=9),
]
"""Large noise of folds, of subjects, of both; each with 20 rivals, so that the reference is biased by selection, and in
two cells chosen by fold 0 before, as with pausing."""

NAMES = ["folds", "subjects", "both", "best third by fold 0", "best ninth by fold 0"]

ALLOWED = 0.05 + 3 * math.sqrt(0.05 * 0.95 / NUM_RACES)
"""The promised rate of false stops plus three binomial standard errors."""


def false_stops(cell: Cell) -> float:
    return float(stopped_after(cell, NUM_RACES, seed=0).sum())


@pytest.mark.parametrize("cell", HARD, ids=NAMES)
def test_equally_good_trials_are_stopped_as_rarely_as_promised(cell: Cell) -> None:
    assert false_stops(cell) <= ALLOWED


@pytest.mark.parametrize("cell", HARD, ids=NAMES)
def test_a_judge_that_spends_too_much_error_would_be_caught(cell: Cell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(error_rates, "judge_race", functools.partial(error_rates.judge_race, error=0.5))
    assert false_stops(cell) > ALLOWED


@pytest.mark.parametrize("one_in", [3, 9])
def test_with_pausing_there_is_no_look_after_fold_0_and_more_power_later(one_in: int) -> None:
    worse = Cell(worse_points=5.0, margin_points=0.0)
    ends, plain = (stopped_after(cell, NUM_RACES, seed=1) for cell in (replace(worse, one_in=one_in), worse))
    assert plain[0] > 0.2
    assert ends[0] == 0.0
    assert ends.sum() > 0.9


def test_five_points_are_detected_by_the_second_fold() -> None:
    ends = stopped_after(Cell(worse_points=5.0, margin_points=0.0, rivals=1), NUM_RACES, seed=1)
    assert ends[:2].sum() >= 0.75


def test_simulated_recipes_have_the_properties_of_their_cell() -> None:
    """Worse by five points under any noise, and in disagreement on 12 % of the images."""
    difficulty = np.random.default_rng(2).beta(*error_rates.difficulty_of(0.05), 1000)
    for cell in (Cell(), Cell(groups_per_fold=15, subject_points=6.0, noise_points=2.0)):
        drawn = error_rates.Races(cell, np.random.default_rng(3))
        better, worse = (drawn.answers(difficulty, 300, each) for each in (0.0, 0.05))
        assert better.mean() - worse.mean() == pytest.approx(0.05, abs=0.005)
        if cell == Cell():
            assert better.mean() == pytest.approx(error_rates.ACCURACY, abs=0.01)
            assert (better != worse).mean() == pytest.approx(error_rates.DISAGREEMENT, abs=0.01)


@pytest.mark.parametrize("count", [-5, 0, 99])
def test_too_few_races_are_refused(count: int) -> None:
    with pytest.raises(UserError, match=rf"--races: expected at least 100, got {count}"):
        error_rates.main(["--races", str(count)])
