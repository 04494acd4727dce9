"""Pure: how large a part of a GPU a recipe gets, from the memory that others were seen to need."""

from __future__ import annotations

from leukemia.config.recipe import Recipe
from leukemia.training.device import CONTEXT_MB
from search.policy.effort import memory_mb

MAX_PER_GPU = 4
"""Trials that share a GPU at most: one alone leaves it idle while it scores folds and waits for images; with more than
a few each waits for the others, and each wants processors of its own."""

USABLE = 0.9
"""Of a GPU's memory."""

MARGIN = 1.25
"""On what was seen of other networks: their shapes differ, and freed memory comes back in pieces."""


class Packing:
    """Learns what recipes need, and says how many of a kind may share a GPU.

    The rule: what a network needs is counted (``memory_mb``), and the count is corrected by the largest ratio of
    measured to counted so far. Before anything was measured each trial gets a whole GPU: the first epoch of trial 0
    is the first measurement. Which part a trial got changes no number, only when it is done.
    """

    def __init__(self) -> None:
        self._ratio: float | None = None
        self._smallest_mb = float("inf")

    def measure(self, recipe: Recipe, peak_mb: float, device_mb: float) -> None:
        """An epoch has ended.

        Args:
            peak_mb: what torch had allocated at most.
            device_mb: all memory of the GPU; trials may come to the smallest that was seen.
        """
        if peak_mb > 0 and device_mb > 0:
            self._ratio = max(self._ratio or 0.0, peak_mb / memory_mb(recipe))
            self._smallest_mb = min(self._smallest_mb, device_mb)

    def per_gpu(self, recipe: Recipe) -> int:
        """How many trials like this one share a GPU, 1 to ``MAX_PER_GPU``."""
        if self._ratio is None:
            return 1
        needed = MARGIN * self._ratio * memory_mb(recipe) + CONTEXT_MB
        return max(1, min(MAX_PER_GPU, int(USABLE * self._smallest_mb / needed)))
