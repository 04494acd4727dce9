"""Proposers: TPE's densities are Optuna's, and it learns."""

from __future__ import annotations

import numpy as np
import pytest
from helpers.replay_tables import SPACE, START
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution
from optuna.samplers._tpe.parzen_estimator import _ParzenEstimator, _ParzenEstimatorParameters
from optuna.samplers._tpe.sampler import default_weights

from benchmarks.racing.replaying.proposals import TableTPE, coordinates, log_density
from benchmarks.racing.replaying.resampling import draw_recipe


@pytest.mark.parametrize("count", [0, 1, 2, 3, 12, 40])
def test_densities_match_optuna(count: int) -> None:
    generator = np.random.default_rng(0)
    recipes = [draw_recipe(SPACE, START, generator) for _ in range(60)]
    keys = [key for key in SPACE if "optimizers" not in SPACE[key]]
    space: dict[str, BaseDistribution] = {
        key: CategoricalDistribution(SPACE[key]["choices"])
        if "choices" in SPACE[key]
        else FloatDistribution(SPACE[key]["low"], SPACE[key]["high"], log=SPACE[key]["log"])
        for key in keys
    }

    def represented(rows: np.ndarray) -> dict[str, np.ndarray]:
        return {key: np.array([space[key].to_internal_repr(recipes[row][key]) for row in rows]) for key in keys}

    parameters = _ParzenEstimatorParameters(1.0, True, False, default_weights, True)
    observed, candidates = np.arange(count), np.arange(40, 60)
    optunas = _ParzenEstimator(represented(observed), space, parameters).log_pdf(represented(candidates))
    ours = log_density(coordinates(SPACE, recipes)[0], candidates, observed)
    # Ours omits the constant of the normal density and scales learning rates to 0..1.
    np.testing.assert_allclose(optunas - ours, -np.log(2 * np.pi) - np.log(np.log(1e-2 / 1e-4)), atol=1e-9)


def test_tpe_proposes_each_recipe_once_and_learns() -> None:
    generator = np.random.default_rng(0)
    recipes = [START, *(draw_recipe(SPACE, START, generator) for _ in range(99))]
    tpe = TableTPE(coordinates(SPACE, recipes), generator)
    order = []
    while (recipe := tpe.propose()) is not None:
        order.append(recipe)
        tpe.tell(recipe, "complete", [-abs(np.log(recipes[recipe]["optimizer.learning_rate"] / 3e-3))])
    assert order[0] == 0
    assert sorted(order) == list(range(100))
    distances = [abs(np.log(recipes[recipe]["optimizer.learning_rate"] / 3e-3)) for recipe in order]
    assert np.mean(distances[10:40]) < 0.7 * np.mean(distances[40:])


def test_tpe_ranks_stopped_trials_below_complete_ones() -> None:
    groups = coordinates(SPACE, [START] * 20)
    tpe = TableTPE(groups, np.random.default_rng(0))
    tpe.tell(1, "stopped", [0.99])
    tpe.tell(2, "complete", [0.5])
    tpe.tell(3, "stopped", [0.6, 0.7])
    tpe.tell(4, "failed", [])
    assert sorted(tpe._ended, key=lambda recipe: tpe._ended[recipe], reverse=True) == [2, 3, 1, 4]
