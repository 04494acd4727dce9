"""The shadow of a study: a copy in memory in which trials look to a sampler as what is known of them.

The journal says that a trial that waits is running, which is true, and TPE counts a running trial as a bad one. So the
sampler is asked about a copy in which such trials are PRUNED with what they showed at the rungs of fold 0.
"""

from __future__ import annotations

import copy
import math
import sys
from collections.abc import Mapping
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.samplers import BaseSampler
from optuna.storages import InMemoryStorage
from optuna.trial import FrozenTrial, TrialState

from search.policy.expectation import expected
from search.policy.space import Space
from search.sampling.entry import distribution_of
from search.sampling.suggestions import recipe_of

Shown = Mapping[int, Mapping[int, float]]
"""As ``Ladder.shown``: values by the trial's number and the rung's."""

SCORE = sys.maxsize
"""The level of a complete trial's score, above that of any rung."""


class Shadow:
    """Makes shadows of a study."""

    def __init__(self, space: Space, shown: Shown, *, fills: bool, expects: bool) -> None:
        """
        Args:
            shown: not used with two objectives, for which Optuna knows no intermediate values.
            fills: whether trials have all parameters of the space, for a sampler that models only those that all trials
                have. Those that a trial's optimizer does not have get a middle value (as in SMAC: Hutter, Hoos &
                Leyton-Brown, LION 2011).
            expects: whether a trial is COMPLETE with its expected result rather than PRUNED, for a sampler that learns
                from complete trials only.
        """
        self._space, self._shown, self._fills, self._expects = space, shown, fills, expects

    def of(self, study: optuna.Study, number: int) -> optuna.Study:
        """A copy of a study with its trials below ``number``."""
        storage = InMemoryStorage()
        shadow = optuna.create_study(storage=storage, directions=study.directions)
        study_id = storage.get_study_id_from_name(shadow.study_name)
        for trial in self._seen(study.get_trials(deepcopy=False)[:number], len(study.directions)):
            storage.create_new_trial(study_id, template_trial=self._filled(trial) if self._fills else trial)
        return shadow

    def propose(self, study: optuna.Study, trial: FrozenTrial, sampler: BaseSampler) -> dict[str, Any]:
        """The parameters that a sampler proposes for the last trial of a study; those that it has take precedence."""
        shadow = self.of(study, trial.number)
        shadow.sampler = sampler
        asked = shadow.ask()
        recipe_of(asked, self._space, trial.params)
        return {**asked.params, **trial.params}

    def _seen(self, trials: list[FrozenTrial], num_objectives: int) -> list[FrozenTrial]:
        """The trials with what they have shown."""
        if num_objectives > 1 or not self._shown:
            return trials
        results = _expected(trials, self._shown) if self._expects else {}
        if results:
            return [_with_result(trial, results) for trial in trials]
        return [_at_rungs(trial, self._shown) for trial in trials]

    def _filled(self, trial: FrozenTrial) -> FrozenTrial:
        """The trial with all parameters of the space."""
        distributions = {dimension.key: distribution_of(dimension) for dimension in self._space.dimensions}
        middles = {key: _middle(distribution) for key, distribution in distributions.items()}
        filled = copy.copy(trial)
        filled.params, filled.distributions = {**middles, **trial.params}, {**distributions, **trial.distributions}
        return filled


def _at_rungs(trial: FrozenTrial, shown: Shown) -> FrozenTrial:
    """The trial as PRUNED with its values at rungs, if that is all that is known of it."""
    at = shown.get(trial.number, {})
    if trial.state == TrialState.PRUNED or (trial.state == TrialState.RUNNING and at):
        # Also instead of the scores of folds, which do not compare with values at rungs.
        return _ended(trial, TrialState.PRUNED, None, at)
    return trial


def _with_result(trial: FrozenTrial, results: Mapping[int, float]) -> FrozenTrial:
    """The trial as COMPLETE with its expected result; one without, as PRUNED unless it runs."""
    if trial.number in results:
        return _ended(trial, TrialState.COMPLETE, results[trial.number], {})
    return trial if trial.state != TrialState.COMPLETE else _ended(trial, TrialState.PRUNED, None, {})


def _ended(trial: FrozenTrial, state: TrialState, value: float | None, at: Mapping[int, float]) -> FrozenTrial:
    ended = copy.copy(trial)
    ended.state, ended.value, ended.intermediate_values = state, value, dict(at)
    ended.datetime_complete = trial.datetime_complete or trial.datetime_start
    return ended


def _expected(trials: list[FrozenTrial], shown: Shown) -> dict[int, float]:
    """The expected result of each trial that has not failed, with the score of a complete one above all rungs."""
    known: dict[int, Mapping[int, float]] = {}
    for trial in trials:
        if trial.state == TrialState.COMPLETE:
            known[trial.number] = {**shown.get(trial.number, {}), SCORE: float(trial.values[0])}
        elif trial.state in (TrialState.RUNNING, TrialState.PRUNED):
            known[trial.number] = shown.get(trial.number, {})
    return expected(known)


def _middle(distribution: BaseDistribution) -> Any:
    if isinstance(distribution, CategoricalDistribution):
        return distribution.choices[0]
    assert isinstance(distribution, FloatDistribution | IntDistribution)
    low, high = distribution.low, distribution.high
    middle = math.sqrt(low * high) if distribution.log else (low + high) / 2
    if isinstance(distribution, FloatDistribution):
        return middle
    return low + round((middle - low) / distribution.step) * distribution.step
