"""Time spans as people read them, alone or as parts of a total."""

from __future__ import annotations

import math
from collections.abc import Sequence

from leukemia.base.quantity import parts_of


def duration(seconds: float) -> str:
    """A time span in hours, minutes or seconds, whichever is the largest unit it reaches.

    >>> duration(11520), duration(2160), duration(12.3)
    ('3.2 h', '36 min', '12 s')
    """
    # Half a unit lower, so that 60 s after rounding is shown as a minute.
    if seconds >= 3600 - 30:
        return f"{seconds / 3600:.1f} h"
    return f"{seconds / 60:.0f} min" if seconds >= 60 - 0.5 else f"{seconds:.0f} s"


def durations(parts: Sequence[float]) -> list[str]:
    """Time spans in the unit of their total, as in ``duration``, which they add up to.

    Those below half of it do not count and are in a unit of their own.

    Args:
        parts: in seconds, above 0.

    >>> duration(852), durations([516, 336]), durations([3480, 7])
    ('14 min', ['8 min', '6 min'], ['58 min', '7 s'])
    """
    shown, unit = duration(math.fsum(parts)).split(" ")
    # Hours have one decimal place.
    digits, step = (1, 360) if unit == "h" else (0, 60 if unit == "min" else 1)
    total, large = round(float(shown) * 10**digits), [seconds for seconds in parts if seconds >= step / 2]
    counts = iter(parts_of(total, large) if large else [])
    return [
        f"{next(counts) / 10**digits:.{digits}f} {unit}" if seconds >= step / 2 else duration(seconds)
        for seconds in parts
    ]
