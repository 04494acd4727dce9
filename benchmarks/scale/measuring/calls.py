"""Timings of the driver's calls, each with the number of trials that had finished before it."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TypeVar

import numpy as np

T = TypeVar("T")


class Call(NamedTuple):
    """The timing of one call."""

    start: float
    seconds: float
    cpu_seconds: float
    num_finished: int
    """Trials that had finished before the call."""


class Calls:
    """All calls of a search, by kind."""

    def __init__(self, num_finished: int = 0) -> None:
        self.by_kind: dict[str, list[Call]] = {}
        self.num_finished = num_finished

    def time(self, method: Callable[..., T], *arguments: Any, kind: Callable[[T], str]) -> T:
        """Call the method and record its time; ``kind`` maps its result to the kind of call."""
        start, cpu = time.monotonic(), time.thread_time()
        found = method(*arguments)
        call = Call(start, time.monotonic() - start, time.thread_time() - cpu, self.num_finished)
        self.by_kind.setdefault(kind(found), []).append(call)
        return found


def spread(calls: Sequence[Call]) -> dict[str, float]:
    """Statistics of one kind of call, in milliseconds."""
    seconds = 1000 * np.array([call.seconds for call in calls])
    cpu = 1000 * np.array([call.cpu_seconds for call in calls])
    median, high = np.quantile(seconds, [0.5, 0.95])
    return {
        "count": len(calls),
        "median": float(median),
        "p95": float(high),
        "max": float(seconds.max()),
        "cpu_median": float(np.median(cpu)),
    }


def series(calls: Sequence[Call], size: int = 50) -> list[list[float]]:
    """For each ``size`` consecutive calls: trials finished before, median, 95 % quantile and median CPU time, in ms."""
    parts = [calls[first : first + size] for first in range(0, len(calls), size)]
    rows = []
    for part in parts:
        seconds, cpu = ([1000 * getattr(call, name) for call in part] for name in ("seconds", "cpu_seconds"))
        finished = float(np.median([call.num_finished for call in part]))
        rows.append([finished, *map(float, np.quantile(seconds, [0.5, 0.95])), float(np.median(cpu))])
    return rows
