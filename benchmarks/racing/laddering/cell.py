"""A cell: searches replayed on the worlds of a table, with a number of workers and a way to propose."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np

from benchmarks.racing.laddering.entrants import BUDGETED, Entrant, enter, entrants_for, stock_grid
from benchmarks.racing.laddering.world import TOLERANCE, World
from benchmarks.racing.replaying.clock import cost_until_good, simulate
from benchmarks.racing.replaying.replays import FIRST_TUNING_SEED, Pool, median
from benchmarks.racing.replaying.strategies import Pick, Stock

BUDGET_WORKERS = 8
"""Searches with a budget are replayed with so many workers only."""

NUM_FINALISTS = 4
"""Settings of stock Ray Tune that enter the second round of tuning."""


class Worlds(Protocol):
    """Where the worlds of a table come from. Seeds from ``FIRST_TUNING_SEED`` on give worlds of other tables."""

    @property
    def name(self) -> str: ...

    @property
    def family(self) -> str:
        """Tables of a family are reported in one file."""

    @property
    def workers(self) -> tuple[int, ...]:
        """Numbers of workers with which searches that propose at random are replayed."""

    @property
    def own_workers(self) -> int | None:
        """The same for searches with their own sampler; None if it has nothing to learn from."""

    def missing(self) -> str | None:
        """Why there are no worlds here; None if there are."""

    def world(self, seed: int) -> World: ...


@dataclass(frozen=True, kw_only=True)
class Effort:
    """How much is replayed."""

    seeds: int
    tuning: tuple[int, int]
    """Seeds of the first round, for all settings of stock Ray Tune, and of the second, for the best."""

    studies: int
    """Simulated studies of each kind, for the bias of the headline."""


FULL = Effort(seeds=400, tuning=(10, 30), studies=200)
QUICK = Effort(seeds=60, tuning=(4, 8), studies=40)


@dataclass(frozen=True, kw_only=True)
class Cell:
    """What is replayed on a table."""

    worlds: Worlds
    workers: int
    own_sampler: bool = False

    @property
    def name(self) -> str:
        """As it appears in tables and in the summary."""
        return f"{self.worlds.name}, {self.workers} workers, {self.proposals}"

    @property
    def proposals(self) -> str:
        """How recipes are proposed."""
        return "own samplers" if self.own_sampler else "random proposals"


@dataclass(frozen=True, kw_only=True, eq=False)
class Result:
    """What one search did over all seeds."""

    entrant: Entrant
    costs: np.ndarray
    """float64 (seeds,): device time until its choice stays in sight, in complete trials' worth; infinite if never."""

    regrets: np.ndarray
    """float64 (seeds,), 0..1: the highest visible score minus that of its last choice."""

    spent: np.ndarray
    """float64 (seeds,): device time at its end, in complete trials' worth; without a budget it ends once in sight."""

    @property
    def reach(self) -> float:
        """Share of the seeds in which its choice stays in sight."""
        return float(np.isfinite(self.costs).mean())


def cells_of(worlds: Worlds) -> list[Cell]:
    """All cells of a table."""
    cells = [Cell(worlds=worlds, workers=workers) for workers in worlds.workers]
    if worlds.own_workers is not None:
        cells.append(Cell(worlds=worlds, workers=worlds.own_workers, own_sampler=True))
    return cells


def run_table(worlds: Worlds, effort: Effort, pool: Pool) -> dict[Cell, list[Result]]:
    """Replay all searches of all cells of a table over the same seeds."""
    stock = _tuned(cells_of(worlds), effort, pool)
    plans = {
        cell: (*entrants_for(settings), *(BUDGETED if cell.workers == BUDGET_WORKERS else ()))
        for cell, settings in stock.items()
    }
    return _replayed(plans, range(effort.seeds), pool)


def _replayed(plans: Mapping[Cell, Sequence[Entrant]], seeds: range, pool: Pool) -> dict[Cell, list[Result]]:
    found = pool.starmap(replay, [(plans, seed) for seed in seeds])
    results = {}
    for row, (cell, entrants) in enumerate(plans.items()):
        values = np.array([of_seed[row] for of_seed in found])
        results[cell] = [
            Result(entrant=entrant, costs=values[:, index, 0], regrets=values[:, index, 1], spent=values[:, index, 2])
            for index, entrant in enumerate(entrants)
        ]
    return results


def replay(plans: Mapping[Cell, Sequence[Entrant]], seed: int) -> list[list[tuple[float, float, float]]]:
    """For each cell of one table, what each search did on the world of a seed: cost, regret, time, as in ``Result``."""
    world = next(iter(plans)).worlds.world(seed)
    return [[_replay(entrant, world, cell, seed) for entrant in entrants] for cell, entrants in plans.items()]


def _replay(entrant: Entrant, world: World, cell: Cell, seed: int) -> tuple[float, float, float]:
    search = enter(entrant, world, cell.workers, np.random.default_rng(seed), own_sampler=cell.own_sampler)
    # A choice among complete trials never becomes worse, but stock Ray Tune chooses by accuracy without TTA.
    to_the_end = entrant.kind == "stock" or math.isfinite(entrant.budget)
    final = () if to_the_end else world.in_sight
    moments = simulate(search, cell.workers, final)
    cost = cost_until_good(moments, world.visible, float(world.visible.max()) - TOLERANCE)
    regret = world.visible.max() - world.visible[moments[-1].choice or 0]
    return cost / world.trial_seconds, float(regret), moments[-1].device_seconds / world.trial_seconds


def _tuned(cells: Sequence[Cell], effort: Effort, pool: Pool) -> dict[Cell, list[Stock]]:
    """For each cell the best settings of stock Ray Tune that may hand over any trial, and only complete ones.

    The first round is played with random proposals, for speed.
    """
    example = cells[0].worlds.world(FIRST_TUNING_SEED)
    grid = stock_grid(example.num_folds, example.num_epochs)
    seeds = range(FIRST_TUNING_SEED, FIRST_TUNING_SEED + effort.tuning[0])
    first = _replayed({replace(cell, own_sampler=False): grid for cell in cells}, seeds, pool)
    finalists = {cell: _leading(first[replace(cell, own_sampler=False)], NUM_FINALISTS) for cell in cells}
    second = _replayed(finalists, range(seeds.stop, seeds.stop + effort.tuning[1]), pool)
    return {cell: [_settings(each) for each in _leading(results, 1)] for cell, results in second.items()}


def _leading(results: Sequence[Result], count: int) -> list[Entrant]:
    """The best settings for each choice: cheapest first, else those that have the winner in sight most often."""
    ranked = sorted(results, key=lambda each: (median(each.costs), -each.reach, float(each.regrets.mean())))
    entrants = [each.entrant for each in ranked]
    picks: tuple[Pick, ...] = ("last reported", "all epochs")
    return [each for pick in picks for each in [one for one in entrants if _settings(one).pick == pick][:count]]


def _settings(entrant: Entrant) -> Stock:
    assert entrant.stock is not None
    return entrant.stock
