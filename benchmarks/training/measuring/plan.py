"""How much the throughput benchmark measures."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Plan:
    """The sizes of one run."""

    networks: Mapping[tuple[int, int], int]
    """Depth and side in pixels of each network, with the batches of one turn."""

    turns: int
    """Of each side, after one that warms up."""

    augmented_batches: int
    """Batches of one turn of augmentation."""

    depths: tuple[int, ...] = (18, 50, 152)
    """Networks whose Ranger21 is counted."""

    fold_batches: int
    """Batches of 32 of all images of the fold, which the first network is trained on; 0 for no fold."""

    fold_epochs: int = 30
    """Epochs of the fold."""


FULL = Plan(networks={(18, 96): 8, (18, 224): 2, (50, 96): 4}, turns=11, augmented_batches=32, fold_batches=20)
"""About 20 minutes on two idle cores; turns of 2 to 6 seconds."""

SHORT = Plan(networks={(18, 96): 8}, turns=7, augmented_batches=32, fold_batches=0)
"""Three to four minutes, the turns as long as those of ``FULL``."""

SMOKE = Plan(networks={(18, 32): 1}, turns=1, augmented_batches=1, fold_batches=5, fold_epochs=1)
"""Seconds; the figures mean nothing."""
