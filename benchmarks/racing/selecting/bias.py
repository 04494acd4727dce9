"""How far estimates of the winner's score lie above the truth."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from benchmarks.racing.selecting.studies import FOLD_IMAGES, NUM_FOLDS, Study, World, simulate
from benchmarks.racing.selecting.survivors import KINDS
from leukemia.scoring.selection import Candidates, corrected

NUM_RESAMPLES = 200
ESTIMATES = ("raw", "on_all_folds", "bootstrap", "leave_fold_out", "headline")


def remaining_bias(study: Study, complete: list[int], scored_folds: Sequence[int], seed: int) -> dict[str, float]:
    """Excess of each estimate over the true accuracy, in points.

    The mean over all recipes of this study, complete or not, on the folds that an estimate is scored on serves as a
    control variate for the true accuracy: it has the same expectation and shares their easy and hard images, so that
    means over studies converge much faster.
    """
    correct = study.correct
    labels = np.random.default_rng(seed).integers(2, size=len(study.folds))
    probabilities = [np.where(correct[recipe], labels, 1 - labels)[None].astype(float) for recipe in complete]
    candidates = Candidates(labels=labels, groups=study.groups.tolist(), folds=study.folds, probabilities=probabilities)
    found = corrected(candidates, "accuracy", scored_folds=scored_folds, seed=seed, num_resamples=NUM_RESAMPLES)
    truth, scored_truth = correct.mean(), correct[:, np.isin(study.folds, scored_folds)].mean()
    return {
        "raw": 100 * float(found.raw.value - truth),
        "on_all_folds": 100 * float(_on_all_folds(correct[complete]) - truth),
        **{name: 100 * float(getattr(found, name).value - scored_truth) for name in ESTIMATES[2:]},
    }


def _on_all_folds(correct: np.ndarray) -> float:
    """The mean score, in each fold, of the recipe that is best on the others; ``correct`` are answers (recipes, n)."""
    right = correct.reshape(len(correct), NUM_FOLDS, FOLD_IMAGES).sum(axis=2)
    best = (right.sum(axis=1, keepdims=True) - right).argmax(axis=0)
    return float(right[best, np.arange(NUM_FOLDS)].mean() / FOLD_IMAGES)


def cell(world: World, num_studies: int, only: Collection[str] = tuple(KINDS)) -> Iterator[dict[str, Any]]:
    """One row for each kind of search, on the same studies: means, and the standard error of the mean headline.

    Args:
        only: names in ``KINDS``.
    """
    kinds = {name: kind for name, kind in KINDS.items() if name in only and world.num_recipes >= kind.fewest}
    rows: dict[str, list[dict[str, float]]] = {name: [] for name in kinds}
    for number in range(num_studies):
        study = simulate(world, np.random.default_rng(number))
        known: dict[tuple[tuple[int, ...], Sequence[int]], dict[str, float]] = {}
        for name, kind in kinds.items():
            complete = kind.survivors(study)
            key = tuple(complete), kind.scored_folds
            if key not in known:
                known[key] = remaining_bias(study, complete, kind.scored_folds, number)
            rows[name].append({"complete": len(complete), **known[key]})
    for name, found in rows.items():
        means = {key: float(np.mean([row[key] for row in found])) for key in found[0]}
        error = float(np.std([row["headline"] for row in found], ddof=1)) / math.sqrt(num_studies)
        yield {**asdict(world), "race": name, **means, "error": error}
