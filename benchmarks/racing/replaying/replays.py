"""Replays of searches on a table over many seeds: device time until the choice stays good, and regret."""

from __future__ import annotations

import functools
import math
import multiprocessing
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np

from benchmarks.racing.replaying.clock import Moment, cost_until_good, regret_at, simulate
from benchmarks.racing.replaying.entrants import Entrant, Stage, enter
from benchmarks.racing.replaying.resampling import Landscape, fit, resample
from benchmarks.racing.replaying.table import Table, View, read_table, views_by_seed
from leukemia.base.errors import UserError

TOLERANCE = 0.005
"""A choice is good if it is within half a point of the target of a criterion."""

Criterion = Literal["best", "as all", "in sight"]

CRITERIA: tuple[Criterion, ...] = ("best", "as all", "in sight")
"""Targets of a choice: *best*, the true accuracy of the best recipe; *as all*, the true accuracy of the recipe picked
after running every recipe in full, which is lower if scores are noisy; *in sight*, the highest visible score."""

NUM_TABLES = 10
"""Resampled tables over which the seeds are distributed; settings are tuned on as many other tables."""

FIRST_TUNING_SEED = 1_000_000
"""Seeds from here on are used for tuning only; reported results use smaller seeds."""

GRID = np.geomspace(0.01, 1.0, 120)
"""Device times at which regret is recorded, as fractions of the cost of running every recipe in full."""


@dataclass(frozen=True)
class Source:
    """The origin of the tables."""

    folder: Path
    num_recipes: int | None
    """Recipes of a resampled table; None: use the recorded table itself."""

    def __post_init__(self) -> None:
        if self.num_recipes is not None and self.num_recipes < 2:
            raise UserError(f"--recipes: expected 2 or more, got {self.num_recipes}")

    @property
    def name(self) -> str:
        """The label of every output."""
        return "recorded" if self.num_recipes is None else "resampled"


@functools.cache
def _recorded(folder: Path) -> Table:
    return read_table(folder)


@functools.cache
def _landscape(folder: Path) -> Landscape:
    recorded = _recorded(folder)
    return Landscape(recorded.space, recorded.recipes, fit(recorded).level)


@functools.cache
def _stage(source: Source, number: int) -> Stage:
    recorded = _recorded(source.folder)
    if source.num_recipes is None:
        return Stage(views_by_seed(recorded)[number])
    landscape = _landscape(source.folder)
    return Stage(resample(recorded, fit(recorded), landscape, source.num_recipes, number))


def stage_of(source: Source, seed: int) -> Stage:
    """The view for a seed: one of the recorded seeds, or one of the ``NUM_TABLES`` resampled tables."""
    if source.num_recipes is None:
        return _stage(source, seed % len(_recorded(source.folder).scores))
    return _stage(source, seed % NUM_TABLES + (NUM_TABLES if seed >= FIRST_TUNING_SEED else 0))


@dataclass(frozen=True, kw_only=True, eq=False)
class Replays:
    """The results of one search over all seeds."""

    entrant: Entrant

    costs: Mapping[Criterion, np.ndarray]
    """By criterion, float64 (seeds,): device seconds; infinite if the criterion is never met for good."""

    regrets: np.ndarray = field(repr=False)
    """float64 (seeds, times of ``GRID``), 0..1."""

    def reached(self, criterion: Criterion) -> float:
        """Share of seeds in which the criterion is met for good, 0..1."""
        return float(np.isfinite(self.costs[criterion]).mean())

    @property
    def final_regret(self) -> float:
        """Mean regret of the last choice."""
        return float(self.regrets[:, -1].mean())


def replay(entrant: Entrant, source: Source, seed: int, num_workers: int) -> tuple[list[float], np.ndarray]:
    """Run one replay; returns its cost by each of ``CRITERIA`` and its regret over ``GRID``."""
    stage = stage_of(source, seed)
    view = stage.view
    # If only complete trials are chosen and none is repeated, nothing displaces the highest score once it is complete.
    highest = int(view.seen.scores[0].mean(axis=1).argmax())
    final = () if entrant.stock is not None or entrant.repeats else (highest,)
    moments = simulate(enter(entrant, stage, np.random.default_rng(seed)), num_workers, final)
    regrets = regret_at(moments, view.truth, GRID * float(view.seen.fold_seconds[0].sum()))
    return _costs(moments, view), regrets


