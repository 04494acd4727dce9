"""A Gaussian process for each optimizer: the optimizer is chosen first, then all parameters that its trials have."""

from __future__ import annotations

import functools
from typing import Any

import optuna
from optuna.distributions import CategoricalDistribution
from optuna.samplers import GPSampler, TPESampler
from optuna.storages import InMemoryStorage
from optuna.trial import FrozenTrial

from search.policy.space import Space
from search.sampling.recipe_sampler import RecipeSampler
from search.sampling.suggestions import recipe_of

OPTIMIZER = "optimizer.name"


def by_optimizer(space: Space, seed: int) -> RecipeSampler:
    """The sampler of one trial; needs a space in which the optimizer is searched."""
    return RecipeSampler(functools.partial(_propose, space=space, seed=seed))


def _propose(study: optuna.Study, trial: FrozenTrial, space: Space, seed: int) -> dict[str, Any]:
    choices = CategoricalDistribution(space.describe()[OPTIMIZER]["choices"])
    tpe = TPESampler(multivariate=False, seed=seed)
    chosen = {OPTIMIZER: tpe.sample_independent(study, trial, OPTIMIZER, choices)}
    asked = _apart(study, chosen[OPTIMIZER], seed).ask()
    recipe_of(asked, space, chosen)
    return {**asked.params, **chosen}


def _apart(study: optuna.Study, optimizer: str, seed: int) -> optuna.Study:
    """The trials with an optimizer as a study of their own."""
    tpe = TPESampler(multivariate=False, seed=seed)
    sampler = GPSampler(seed=seed, independent_sampler=tpe, warn_independent_sampling=False)
    storage = InMemoryStorage()
    apart = optuna.create_study(storage=storage, directions=study.directions, sampler=sampler)
    study_id = storage.get_study_id_from_name(apart.study_name)
    for trial in study.get_trials(deepcopy=False):
        if trial.params.get(OPTIMIZER) == optimizer:
            storage.create_new_trial(study_id, template_trial=trial)
    return apart
