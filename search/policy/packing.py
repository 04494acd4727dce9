"""How many trials share a GPU, from the measured memory of earlier ones."""

from __future__ import annotations

from leukemia.config.recipe import Recipe
from leukemia.training.device import CONTEXT_MB
from search.policy.effort import memory_mb

MAX_PER_GPU = 4
"""Maximum number of trials per GPU. A single trial leaves it idle while scoring folds and waiting for images; beyond a
few, trials slow each other down, and each needs its own CPU cores."""

USABLE = 0.9
"""Share of a GPU's memory that trials may use."""

MARGIN = 1.25
"""Safety factor on estimates from other networks: their shapes differ, and freed memory is fragmented."""


class Packing:
    """Decides how many trials may share a GPU, from memory measurements.

    The estimate (``memory_mb``) is scaled by the largest ratio of measured to estimated memory so far. Before the first
    measurement, which is the first epoch of trial 0, each trial gets a whole GPU. Sharing a GPU affects how long trials
    take, not their results.
    """

    def __init__(self) -> None:
        self._ratio: float | None = None
        self._smallest_mb = float("inf")

    def measure(self, recipe: Recipe, peak_mb: float, device_mb: float) -> None:
        """Record the memory use of an epoch.

        Args:
            peak_mb: peak memory allocated by torch; 0 on a CPU.
            device_mb: total memory of the GPU; the smallest GPU so far counts, since any trial may run there.
        """
        if peak_mb > 0 and device_mb > 0:
            self._ratio = max(self._ratio or 0.0, peak_mb / memory_mb(recipe))
            self._smallest_mb = min(self._smallest_mb, device_mb)

    def per_gpu(self, recipe: Recipe) -> int:
        """How many trials like this may share a GPU, 1 to ``MAX_PER_GPU``."""
        if self._ratio is None:
            return 1
        needed = MARGIN * self._ratio * memory_mb(recipe) + CONTEXT_MB
        return max(1, min(MAX_PER_GPU, int(USABLE * self._smallest_mb / needed)))
