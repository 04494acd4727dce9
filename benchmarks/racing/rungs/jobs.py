"""Which folds of which recipes are recorded: fold 0 of all, the others of the best and of a random few."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np


class Job(NamedTuple):
    """One training."""

    seed: int
    recipe: int
    fold: int


@dataclass(frozen=True, kw_only=True)
class Extent:
    """How much is recorded."""

    num_recipes: int = 48
    num_folds: int = 5

    num_best: int = 18
    """Recipes of which all folds are trained, chosen by fold 0: those among which a search decides."""

    num_others: int = 6
    """The same, drawn from the rest: without them, how fold 0 and the others agree would be known of the best only."""

    num_repeated: int = 6
    """Of the best, evenly spaced in rank, trained again on all folds with a second seed."""


def jobs_of(extent: Extent, score: Callable[[Job], float]) -> Iterator[Job]:
    """All jobs, in an order in which each depends on earlier ones only.

    Args:
        score: result of a finished job, higher is better; -inf if the training diverged.
    """
    first = [Job(0, recipe, 0) for recipe in range(extent.num_recipes)]
    yield from first
    ranked = sorted(first, key=lambda job: (-score(job), job.recipe))
    best, rest = ranked[: extent.num_best], ranked[extent.num_best :]
    drawn = np.random.default_rng(1).permutation(len(rest))[: extent.num_others]
    for job in (*best, *(rest[place] for place in sorted(drawn))):
        yield from (Job(0, job.recipe, fold) for fold in range(1, extent.num_folds))
    for place in np.linspace(0, extent.num_best - 1, extent.num_repeated).round().astype(int):
        yield from (Job(1, best[place].recipe, fold) for fold in range(extent.num_folds))
