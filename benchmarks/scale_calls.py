"""The driver's calls, timed from outside: each with the trials that had ended before it."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np


class Call(NamedTuple):
    """One call of the driver, timed from outside."""

    start: float
    seconds: float
    cpu_seconds: float
    num_ended: int
    """Trials that had ended before."""


class Calls:
    """All calls of a search by kind."""

    def __init__(self, num_ended: int = 0) -> None:
        self.by_kind: dict[str, list[Call]] = {}
        self.num_ended = num_ended

    def time(self, method: Callable[..., Any], *arguments: Any, kind: Callable[[Any], str]) -> Any:
        """Call the method; ``kind`` names the call, given what it returned."""
        start, cpu = time.monotonic(), time.thread_time()
        found = method(*arguments)
        call = Call(start, time.monotonic() - start, time.thread_time() - cpu, self.num_ended)
        self.by_kind.setdefault(kind(found), []).append(call)
        return found


def spread(calls: Sequence[Call]) -> dict[str, float]:
    """Milliseconds of one kind of call."""
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
    """Of each ``size`` calls in a row: trials ended before; median and 95 % milliseconds; median of the CPU."""
    parts = [calls[first : first + size] for first in range(0, len(calls), size)]
    rows = []
    for part in parts:
        seconds, cpu = ([1000 * getattr(call, name) for call in part] for name in ("seconds", "cpu_seconds"))
        ended = float(np.median([call.num_ended for call in part]))
        rows.append([ended, *map(float, np.quantile(seconds, [0.5, 0.95])), float(np.median(cpu))])
    return rows
