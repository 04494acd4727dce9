"""Which recipes of a simulated study complete all folds."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from benchmarks.racing.selecting.studies import NUM_FOLDS, Study
from leukemia.scoring.paired import fold_noise
from search.policy.early_stopping import judge_race

Survivors: TypeAlias = Callable[[Study], list[int]]
"""Maps a study to the recipes that complete all folds, ascending."""


@dataclass(frozen=True, kw_only=True)
class Kind:
    """How a search decides which recipes complete all folds, and on which folds their corrections are scored."""

    survivors: Survivors
    scored_folds: Sequence[int] = range(NUM_FOLDS)
    fewest: int = 1
    """Only studies with at least so many recipes."""


def unraced(study: Study) -> list[int]:
    """Without racing, every recipe completes."""
    return list(range(len(study.correct)))


def raced(study: Study) -> list[int]:
    """Recipes in order, each compared after every fold but the last with the best complete one on the same images."""
    first = study.correct[0]
    noise = fold_noise([study.difference(first, study.repeat, study.folds == fold) for fold in range(NUM_FOLDS)])
    complete = [0]
    for recipe in range(1, len(study.correct)):
        best = max(complete, key=lambda other: (study.correct[other].mean(), -other))
        if _completes(study, recipe, best, noise, len(complete)):
            complete.append(recipe)
    return complete


def _completes(study: Study, recipe: int, best: int, noise: float, num_rivals: int) -> bool:
    for seen in range(1, NUM_FOLDS):
        difference = study.difference(study.correct[recipe], study.correct[best], study.folds < seen)
        verdict = judge_race(difference, folds_seen=seen, num_folds=NUM_FOLDS, noise=noise, num_rivals=num_rivals)
        if not verdict.continues:
            return False
    return True


def held(share: int, study: Study) -> list[int]:
    """The best recipes by fold 0, one in ``share``."""
    first = study.correct[:, study.folds == 0].mean(axis=1)
    return sorted(np.argsort(-first, kind="stable")[: len(first) // share].tolist())


KINDS = {
    "unraced": Kind(survivors=unraced),
    "raced": Kind(survivors=raced),
    "third": Kind(survivors=functools.partial(held, 3), scored_folds=range(1, NUM_FOLDS), fewest=20),
    "ninth": Kind(survivors=functools.partial(held, 9), scored_folds=range(1, NUM_FOLDS), fewest=20),
}
"""By name in the printed table."""
