"""Samplers on a table: proposals are limited to its recipes, so a Gaussian process cannot be compared there."""

from __future__ import annotations

import heapq

import numpy as np

from benchmarks.racing.replaying.proposals import AtRandom, Proposer, TableTPE, one_by_one
from benchmarks.racing.replaying.replays import Source, stage_of
from leukemia.study.schema import SamplerName

SAMPLERS: tuple[SamplerName, ...] = ("random", "tpe", "tpe-univariate")
"""Those that can choose among given recipes."""

NUM_PLACES = 8


def budgets_of(source: Source) -> tuple[int, int]:
    """Complete trials after which the choice is compared: a quarter and half of the table's recipes."""
    num_recipes = len(stage_of(source, 0).view.seen.recipes)
    return num_recipes // 4, num_recipes // 2


def table_regrets(sampler: SamplerName, source: Source, seed: int) -> list[float]:
    """What the choice lacks to the truly best recipe of a table after each of ``budgets_of``, in points.

    All trials run all folds, ``NUM_PLACES`` at a time. Shorter ones end first, so how long recipes take matters.
    """
    stage = stage_of(source, seed)
    view, generator = stage.view, np.random.default_rng(seed)
    proposer: Proposer
    match sampler:
        case "random":
            proposer = AtRandom(len(view.truth), generator)
        case "tpe":
            proposer = TableTPE(stage.groups, generator)
        case _:
            proposer = TableTPE(one_by_one(stage.groups), generator)
    scores, seconds = view.seen.scores[0].mean(axis=1), view.seen.fold_seconds[0].sum(axis=1)
    running: list[tuple[float, int]] = []
    complete: list[int] = []
    now = 0.0
    budgets = budgets_of(source)
    while len(complete) < budgets[-1]:
        while len(running) < NUM_PLACES and (recipe := proposer.propose()) is not None:
            heapq.heappush(running, (now + float(seconds[recipe]), recipe))
        now, recipe = heapq.heappop(running)
        proposer.tell(recipe, "complete", [float(scores[recipe])])
        complete.append(recipe)
    chosen = [max(complete[:budget], key=lambda recipe: scores[recipe]) for budget in budgets]
    return [100 * (view.best - float(view.truth[recipe])) for recipe in chosen]
