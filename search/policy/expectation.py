"""The result that a trial is expected to have: few trials are complete early in a search that pauses them.

A model that takes one value of each trial needs values that compare. They are those at the highest level that enough
trials have reached, as BOHB chooses its budget (Falkner, Klein & Hutter, ICML 2018). A trial that has not come so far
is not left out, since a model would propose its like again: its value follows from the one at the level that it has
reached, by a line through the trials that have reached both.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping

import numpy as np

ENOUGH = 10
"""Trials at a level whose values are taken as they are: as many as a Gaussian process of Optuna needs to start."""

FEWEST = 3
"""Trials through which a line between two levels is drawn; with fewer, the mean of the upper level is expected."""


def expected(shown: Mapping[int, Mapping[int, float]]) -> dict[int, float]:
    """What each trial is expected to show at the highest level that ``ENOUGH`` trials have reached.

    Empty if there is none. Trials without a finite value at this level or a lower one are left out.

    Args:
        shown: by trial and level: levels ascend, and values compare within a level only.

    >>> few = {number: {1: float(number), 2: 2.0 * number} for number in range(10)}
    >>> found = expected({**few, 10: {1: 10.0}, 11: {}})
    >>> found[9], round(found[10], 6), len(found)
    (18.0, 20.0, 11)
    """
    values: dict[int, dict[int, float]] = {}
    for number, at in shown.items():
        for level, value in at.items():
            if math.isfinite(value):
                values.setdefault(level, {})[number] = value
    top = max((level for level, at in values.items() if len(at) >= ENOUGH), default=None)
    if top is None:
        return {}
    levels = sorted(level for level in values if level <= top)
    found = dict(values[levels[0]])
    for below, level in itertools.pairwise(levels):
        slope, intercept = _line(values[below], values[level])
        # Trials that skipped a level are carried on from the one before it.
        found = {number: slope * value + intercept for number, value in found.items()} | values[level]
    return found


def _line(below: Mapping[int, float], above: Mapping[int, float]) -> tuple[float, float]:
    """Slope and intercept of the least-squares line; a higher value is never expected to become a lower one."""
    both = sorted(below.keys() & above.keys())
    x, y = (np.array([values[number] for number in both]) for values in (below, above))
    spread = float(np.sum((x - x.mean()) ** 2)) if len(both) >= FEWEST else 0.0
    if spread == 0.0:
        return 0.0, float(np.mean(list(above.values())))
    slope = max(0.0, float(np.sum((x - x.mean()) * (y - y.mean()))) / spread)
    return slope, float(y.mean() - slope * x.mean())
