"""Expected results: values at the highest level that enough trials have reached, and lines between levels."""

from __future__ import annotations

import math

import numpy as np
import pytest

from search.policy.expectation import ENOUGH, FEWEST, expected


def levels(*values: float) -> dict[int, float]:
    """Values by level, counted from 1."""
    return dict(enumerate(values, start=1))


def test_with_few_trials_nothing_is_expected() -> None:
    shown = {number: levels(0.5) for number in range(ENOUGH - 1)}
    assert expected(shown) == {}
    assert expected(shown | {ENOUGH: {}, ENOUGH + 1: levels(math.nan)}) == {}
    assert len(expected(shown | {ENOUGH: levels(0.7)})) == ENOUGH


def test_values_at_the_highest_level_with_enough_trials_are_taken_as_they_are() -> None:
    shown = {number: levels(number / 10, 100 - number) for number in range(ENOUGH)}
    # A level above that too few have reached does not count.
    shown[3] = levels(0.3, 97, 1e6)
    assert expected(shown) == {number: 100 - number for number in range(ENOUGH)}


def test_the_others_follow_a_line_through_the_trials_that_reached_both_levels() -> None:
    generator = np.random.default_rng(0)
    x = generator.normal(size=30)
    y = 2 * x + 5 + generator.normal(0, 0.1, 30)
    shown = {number: levels(x[number], y[number]) for number in range(20)}
    shown |= {number: levels(x[number]) for number in range(20, 30)}
    slope, intercept = np.polyfit(x[:20], y[:20], 1)
    found = expected(shown)
    assert [found[number] for number in range(20, 30)] == pytest.approx(slope * x[20:] + intercept)


def test_a_trial_is_carried_over_several_levels() -> None:
    shown = {number: levels(number, 2.0 * number, 2.0 * number + 1) for number in range(12)}
    shown |= {20: levels(20), 21: levels(21, 42), 22: {2: 7.0}}
    found = expected(shown)
    assert (found[20], found[21], found[22]) == (pytest.approx(41), pytest.approx(43), pytest.approx(8))


def test_a_better_value_is_never_expected_to_become_a_worse_one() -> None:
    shown = {number: levels(number, -number) for number in range(ENOUGH)} | {20: levels(100.0), 21: levels(-100.0)}
    found = expected(shown)
    assert found[20] == found[21] == pytest.approx(-4.5)


@pytest.mark.parametrize("num_both", range(FEWEST))
def test_with_few_trials_at_both_levels_the_mean_of_the_upper_one_is_expected(num_both: int) -> None:
    shown = {number: {2: float(number)} for number in range(ENOUGH)} | {20: levels(5.0)}
    for number in range(num_both):
        shown[number] = levels(1e3 * number, number)
    assert expected(shown)[20] == 4.5


def test_equal_values_have_no_line() -> None:
    shown = {number: levels(1.0, number) for number in range(ENOUGH)} | {20: levels(2.0)}
    assert expected(shown)[20] == 4.5


def test_the_order_of_the_trials_does_not_matter() -> None:
    generator = np.random.default_rng(1)
    shown = {number: levels(*generator.normal(size=1 + number % 3)) for number in range(60)}
    backwards = dict(reversed(shown.items()))
    assert expected(backwards) == expected(shown)
