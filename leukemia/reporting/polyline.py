"""Curves with as few points as a picture needs."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

TOLERANCE = 1e-3
"""Distance from the whole curve, as a share of the axes: a third of a pixel of a panel."""


def simplified(x: NDArray[np.float64], y: NDArray[np.float64], tolerance: float = TOLERANCE) -> NDArray[np.intp]:
    """Indices of the points whose line stays near all points of a curve (Douglas & Peucker 1973).

    Args:
        x, y: (n,), both in 0..1, without NaN; at least one point.
        tolerance: largest distance of a point that is left out from the line.

    Returns:
        Ascending, with the first and the last point.

    >>> simplified(np.array([0, 0, 0, 1.0]), np.array([0, 0.4, 1, 1.0])).tolist()
    [0, 2, 3]
    """
    points, kept = np.column_stack([x, y]), np.zeros(len(x), dtype=bool)
    kept[[0, -1]] = True
    parts = [(0, len(x) - 1)]
    while parts:
        first, last = parts.pop()
        if last - first < 2:
            continue
        distances = _distances(points[first + 1 : last], points[first], points[last])
        farthest = int(np.argmax(distances))
        if distances[farthest] > tolerance:
            middle = first + 1 + farthest
            kept[middle] = True
            parts += [(first, middle), (middle, last)]
    return np.flatnonzero(kept)


def _distances(
    points: NDArray[np.float64], start: NDArray[np.float64], end: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Of each point (n, 2) from the line between two points, (n,)."""
    along, away = end - start, points - start
    squared = float(along @ along)
    shares = np.clip(away @ along / squared, 0, 1) if squared else np.zeros(len(points))
    found: NDArray[np.float64] = np.linalg.norm(away - shares[:, None] * along, axis=1)
    return found
