"""The race by simulation: equals are stopped as rarely as promised, worse ones are seen; the whole is a benchmark."""

from __future__ import annotations

import functools
import math

import numpy as np
import pytest
import racing
from racing import Cell, stopped_after

NUM_RACES = 300

HARD = [
    Cell(noise_points=2.0),
    Cell(groups_per_fold=15, subject_points=10.0),
    Cell(groups_per_fold=15, subject_points=6.0, noise_points=2.0),
]
"""Much noise of folds, of subjects, of both; each with 20 rivals for the reference to be lucky among."""

ALLOWED = 0.05 + 3 * math.sqrt(0.05 * 0.95 / NUM_RACES)
"""The promised share of false stops and three binomial standard errors."""


def false_stops(cell: Cell) -> float:
    return float(stopped_after(cell, NUM_RACES, seed=0).sum())


@pytest.mark.parametrize("cell", HARD, ids=["folds", "subjects", "both"])
def test_an_equal_is_stopped_as_rarely_as_promised(cell: Cell) -> None:
    assert false_stops(cell) <= ALLOWED


@pytest.mark.parametrize("cell", HARD, ids=["folds", "subjects", "both"])
def test_a_judge_without_a_safe_bound_would_be_caught(cell: Cell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(racing, "judge_race", functools.partial(racing.judge_race, error=0.5))
    assert false_stops(cell) > ALLOWED


def test_five_points_are_seen_by_the_second_fold() -> None:
    ends = stopped_after(Cell(worse_points=5.0, margin_points=0.0, rivals=1), NUM_RACES, seed=1)
    assert ends[:2].sum() >= 0.75


def test_recipes_of_the_simulation_are_what_their_cell_says() -> None:
    """Worse by five points whatever else shifts them, and of another opinion on 12 % of the images."""
    difficulty = np.random.default_rng(2).beta(*racing.difficulty_of(0.05), 1000)
    for cell in (Cell(), Cell(groups_per_fold=15, subject_points=6.0, noise_points=2.0)):
        drawn = racing.Races(cell, np.random.default_rng(3))
        better, worse = (drawn.answers(difficulty, 300, each) for each in (0.0, 0.05))
        assert better.mean() - worse.mean() == pytest.approx(0.05, abs=0.005)
        if cell == Cell():
            assert better.mean() == pytest.approx(racing.ACCURACY, abs=0.01)
            assert (better != worse).mean() == pytest.approx(racing.DISAGREEMENT, abs=0.01)
