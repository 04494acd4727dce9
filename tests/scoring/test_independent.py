"""The difference of two scores that were measured apart."""

from __future__ import annotations

import math

import pytest

from leukemia.scoring.independent import independent_difference
from leukemia.scoring.metrics import Interval


def wilson(right: int, number: int) -> Interval:
    """Wilson's 95 % interval of a share."""
    share, z = right / number, 1.959964
    centre, half = share + z**2 / (2 * number), z * math.sqrt(share * (1 - share) / number + z**2 / (4 * number**2))
    return Interval(share, (centre - half) / (1 + z**2 / number), (centre + half) / (1 + z**2 / number))


def test_the_bounds_are_newcombes() -> None:
    """Newcombe (Statistics in Medicine 17, 1998), method 10, example (a): 56 of 70 against 48 of 80."""
    found = independent_difference(wilson(56, 70), wilson(48, 80))
    assert (found.value, found.low, found.high) == pytest.approx((0.2, 0.0524, 0.3339), abs=1e-4)
    turned = independent_difference(wilson(48, 80), wilson(56, 70))
    assert (turned.value, turned.low, turned.high) == pytest.approx((-found.value, -found.high, -found.low))


def test_a_score_without_an_interval_leaves_none() -> None:
    known, unknown = Interval(0.9, 0.8, 0.95), Interval(0.7, math.nan, math.nan)
    for pair in ((known, unknown), (unknown, known)):
        found = independent_difference(*pair)
        assert abs(found.value) == pytest.approx(0.2)
        assert math.isnan(found.low)
        assert math.isnan(found.high)


def test_a_value_outside_of_its_interval_does_not_turn_the_bounds() -> None:
    found = independent_difference(Interval(0.9, 0.91, 0.95), Interval(0.8, 0.7, 0.79))
    assert found.low == pytest.approx(found.value)
    assert found.high > found.value
