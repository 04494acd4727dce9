"""The difference of two scores that were measured apart from each other, from their intervals."""

from __future__ import annotations

import math

from leukemia.scoring.bootstrap import Interval


def independent_difference(a: Interval, b: Interval) -> Interval:
    """Value of a minus value of b, with an interval of the same level; its bounds are NaN if one of theirs is.

    The bounds are recovered from theirs (MOVER: Zou & Donner, Statistics in Medicine 27, 2008). For scores that rise
    and fall together, as of the same patients, the interval is too wide.

    >>> round(independent_difference(Interval(0.9, 0.86, 0.93), Interval(0.8, 0.77, 0.83)).low, 3)
    0.05
    """
    value = a.value - b.value
    if any(math.isnan(bound) for each in (a, b) for bound in (each.value, each.low, each.high)):
        return Interval(value, math.nan, math.nan)
    # The mean of skewed resamples may lie outside of their percentiles.
    below_a, below_b = (max(0.0, each.value - each.low) for each in (a, b))
    above_a, above_b = (max(0.0, each.high - each.value) for each in (a, b))
    return Interval(value, value - math.hypot(below_a, above_b), value + math.hypot(above_a, below_b))
