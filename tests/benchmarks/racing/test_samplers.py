"""The comparison of samplers in reduced form: worlds, simulated searches, and proposals from tables."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from helpers.replay_tables import SPACE, START

from benchmarks.racing import samplers
from benchmarks.racing.replaying.proposals import TableTPE, coordinates, one_by_one
from benchmarks.racing.replaying.resampling import draw_recipe
from benchmarks.racing.sampling import search
from benchmarks.racing.sampling.search import Arm, SimulatedSearch, regrets, rung_correlations, searched_space
from benchmarks.racing.sampling.surface import BEST_RATES, FLOOR, Surface
from leukemia.base.errors import UserError
from leukemia.config.recipe import Recipe

TRIALS = 24


@pytest.fixture(autouse=True)
def few_trials(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(search, "NUM_TRIALS", TRIALS)
    monkeypatch.setattr(search, "BUDGETS", (6, 12, TRIALS))
    monkeypatch.setattr("benchmarks.racing.sampling.surface.NUM_DRAWS", 40)
    monkeypatch.setattr("benchmarks.racing.sampling.surface.NUM_SWEEPS", 1)


def test_a_surface_has_a_best_recipe_that_random_ones_do_not_reach() -> None:
    surface, generator = Surface(searched_space(), 0), np.random.default_rng(0)
    drawn = [surface.accuracy(surface.draw(name, generator)) for name in BEST_RATES for _ in range(100)]
    assert FLOOR <= min(drawn) < max(drawn) < surface.best() < 100
    assert Surface(searched_space(), 1).best() != surface.best()


def test_every_recipe_of_the_space_has_an_accuracy_and_approaches_it() -> None:
    space, generator = searched_space(), np.random.default_rng(0)
    surface = Surface(space, 0)
    for name in BEST_RATES:
        recipe: Recipe = space.recipe(surface.draw(name, generator))
        assert space.fits(recipe)
        assert surface.early(recipe, 1.0) == surface.accuracy(recipe.flat())
        assert surface.early(recipe, 0.05) != surface.early(recipe, 0.45)


def test_rungs_tell_something_and_later_ones_more() -> None:
    early, _, late = np.mean([rung_correlations(seed) for seed in range(4)], axis=0)
    assert 0.1 < early < late < 0.95


@pytest.mark.parametrize("pausing", [False, True])
def test_all_trials_complete_and_the_choice_is_the_best_score(pausing: bool) -> None:
    space = searched_space()
    surface = Surface(space, 0)
    simulated = SimulatedSearch(Arm(sampler="random", pausing=pausing), surface, space, 0)
    best = surface.best()
    found = simulated.regrets(best)
    trials = simulated._study.trials
    assert {trial.state.name for trial in trials} == {"COMPLETE"}
    assert simulated._trained == pytest.approx(TRIALS)
    chosen = max(trials, key=lambda trial: trial.values[0])
    assert found[-1] == pytest.approx(best - surface.accuracy(space.recipe(chosen.params).flat()))
    assert regrets(Arm(sampler="random", pausing=pausing), 0) == found


def test_with_pausing_more_recipes_are_seen_early() -> None:
    space = searched_space()
    num_asked = []
    for pausing in (False, True):
        simulated = SimulatedSearch(Arm(sampler="random", pausing=pausing), Surface(space, 0), space, 0)
        while simulated._trained < 6:
            task = simulated._next()
            assert task is not None
            simulated._finish(task)
        num_asked.append(len(simulated._trials))
    assert num_asked[0] < num_asked[1]


@pytest.mark.parametrize("variant", ["shared parameters only", "one process per optimizer"])
def test_variants_of_the_gaussian_process_propose(variant: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(search, "NUM_TRIALS", 20)
    assert len(regrets(Arm(sampler="gp", pausing=False, variant=variant), 0)) == 3


def test_one_by_one_each_dimension_is_a_group() -> None:
    generator = np.random.default_rng(0)
    recipes = [START, *(draw_recipe(SPACE, START, generator) for _ in range(99))]
    groups = one_by_one(coordinates(SPACE, recipes))
    assert len(groups) == len(SPACE)
    assert {(group.numbers.shape[1], group.options.shape[1]) for group in groups} == {(1, 0), (0, 2)}
    tpe = TableTPE(groups, generator)
    order = []
    while (recipe := tpe.propose()) is not None:
        order.append(recipe)
        tpe.tell(recipe, "complete", [-abs(np.log(recipes[recipe]["optimizer.learning_rate"] / 3e-3))])
    assert sorted(order) == list(range(100))
    distances = [abs(np.log(recipes[recipe]["optimizer.learning_rate"] / 3e-3)) for recipe in order]
    assert np.mean(distances[10:40]) < 0.7 * np.mean(distances[40:])


def test_the_tables_and_the_last_line(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    arms = (Arm(sampler="tpe", pausing=False), Arm(sampler="random", pausing=False), Arm(sampler="tpe", pausing=True))
    monkeypatch.setattr(samplers, "ARMS", arms)
    monkeypatch.setattr(samplers, "BUDGETS", (6, 12, TRIALS))
    monkeypatch.setattr(samplers, "TABLES", {"recorded": None})
    assert samplers.main(["--worlds", "2", "--seeds", "2", "--processes", "1", "--json"]) == 0
    lines = capsys.readouterr().out.splitlines()
    found = json.loads(lines[-1])
    assert found["without pausing"]["tpe"]["24"]["over_present"] == [0.0, 0.0, 0.0]
    assert set(found["without pausing"]) == {"tpe", "random"}
    assert set(found["recorded"]) == {"random", "tpe", "tpe-univariate"}
    assert any(line.startswith("| tpe | ") for line in lines)


@pytest.mark.parametrize(("option", "least"), [("worlds", 2), ("seeds", 2), ("processes", 1)])
def test_too_small_numbers_are_refused(option: str, least: int) -> None:
    with pytest.raises(UserError, match=rf"^--{option}: expected {least} or more, got 0$"):
        samplers.main([f"--{option}", "0"])
