"""Turns of the sides of one network, in one process: each side trains a few seconds at a time."""

from __future__ import annotations

import contextlib
import dataclasses
import random
import statistics
import sys
from collections.abc import Sequence

from benchmarks.training.measuring.case import Case
from benchmarks.training.measuring.limit import limit
from benchmarks.training.measuring.ours import ours
from benchmarks.training.measuring.plain_loop import plain_loop

OPTIMIZERS = ("adamw", "ranger21")

PLAIN_SHARE = 3
"""The plain loop takes two to four times as long, so its turns have a third of the batches."""

Turn = dict[str, float]
"""Seconds per image of each side, named such as ``ours adamw``."""


def turns_of(depth: int, size_px: int, num_batches: int, number: int) -> list[Turn]:
    """Let all sides of both optimizers take turns, in another order each time.

    Args:
        num_batches: batches of one turn.
        number: turns, after one that warms up and is left out.
    """
    with contextlib.ExitStack() as stack:
        sides = {}
        for optimizer in OPTIMIZERS:
            case = Case(depth=depth, size_px=size_px, optimizer=optimizer, num_batches=num_batches)
            shorter = dataclasses.replace(case, num_batches=max(1, num_batches // PLAIN_SHARE))
            for name, side in (("plain", plain_loop(shorter)), ("ours", ours(case)), ("limit", limit(case))):
                sides[f"{name} {optimizer}"] = stack.enter_context(contextlib.closing(side))
        found: list[Turn] = []
        for turn in range(number + 1):
            order = random.Random(turn).sample(list(sides), len(sides))
            found.append({name: next(sides[name]) for name in order})
            rates = ", ".join(f"{name} {1 / found[-1][name]:.1f}" for name in sides)
            label = f"turn {turn} of {number}" if turn else "warm-up"
            print(f"ResNet-{depth} at {size_px} px, {label}: {rates} images/s", file=sys.stderr, flush=True)
        return found[1:]


def ratio(turns: Sequence[Turn], side: str, other: str) -> dict[str, float]:
    """How many times as fast as the other a side is: ``median``, ``low`` and ``high`` over the turns."""
    values = [turn[other] / turn[side] for turn in turns]
    return {"median": statistics.median(values), "low": min(values), "high": max(values)}
