"""Asynchronous successive halving: the single bracket of Ray Tune's ASHAScheduler, without Ray."""

from __future__ import annotations

import bisect
import math


class Bracket:
    """Rungs at ``grace`` epochs times powers of the reduction factor; a test compares it with Ray's."""

    def __init__(self, grace: int, maximum: int, factor: int) -> None:
        """
        Args:
            grace: epochs granted to every trial.
            maximum: epochs after which a trial ends.
            factor: the best 1 / ``factor`` of a rung continue.
        """
        self.maximum, self._factor = maximum, factor
        num_rungs = int(math.log(maximum / grace) / math.log(factor) + 1)
        self._rungs: dict[int, list[float]] = {grace * factor**power: [] for power in range(num_rungs)}

    def goes_on(self, epoch: int, value: float) -> bool:
        """Whether a trial with this value at this epoch continues, given the earlier values at the same rung."""
        if epoch >= self.maximum:
            return False
        rung = self._rungs.get(epoch)
        if rung is None:
            return True
        passed = not rung or value >= _percentile(rung, 1 - 1 / self._factor)
        bisect.insort(rung, value)
        return passed


def _percentile(ascending: list[float], share: float) -> float:
    """Linear interpolation between the two nearest values, as in ``numpy.percentile``."""
    place = share * (len(ascending) - 1)
    low = math.floor(place)
    high = min(low + 1, len(ascending) - 1)
    return ascending[low] + (place - low) * (ascending[high] - ascending[low])
