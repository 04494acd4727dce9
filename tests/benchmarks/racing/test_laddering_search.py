"""The project's search in simulated time: equal to the race's replay without the ladder, and faithful to it with it."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from benchmarks.racing.laddering import world_progress
from benchmarks.racing.laddering.bounds import CompleteSearch, OracleSearch
from benchmarks.racing.laddering.entrants import Entrant, enter, stock_grid
from benchmarks.racing.laddering.generated import Generated
from benchmarks.racing.laddering.recorded import world_of
from benchmarks.racing.laddering.search import RESTART_EPOCHS, ProjectSearch
from benchmarks.racing.laddering.world import Hopeless, World
from benchmarks.racing.replaying.cached_race import TableCache
from benchmarks.racing.replaying.clock import Moment, simulate
from benchmarks.racing.replaying.judges import Raced
from benchmarks.racing.replaying.proposals import AtRandom
from benchmarks.racing.replaying.strategies import FoldSearch
from benchmarks.racing.replaying.table import Table
from search.policy.ladder import Ladder
from search.policy.rules import Rules

RULES = Rules(num_folds=5, objective="tta_accuracy", repeats=0)


@pytest.fixture(scope="module")
def world() -> World:
    return Generated(num_recipes=30, rho=0.5, num_epochs=20, workers=(4,)).world(0)


def run(entrant: Entrant, world: World, num_workers: int = 4, seed: int = 0) -> list[Moment]:
    return simulate(enter(entrant, world, num_workers, np.random.default_rng(seed), own_sampler=False), num_workers)


@pytest.mark.parametrize("num_workers", [1, 3])
def test_without_the_ladder_it_is_the_replay_of_the_race(recorded: Table, num_workers: int) -> None:
    seen = recorded.of_seed(0)
    for seed in range(4):
        judge = Raced(seen, TableCache(seen), replace(RULES, prior_noise=0.01))
        before = FoldSearch(seen, AtRandom(8, np.random.default_rng(seed)), judge)
        search = ProjectSearch(world_of(seen), AtRandom(8, np.random.default_rng(seed)), RULES, num_workers)
        assert simulate(search, num_workers) == simulate(before, num_workers)


@pytest.mark.parametrize("num_workers", [1, 4, 32])
def test_the_ladder_for_replays_changes_nothing(
    world: World, num_workers: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    quick = run(Entrant(kind="ladder"), world, num_workers)
    monkeypatch.setattr(world_progress, "QuickLadder", Ladder)
    assert run(Entrant(kind="ladder"), world, num_workers) == quick


@pytest.mark.parametrize("kind", ["random", "before", "ladder"])
def test_a_search_to_its_end_finds_the_best_and_is_not_paid_twice(world: World, kind: str) -> None:
    moments = run(Entrant(kind=kind), world)  # type: ignore[arg-type]
    assert moments[-1].choice in world.in_sight
    in_full = float(world.seconds.sum())
    if kind == "random":
        assert moments[-1].device_seconds == pytest.approx(in_full)
        assert moments[-1].choice == world.best
    else:
        assert moments[-1].device_seconds < in_full
    scores = [world.visible[moment.choice] for moment in moments if moment.choice is not None]
    assert scores == sorted(scores)


def test_a_winner_that_starts_last_is_not_lost(world: World) -> None:
    """Every rule that stops trials at an epoch loses it; the ladder lets it wait, and comes back to it."""
    accuracy = world.accuracy.copy()
    accuracy[world.best, :, :-1] = 0.0
    slow = replace(world, accuracy=accuracy)
    assert run(Entrant(kind="ladder"), slow)[-1].choice == world.best
    killed = run(Entrant(kind="one-epoch kill"), slow, seed=1)[-1].choice
    assert killed != world.best


def test_a_budget_ends_the_search_with_complete_trials(world: World) -> None:
    spent = {}
    for kind in ("before", "ladder"):
        moments = run(Entrant(kind=kind, budget=4), world)  # type: ignore[arg-type]
        assert moments[-1].choice is not None
        spent[kind] = moments[-1].device_seconds / world.trial_seconds
    # Trials that have begun, or gone on to their other folds, are completed.
    assert 4 <= spent["ladder"] < 10
    assert 4 <= spent["before"] < 10
    more = run(Entrant(kind="ladder", budget=8), world)
    assert more[-1].device_seconds / world.trial_seconds > spent["ladder"]


def test_going_on_inside_a_fold_costs_a_fifth_of_an_epoch() -> None:
    generated = Generated(num_recipes=3, rho=0.9, num_epochs=20, workers=(1,)).world(1)
    world = replace(generated, seconds=np.ones(generated.seconds.shape), alone=Hopeless([False] * 3))
    search = ProjectSearch(world, AtRandom(3, np.random.default_rng(0)), replace(RULES, pausing=True), 1)
    works = []
    while (work := search.next()) is not None:
        works.append(work)
        search.finish(work)
    seconds = [work.seconds for work in works]
    # The starting recipe completes its folds; the others wait after 2, 3 and 9 epochs (5, 15 and 45 %) and fold 0.
    assert seconds[:8] == [2.0, 1.0, 6.0, 11.0, 20.0, 20.0, 20.0, 20.0]
    parts = {2.0, *(epochs + RESTART_EPOCHS for epochs in (1, 6, 11)), 20.0}
    assert {round(each, 6) for each in seconds[8:]} == parts
    assert seconds[8:].count(2.0) == 2


def at_random() -> AtRandom:
    return AtRandom(30, np.random.default_rng(0))


def test_bounds_by_hand(world: World) -> None:
    even = replace(world, seconds=np.ones(world.seconds.shape))
    order = at_random()
    place = next(place for place in range(1, 31) if order.propose() == even.best)
    assert simulate(CompleteSearch(even, at_random()), 1, {even.best})[-1].device_seconds == 100 * place
    for share, epochs in ((0.25, 5), (1.0, 20)):
        oracle = OracleSearch(even, at_random(), share)
        assert simulate(oracle, 1, {even.best})[-1].device_seconds == epochs * place + 100 - epochs


def test_stock_that_hands_over_complete_trials_runs_all_folds() -> None:
    grid = stock_grid(5, 24)
    assert len({each.stock for each in grid}) == len(grid)
    full = {"lock step": 24, "fold after fold": 120}
    for each in grid:
        assert each.stock is not None
        if each.stock.pick == "all epochs":
            assert each.stock.maximum == full[each.stock.layout]
        assert each.stock.grace < each.stock.maximum


def test_entrants_are_named_with_their_settings() -> None:
    assert Entrant(kind="oracle", share=0.25).name == "oracle at 25 %"
    assert Entrant(kind="ladder", budget=math.inf).name == "ladder"
    assert {each.name for each in stock_grid(5, 24)} == {"stock, complete trials", "stock, any trial"}
