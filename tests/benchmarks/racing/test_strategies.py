"""Replayed searches: what they see, what they cost and what they choose."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from helpers.replay_tables import make_table

from benchmarks.racing.replaying.clock import simulate
from benchmarks.racing.replaying.entrants import Entrant, Stage, enter, fixed_entrants
from benchmarks.racing.replaying.judges import AgainstBest
from benchmarks.racing.replaying.proposals import AtRandom
from benchmarks.racing.replaying.stopping import never
from benchmarks.racing.replaying.strategies import FoldSearch, Stock, StockSearch
from benchmarks.racing.replaying.table import View, views_by_seed


def test_a_worker_keeps_its_trial() -> None:
    seen = make_table([0.9, 0.8, 0.7], seconds=[1.0, 2.0, 3.0])
    search = FoldSearch(seen, AtRandom(3, np.random.default_rng(0)), AgainstBest(seen, never))
    moments = simulate(search, num_workers=1)
    in_full = seen.fold_seconds[0].sum(axis=1)
    assert moments[1].device_seconds == in_full[0]
    assert moments[-1].device_seconds == in_full.sum()


@pytest.mark.parametrize("name", ["ours", "ours, parallel folds", "tpe", "random", "aggressive, tpe"])
def test_no_search_sees_the_truth(name: str) -> None:
    seen = make_table([0.7, 0.9, 0.6, 0.8, 0.75, 0.85])
    entrant = next(each for each in fixed_entrants(1) if each.name == name)
    one, other = (
        simulate(enter(entrant, Stage(View(seen=seen.of_seed(0), truth=truth)), np.random.default_rng(1)), 2)
        for truth in (np.arange(6.0), -np.arange(6.0))
    )
    assert one == other


@pytest.mark.parametrize("parallel", [False, True])
def test_ours_stops_a_clearly_worse_recipe_after_one_fold(parallel: bool) -> None:
    view = views_by_seed(make_table([0.95, 0.65], per_fold=100))[0]
    moments = simulate(
        enter(Entrant(name="ours", rule="race", parallel=parallel), Stage(view), np.random.default_rng(0)), 1
    )
    folds = view.seen.fold_seconds[0]
    assert moments[-1].choice == 0
    assert moments[-1].device_seconds == folds[0].sum() + folds[1, 0]


def test_parallel_folds_finish_sooner_for_the_same_cost() -> None:
    view = views_by_seed(make_table([0.9]))[0]
    sequential, parallel = (
        simulate(enter(Entrant(name="", parallel=parallel), Stage(view), np.random.default_rng(0)), 8)[-1]
        for parallel in (False, True)
    )
    assert sequential.device_seconds == parallel.device_seconds
    assert (sequential.seconds, parallel.seconds) == (20.0, 8.0)


def test_signed_ranks_never_stop_the_best() -> None:
    for seed in range(20):
        view = views_by_seed(make_table([0.8, 0.9, 0.85, 0.8, 0.9, 0.7], per_fold=20, seed=seed))[0]
        entrant = Entrant(name="wilcoxon", rule="signed ranks", threshold=0.3)
        choice = simulate(enter(entrant, Stage(view), np.random.default_rng(seed)), 3)[-1].choice
        means = view.seen.scores[0].mean(axis=1)
        assert means[choice] == means.max()


def test_stock_picks_the_highest_last_value_or_among_finished_trials() -> None:
    seen = make_table([0.5, 0.6])
    curves = np.zeros_like(seen.accuracy)
    curves[:, 0], curves[:, 1] = [0.5, 0.6, 0.9, 0.7], [0.8, 0.8, 0.8, 0.8]
    seen = replace(seen, accuracy=curves)
    choices = {}
    for pick in ("last reported", "all epochs"):
        stock = Stock(layout="lock step", grace=1, maximum=4, factor=3, pick=pick)  # type: ignore[arg-type]
        search = StockSearch(seen.accuracy[0], seen.seconds[0], AtRandom(2, np.random.default_rng(0)), stock)
        choices[pick] = [moment.choice for moment in simulate(search, 1)]
    # Trial 1 is stopped after epoch 3, where trial 0 was better; at its end trial 0 is worse.
    assert choices["last reported"] == [None, 0, 1, 1]
    assert choices["all epochs"] == [None, 0, 0]


def test_fold_after_fold_reports_the_mean_of_the_folds_started() -> None:
    seen = make_table([0.5])
    curve = np.zeros_like(seen.accuracy)
    curve[0, 0, 0], curve[0, 0, 1] = [0.1, 0.2, 0.3, 0.4], [0.2, 0.4, 0.6, 0.8]
    stock = Stock(layout="fold after fold", grace=1, maximum=20, factor=3, pick="last reported")
    search = StockSearch(curve[0], seen.seconds[0], AtRandom(1, np.random.default_rng(0)), stock)
    np.testing.assert_allclose(search._values[0, :8], [0.1, 0.2, 0.3, 0.4, 0.3, 0.4, 0.5, 0.6])
