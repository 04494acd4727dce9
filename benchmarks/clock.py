"""Simulated time: workers that run pieces of work, and what has been spent when a search changes its mind."""

from __future__ import annotations

import heapq
import math
from collections.abc import Sequence
from typing import NamedTuple, Protocol

import numpy as np


class Work(NamedTuple):
    """What one worker runs without a break."""

    trial: int
    seed: int
    """0: the trial itself; others: its repeats."""

    step: int
    """Number of the fold, or of the epoch."""

    seconds: float


class Strategy(Protocol):
    """A search that is replayed."""

    @property
    def choice(self) -> int | None:
        """The recipe that it would hand over now."""

    def next(self) -> Work | None:
        """Work for a free worker; None: nothing to do before something ends."""

    def hear(self, work: Work) -> None:
        """Some work has ended."""


class Moment(NamedTuple):
    """When a search changes its choice."""

    seconds: float
    """By the clock."""

    device_seconds: float
    """Spent by all workers until then, on work in flight, too."""

    choice: int | None


def simulate(strategy: Strategy, num_workers: int, last_choice: int | None = None) -> list[Moment]:
    """Run a search: its changes of choice, and its end as the last moment.

    Args:
        last_choice: a recipe that nothing can displace once it is chosen; the search is not followed any further.
    """
    now = busy = 0.0
    running: list[tuple[float, int, Work]] = []
    moments = [Moment(0.0, 0.0, None)]
    begun = 0
    while True:
        while len(running) < num_workers and (work := strategy.next()) is not None:
            heapq.heappush(running, (now + work.seconds, begun, work))
            begun += 1
        if not running or (last_choice is not None and moments[-1].choice == last_choice):
            return [*moments, Moment(now, busy, moments[-1].choice)]
        end, _, work = heapq.heappop(running)
        busy += (end - now) * (len(running) + 1)
        now = end
        strategy.hear(work)
        if strategy.choice != moments[-1].choice:
            moments.append(Moment(now, busy, strategy.choice))


def cost_until_good(moments: Sequence[Moment], truth: np.ndarray, good: float) -> float:
    """Device seconds until the truth of the choice is ``good`` or better for the rest of the search, else infinity."""
    cost = math.inf
    for moment in moments:
        is_good = moment.choice is not None and truth[moment.choice] >= good
        cost = min(cost, moment.device_seconds) if is_good else math.inf
    return cost


def regret_at(moments: Sequence[Moment], truth: np.ndarray, device_seconds: np.ndarray) -> np.ndarray:
    """Truth of the best recipe less that of the choice at each device time; the first choice is the starting recipe."""
    regrets = truth.max() - truth[[moment.choice or 0 for moment in moments]]
    times = [moment.device_seconds for moment in moments]
    return regrets[np.searchsorted(times, device_seconds, side="right") - 1]
