"""Published stopping rules, compared with Optuna and Ray where they have them."""

from __future__ import annotations

import numpy as np
import optuna
import pytest
from helpers.replay_tables import NUM_FOLDS
from ray.tune.schedulers.async_hyperband import _Bracket

from benchmarks.racing.replaying.halving import Bracket
from benchmarks.racing.replaying.stopping import aggressive, dropping, forgiving, signed_ranks


def test_published_rules_by_hand() -> None:
    best, right = np.array([0.9, 0.8, 0.85, 0.95, 0.9]), np.ones(100, dtype=bool)
    wrong = np.arange(100) % 10 > 0

    def stops(rule, challenger):  # type: ignore[no-untyped-def]
        return rule(np.array(challenger), best, right, right)

    assert stops(aggressive, [0.87])
    assert not stops(aggressive, [0.89])
    assert stops(forgiving, [0.79])
    assert not stops(forgiving, [0.81])
    assert not stops(signed_ranks(0.3), [0.5])
    assert stops(signed_ranks(0.3), [0.5, 0.4])
    assert not stops(signed_ranks(0.1), [0.5, 0.4, 0.3])
    assert dropping(0.99)(np.array([0.8]), best, wrong, right)
    assert not dropping(0.99)(np.array([0.9]), best, right, right)


@pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")
def test_signed_ranks_match_optuna() -> None:
    generator, pruner = np.random.default_rng(0), optuna.pruners.WilcoxonPruner(p_threshold=0.3)
    for _ in range(10):
        best, other = generator.integers(60, 100, size=(2, NUM_FOLDS)) / 100
        study = optuna.create_study(direction="maximize", pruner=pruner)
        study.add_trial(
            optuna.trial.create_trial(value=best.mean(), intermediate_values=dict(enumerate(best.tolist())))
        )
        trial = study.ask()
        for fold in range(NUM_FOLDS):
            trial.report(other[fold], fold)
            nothing = np.ones(1, dtype=bool)
            assert signed_ranks(0.3)(other[: fold + 1], best, nothing, nothing) == trial.should_prune()


def test_halving_matches_ray() -> None:
    generator = np.random.default_rng(0)
    for grace, maximum, factor in ((1, 4, 3), (1, 20, 3), (4, 20, 4)):
        ours, ray = Bracket(grace, maximum, factor), _Bracket(grace, maximum, factor, 0)
        for trial in range(30):
            for epoch, value in enumerate(generator.random(maximum - 1).tolist(), start=1):
                goes_on = ours.goes_on(epoch, value)
                trial_of_ray = type("Trial", (), {"trial_id": str(trial)})()
                assert goes_on == (ray.on_result(trial_of_ray, epoch, value) == "CONTINUE")
                if not goes_on:
                    break
        assert not ours.goes_on(maximum, 1.0)
