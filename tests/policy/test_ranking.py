"""The order of trials at a rung: reduced values, ties, undefined values and fronts."""

from __future__ import annotations

import math

import numpy as np
import pytest

from search.policy.ranking import Standing, fronts, ranked, reduced
from search.policy.rate_schedule import RateSchedule

WARM_DOWN = RateSchedule("ranger21", (1.0,))
RESTARTS = RateSchedule("adamw", (0.25, 0.5, 1.0))


def at(value: float, loss: float = 0.5, seconds: float = 1.0, schedule: RateSchedule = WARM_DOWN) -> Standing:
    return Standing(value=value, loss=loss, seconds=seconds, schedule=schedule)


def test_a_value_is_reduced_by_its_schedules_mean_shrunk_to_the_mean_of_all() -> None:
    slow, fast = [0.5, 0.6], [0.8, 0.9, 0.7]
    standings = {number: at(value) for number, value in enumerate(slow)}
    standings |= {number: at(value, schedule=RESTARTS) for number, value in enumerate(fast, start=2)}
    mean = sum(slow + fast) / 5
    expected = [value - (sum(slow) + 4 * mean) / 6 for value in slow]
    expected += [value - (sum(fast) + 4 * mean) / 7 for value in fast]
    assert list(reduced(standings).values()) == pytest.approx(expected)


def test_a_schedule_that_starts_slowly_is_not_last_for_it() -> None:
    slow = {number: at(0.50 + number / 1000) for number in range(20)}
    fast = {number: at(0.70 + number / 1000, schedule=RESTARTS) for number in range(100, 120)}
    standings = {**slow, 50: at(0.60), **fast}
    assert ranked(standings, by_schedule=True, by_cost=False)[0] == 50
    assert ranked(standings, by_schedule=False, by_cost=False)[20] == 50


def test_a_lone_schedule_keeps_part_of_its_lead() -> None:
    standings = {0: at(0.9, schedule=RESTARTS), **{number: at(0.6) for number in range(1, 6)}}
    assert ranked(standings, by_schedule=True, by_cost=False)[0] == 0


@pytest.mark.parametrize("by_schedule", [False, True])
def test_ties_go_to_the_lower_loss_then_to_the_lower_number(by_schedule: bool) -> None:
    standings = {3: at(0.8, 0.3), 1: at(0.8, 0.4), 2: at(0.8, 0.4), 0: at(0.8, math.nan), 4: at(0.9, 0.9)}
    assert ranked(standings, by_schedule=by_schedule, by_cost=False) == [4, 3, 1, 2, 0]


@pytest.mark.parametrize("by_cost", [False, True])
@pytest.mark.parametrize("by_schedule", [False, True])
def test_an_undefined_value_is_last_and_enters_no_mean(by_schedule: bool, by_cost: bool) -> None:
    standings = {0: at(math.nan, 0.1, seconds=5.0), 1: at(0.5), 2: at(-math.inf), 3: at(0.6)}
    order = ranked(standings, by_schedule=by_schedule, by_cost=by_cost)
    assert order[:2] == [3, 1]
    assert reduced(standings)[3] == pytest.approx(0.6 - 0.55)


def test_all_values_may_be_undefined() -> None:
    assert ranked({1: at(math.nan), 0: at(math.nan)}, by_schedule=True, by_cost=True) == [0, 1]
    assert ranked({}, by_schedule=True, by_cost=True) == []


def test_fronts_are_as_by_comparing_all_pairs() -> None:
    rng = np.random.default_rng(0)
    for size in (1, 2, 5, 30, 30, 30):
        # Few distinct values, so that there are ties in one or both.
        points = {number: tuple(rng.integers(0, 6, 2).tolist()) for number in rng.permutation(size).tolist()}
        left, expected, front = dict(points), {}, 0
        while left:
            first = [
                number
                for number, (value, seconds) in left.items()
                if not any(
                    better >= value and faster <= seconds and (better, faster) != (value, seconds)
                    for better, faster in left.values()
                )
            ]
            expected |= dict.fromkeys(first, front)
            left = {number: point for number, point in left.items() if number not in first}
            front += 1
        standings = {number: at(float(value), seconds=float(seconds)) for number, (value, seconds) in points.items()}
        assert fronts(standings, {number: each.value for number, each in standings.items()}) == expected


def test_with_two_objectives_the_front_comes_before_the_value() -> None:
    standings = {0: at(0.9, seconds=9.0), 1: at(0.8, seconds=9.5), 2: at(0.5, seconds=1.0), 3: at(0.7, seconds=3.0)}
    assert ranked(standings, by_schedule=False, by_cost=True) == [0, 3, 2, 1]
    assert ranked(standings, by_schedule=False, by_cost=False) == [0, 1, 3, 2]
