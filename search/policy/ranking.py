"""The order of the trials that reached a rung."""

from __future__ import annotations

import bisect
import math
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from statistics import fmean

from search.policy.rate_schedule import RateSchedule

PRIOR_TRIALS = 4
"""The mean of all trials counts as many trials of a schedule, so that the mean of few is not taken at its word."""


@dataclass(frozen=True, kw_only=True)
class Standing:
    """A trial at a rung."""

    value: float
    """Higher is better; NaN comes last."""

    loss: float
    """Validation loss; lower comes first among equal values, NaN last."""

    seconds: float
    """Mean of an epoch; not NaN."""

    schedule: RateSchedule


def reduced(standings: Mapping[int, Standing]) -> dict[int, float]:
    """The value of each trial less the mean of its schedule, since schedules start differently.

    The mean is shrunk to that of all trials: (sum over the schedule + 4 x mean of all) / (n + 4). Values that are not
    finite do not enter it.
    """
    values: dict[RateSchedule, list[float]] = defaultdict(list)
    for standing in standings.values():
        if math.isfinite(standing.value):
            values[standing.schedule].append(standing.value)
    prior = PRIOR_TRIALS * fmean(value for each in values.values() for value in each) if values else math.nan
    # fsum and fmean round once, so that the means do not depend on the order of the trials.
    means = {schedule: (math.fsum(each) + prior) / (len(each) + PRIOR_TRIALS) for schedule, each in values.items()}
    return {number: each.value - means.get(each.schedule, math.nan) for number, each in standings.items()}


def fronts(standings: Mapping[int, Standing], values: Mapping[int, float]) -> dict[int, int]:
    """The front of each trial, from 0: no trial of a front has both a higher value and fewer seconds than another.

    Each front is what no other trial dominates once those before it are left out (non-dominated sorting). In
    descending order of values, a trial belongs to the first front whose fastest trial is slower.

    Args:
        values: of the trials, not NaN.
    """
    front: dict[int, int] = {}
    fastest: list[float] = []
    before: tuple[tuple[float, float], int] | None = None
    for number in sorted(standings, key=lambda number: (-values[number], standings[number].seconds)):
        seconds = standings[number].seconds
        point = (values[number], seconds)
        # Equal points do not dominate each other.
        at = before[1] if before is not None and before[0] == point else bisect.bisect_right(fastest, seconds)
        fastest[at : at + 1] = [seconds]
        front[number], before = at, (point, at)
    return front


def ranked(standings: Mapping[int, Standing], *, by_schedule: bool, by_cost: bool) -> list[int]:
    """The numbers of the trials, best first: by value, then by validation loss, then by number.

    Args:
        standings: by the trial's number, in any order.
        by_schedule: whether values are ``reduced``.
        by_cost: whether the front of value and seconds comes first (two objectives).
    """
    found = reduced(standings) if by_schedule else {number: each.value for number, each in standings.items()}
    values = {number: -math.inf if math.isnan(value) else value for number, value in found.items()}
    losses = {number: math.inf if math.isnan(each.loss) else each.loss for number, each in standings.items()}
    front = fronts(standings, values) if by_cost else dict.fromkeys(standings, 0)
    return sorted(standings, key=lambda number: (front[number], -values[number], losses[number], number))
