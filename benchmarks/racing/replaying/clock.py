"""Simulated time: workers that execute work units, and the device time spent when a search changes its choice."""

from __future__ import annotations

import heapq
import math
from collections.abc import Collection, Sequence
from typing import NamedTuple, Protocol

import numpy as np


class Work(NamedTuple):
    """A unit of work that one worker executes without interruption."""

    trial: int
    seed: int
    """0: the trial itself; 1 and up: its repeats."""

    step: int
    """Number of the fold, or of the epoch."""

    seconds: float


class Strategy(Protocol):
    """A search to be replayed."""

    @property
    def choice(self) -> int | None:
        """The recipe it would return now; None before the first result."""

    def next(self) -> Work | None:
        """Work for a free worker; None if there is none until some running work finishes."""

    def finish(self, work: Work) -> None:
        """Record the result of finished work."""


class Moment(NamedTuple):
    """A point in time at which a search changes its choice."""

    seconds: float
    """Wall-clock time."""

    device_seconds: float
    """Spent by all workers until then, including on work still in flight."""

    choice: int | None


def simulate(strategy: Strategy, num_workers: int, final: Collection[int] = ()) -> list[Moment]:
    """Run a search and return its changes of choice, with its end as the last moment.

    Args:
        final: recipes that need no better one: once one is chosen, the simulation ends.
    """
    now = busy = 0.0
    running: list[tuple[float, int, Work]] = []
    moments = [Moment(0.0, 0.0, None)]
    num_started = 0
    while True:
        while len(running) < num_workers and (work := strategy.next()) is not None:
            heapq.heappush(running, (now + work.seconds, num_started, work))
            num_started += 1
        if not running or moments[-1].choice in final:
            return [*moments, Moment(now, busy, moments[-1].choice)]
        end, _, work = heapq.heappop(running)
        busy += (end - now) * (len(running) + 1)
        now = end
        strategy.finish(work)
        if strategy.choice != moments[-1].choice:
            moments.append(Moment(now, busy, strategy.choice))


def cost_until_good(moments: Sequence[Moment], truth: np.ndarray, good: float) -> float:
    """Device seconds until the true accuracy of the choice stays at ``good`` or above; infinity if it never does."""
    cost = math.inf
    for moment in moments:
        is_good = moment.choice is not None and truth[moment.choice] >= good
        cost = min(cost, moment.device_seconds) if is_good else math.inf
    return cost


def regret_at(moments: Sequence[Moment], truth: np.ndarray, device_seconds: np.ndarray) -> np.ndarray:
    """Best true accuracy minus that of the choice at each device time; without a choice, of the starting recipe."""
    regrets = truth.max() - truth[[moment.choice or 0 for moment in moments]]
    times = [moment.device_seconds for moment in moments]
    return regrets[np.searchsorted(times, device_seconds, side="right") - 1]
