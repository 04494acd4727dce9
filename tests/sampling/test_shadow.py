"""The shadow of a study: waiting trials look as what they have shown, and the study itself stays as it is."""

from __future__ import annotations

import math
from typing import Any

import optuna
import pytest
from optuna.trial import FrozenTrial, TrialState

from leukemia.config.recipe import Recipe
from search.policy.space import make_space
from search.sampling.samplers import METHODS, Samplers
from search.sampling.shadow import Shadow
from search.sampling.suggestions import recipe_of

SPACE = make_space(Recipe().resolved([(64, 64)]), {})

PLAIN, WHOLE = {"fills": False, "expects": False}, {"fills": True, "expects": True}


def study_of(*ends: float | TrialState, directions: tuple[str, ...] = ("maximize",)) -> optuna.Study:
    """Trials that are complete with a score, or in this state."""
    study = optuna.create_study(directions=list(directions))
    for number, end in enumerate(ends):
        study.sampler = Samplers(METHODS["random"], SPACE, seed=0).of(number, {})
        trial = study.ask()
        recipe_of(trial, SPACE)
        if end == TrialState.PRUNED and len(directions) == 1:
            trial.report(0.9, 2)
        if isinstance(end, float):
            study.tell(trial, [end] * len(directions))
        elif end != TrialState.RUNNING:
            study.tell(trial, state=end)
    return study


RUNNING, PRUNED, COMPLETE, FAIL = TrialState.RUNNING, TrialState.PRUNED, TrialState.COMPLETE, TrialState.FAIL


def described(trial: FrozenTrial) -> tuple[Any, ...]:
    return trial.state, trial.values, trial.intermediate_values, trial.params, trial.distributions


def test_trials_that_wait_or_were_stopped_are_pruned_with_what_they_showed() -> None:
    study = study_of(0.7, RUNNING, PRUNED, RUNNING, FAIL, PRUNED)
    before = [described(trial) for trial in study.trials]
    shown = {0: {1: 0.1}, 1: {1: -0.05, 2: 0.2}, 2: {1: math.nan}, 4: {1: 0.3}}
    shadow = Shadow(SPACE, shown, **PLAIN).of(study, 6)
    assert [(trial.state, trial.intermediate_values) for trial in shadow.trials] == [
        (COMPLETE, {}),
        (PRUNED, {1: -0.05, 2: 0.2}),
        (PRUNED, {1: pytest.approx(math.nan, nan_ok=True)}),
        (RUNNING, {}),
        (FAIL, {}),
        # Its score of a fold does not compare with values at rungs.
        (PRUNED, {}),
    ]
    assert [trial.params for trial in shadow.trials] == [trial.params for trial in study.trials]
    assert shadow.trials[1].value is None
    assert [described(trial) for trial in study.trials] == before, "the study is unchanged"


def test_without_anything_shown_a_shadow_is_a_copy() -> None:
    study = study_of(0.7, RUNNING, PRUNED, FAIL)
    shadow = Shadow(SPACE, {}, **PLAIN).of(study, 4)
    assert [described(trial) for trial in shadow.trials] == [described(trial) for trial in study.trials]
    assert len(Shadow(SPACE, {}, **PLAIN).of(study, 2).trials) == 2


def test_with_two_objectives_nothing_shown_is_reported() -> None:
    study = study_of(0.7, RUNNING, PRUNED, directions=("maximize", "minimize"))
    shadow = Shadow(SPACE, {1: {1: 0.5}, 2: {1: 0.5}}, **WHOLE).of(study, 3)
    assert [trial.state for trial in shadow.trials] == [COMPLETE, RUNNING, PRUNED]
    assert [trial.intermediate_values for trial in shadow.trials] == [{}] * 3


def test_a_whole_shadow_has_all_parameters_and_expected_results() -> None:
    study = study_of(*[0.5 + number / 100 for number in range(10)], RUNNING, PRUNED, RUNNING, FAIL)
    shown = {number: {1: number / 100} for number in range(12)}
    shadow = Shadow(SPACE, shown, **WHOLE).of(study, 14)
    keys = {dimension.key for dimension in SPACE.dimensions}
    assert all(trial.params.keys() == trial.distributions.keys() == keys for trial in shadow.trials)
    assert all(study.trials[number].params.items() <= shadow.trials[number].params.items() for number in range(14))
    assert [trial.state for trial in shadow.trials] == [COMPLETE] * 12 + [RUNNING, FAIL]
    values = [trial.value for trial in shadow.trials[:12]]
    assert values == pytest.approx([0.5 + number / 100 for number in range(12)])


def test_few_complete_trials_count_as_what_they_showed_at_the_rung_of_the_others() -> None:
    study = study_of(0.99, 0.98, *[RUNNING] * 9)
    shown = {number: {1: number / 100} for number in range(11) if number != 1}
    shadow = Shadow(SPACE, shown, **WHOLE).of(study, 11)
    # The second was reused from an earlier study: its score alone compares with nothing.
    assert [trial.state for trial in shadow.trials] == [COMPLETE, PRUNED] + [COMPLETE] * 9
    assert [trial.value for trial in shadow.trials if trial.state == COMPLETE] == [
        number / 100 for number in range(11) if number != 1
    ]


@pytest.mark.parametrize("name", ["tpe", "tpe-univariate", "gp"])
def test_rungs_teach(name: str) -> None:
    """Waiting trials with much rotation looked better: more is proposed, and none is complete yet."""
    study = study_of(*[RUNNING] * 40)
    shown = {trial.number: {1: trial.params["augment.rotate"]} for trial in study.trials}
    proposed = []
    for number in range(40, 46):
        study.sampler = Samplers(METHODS[name], SPACE, seed=0).of(number, shown)  # type: ignore[index]
        proposed.append(recipe_of(study.ask(), SPACE).augment.rotate)
    assert sum(proposed) / len(proposed) > 0.75


def test_as_in_the_journal_they_would_count_as_bad() -> None:
    """Why there is a shadow: TPE counts running trials as bad ones, and begins with random proposals for ever."""
    study = study_of(*[RUNNING] * 40)
    proposed = []
    for number in range(40, 46):
        study.sampler = Samplers(METHODS["tpe"], SPACE, seed=0).of(number, {})
        proposed.append(recipe_of(study.ask(), SPACE).augment.rotate)
    assert sum(proposed) / len(proposed) < 0.7
