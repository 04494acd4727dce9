"""How much of the variance of the scores each parameter explains, with intervals: fANOVA over resampled trials."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence

import numpy as np
import optuna
from optuna.storages import InMemoryStorage
from optuna.trial import FrozenTrial, TrialState

from leukemia.study.importances import MIN_TRIALS, Explained

NUM_RESAMPLES = 100
"""Of the trials, with replacement."""

NUM_TREES = 16
"""Of the forest that is fitted to each resample; that of the trials themselves has Optuna's number, 64."""

LEVEL = 0.9
"""Of the intervals."""


def importances_of(trials: Sequence[FrozenTrial], scores: Mapping[int, float], *, seed: int) -> dict[str, Explained]:
    """The share of the scores' variance that each parameter explains, largest first; may be empty.

    fANOVA (Hutter, Hoos & Leyton-Brown, ICML 2014) on the parameters that all these trials have, with percentile
    intervals over resampled trials (Efron & Tibshirani 1993), widened to contain the share. A resample has fewer
    distinct trials, in which noise explains more: an interval may be above its share without that.

    Args:
        trials: of a study.
        scores: of at least ``MIN_TRIALS`` of the trials, by number; otherwise nothing is computed.
    """
    scored = [_complete(trial, scores[trial.number]) for trial in trials if trial.number in scores]
    if len(scored) < MIN_TRIALS or len(set(scores.values())) < 2:
        return {}
    shares = _shares(scored, optuna.importance.FanovaImportanceEvaluator(seed=seed), None)
    generator = np.random.default_rng(seed)
    samples: dict[str, list[float]] = {key: [] for key in shares}
    for _ in range(NUM_RESAMPLES):
        chosen = [scored[index] for index in generator.integers(0, len(scored), len(scored))]
        if len({trial.value for trial in chosen}) < 2:
            continue
        evaluator = optuna.importance.FanovaImportanceEvaluator(n_trees=NUM_TREES, seed=int(generator.integers(2**31)))
        for key, share in _shares(chosen, evaluator, list(shares)).items():
            samples[key].append(share)
    tail = (1 - LEVEL) / 2
    found = {}
    for key, share in shares.items():
        low, high = np.quantile([share, *samples[key]], [tail, 1 - tail])
        found[key] = Explained(share=share, low=min(float(low), share), high=max(float(high), share))
    return found


def _complete(trial: FrozenTrial, score: float) -> FrozenTrial:
    complete = copy.copy(trial)
    # With two objectives, only the score counts.
    complete.state, complete.values, complete.intermediate_values = TrialState.COMPLETE, [score], {}
    complete.datetime_complete = trial.datetime_complete or trial.datetime_start
    return complete


def _shares(
    trials: Sequence[FrozenTrial], evaluator: optuna.importance.FanovaImportanceEvaluator, parameters: list[str] | None
) -> dict[str, float]:
    storage = InMemoryStorage()
    study = optuna.create_study(storage=storage, direction="maximize")
    study_id = storage.get_study_id_from_name(study.study_name)
    for trial in trials:
        storage.create_new_trial(study_id, template_trial=trial)
    return dict(optuna.importance.get_param_importances(study, evaluator=evaluator, params=parameters))