def _costs(moments: Sequence[Moment], view: View) -> list[float]:
    """Device seconds by each of ``CRITERIA``."""
    scores = view.seen.scores[0].mean(axis=1)
    goods = {
        "best": (view.truth, view.best),
        "as all": (view.truth, min(view.best, view.found_by_all)),
        "in sight": (scores, float(scores.max())),
    }
    return [cost_until_good(moments, goods[each][0], goods[each][1] - TOLERANCE) for each in CRITERIA]


def replay_all(
    entrants: Sequence[Entrant], source: Source, seeds: range, num_workers: int, pool: Pool
) -> list[Replays]:
    """Replay every search over the same seeds."""
    found = pool.starmap(replay, [(entrant, source, seed, num_workers) for entrant in entrants for seed in seeds])
    replays = []
    for index, entrant in enumerate(entrants):
        costs, regrets = zip(*found[index * len(seeds) : (index + 1) * len(seeds)], strict=True)
        by_criterion = dict(zip(CRITERIA, np.array(costs).T, strict=True))
        replays.append(Replays(entrant=entrant, costs=by_criterion, regrets=np.stack(regrets)))
    return replays


class Pool:
    """A pool of processes; with one process, work runs in the calling process."""

    def __init__(self, num_processes: int) -> None:
        self._pool = multiprocessing.get_context("spawn").Pool(num_processes) if num_processes > 1 else None

    def starmap(self, work, jobs):  # type: ignore[no-untyped-def]
        """Apply ``work`` to each of ``jobs``; results keep their order."""
        if self._pool is None:
            return [work(*job) for job in jobs]
        return self._pool.starmap(work, jobs, chunksize=max(1, len(jobs) // 64))


def tune(grid: Sequence[Entrant], source: Source, num_workers: int, pool: Pool) -> dict[Criterion, Entrant]:
    """The best settings of a grid by each criterion, on separate seeds; the best four by each enter a second round."""
    seeds = range(FIRST_TUNING_SEED, FIRST_TUNING_SEED + NUM_TABLES // 2)
    entrants = list(grid)
    if len(grid) > 4:
        first = replay_all(grid, source, seeds, num_workers, pool)
        leading = [sorted(first, key=functools.partial(_rank, criterion))[:4] for criterion in CRITERIA]
        entrants = list(dict.fromkeys(each.entrant for some in leading for each in some))
    seeds = range(seeds.stop, seeds.stop + 2 * NUM_TABLES)
    second = replay_all(entrants, source, seeds, num_workers, pool)
    return {each: min(second, key=functools.partial(_rank, each)).entrant for each in CRITERIA}


def _rank(criterion: Criterion, replays: Replays) -> tuple[float, float, float]:
    return median(replays.costs[criterion]), -replays.reached(criterion), replays.final_regret


def median(costs: np.ndarray) -> float:
    """The upper median, which never averages with infinity; infinite if at least half of the costs are."""
    return float(np.sort(costs)[len(costs) // 2])


def ratio(ours: np.ndarray, theirs: np.ndarray) -> tuple[float, float, float]:
    """Ratio of medians with a 95 % bootstrap interval over seeds; NaN if either median is not finite."""
    draws = np.random.default_rng(0).integers(len(ours), size=(1000, len(ours)))
    ratios = [_quotient(median(ours[draw]), median(theirs[draw])) for draw in draws]
    low, high = np.nanquantile(ratios, [0.025, 0.975]) if np.isfinite(ratios).any() else (math.nan, math.nan)
    return _quotient(median(ours), median(theirs)), float(low), float(high)


def _quotient(ours: float, theirs: float) -> float:
    return ours / theirs if math.isfinite(ours) and math.isfinite(theirs) and theirs > 0 else math.nan
