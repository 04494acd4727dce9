"""The samplers that ``--sampler`` names."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import optuna
from optuna.samplers import BaseSampler, GPSampler, RandomSampler, TPESampler

from leukemia.study.schema import SamplerName
from search.policy.space import Space
from search.sampling.recipe_sampler import RecipeSampler
from search.sampling.shadow import Shadow, Shown


@dataclass(frozen=True, kw_only=True)
class Method:
    """How recipes are proposed."""

    make: Callable[[int], BaseSampler]
    """From a seed."""

    learns: bool = True
    """Whether it is given what trials have shown at rungs."""

    fills: bool = False
    expects: bool = False
    """Both as for ``Shadow``."""


METHODS: dict[SamplerName, Method] = {
    "tpe": Method(make=lambda seed: TPESampler(multivariate=True, group=True, seed=seed)),
    "tpe-univariate": Method(make=lambda seed: TPESampler(multivariate=False, seed=seed)),
    "gp": Method(
        make=lambda seed: GPSampler(
            seed=seed,
            # Proposes until ten trials have a result.
            independent_sampler=TPESampler(multivariate=False, seed=seed),
            warn_independent_sampling=False,
        ),
        fills=True,
        expects=True,
    ),
    "random": Method(make=lambda seed: RandomSampler(seed=seed), learns=False),
    # Has nothing to propose: all recipes of a comparison wait from the start.
    "grid": Method(make=lambda seed: RandomSampler(seed=seed), learns=False),
}


class Samplers:
    """The sampler of each trial of a study. What it proposes depends on the study's seed and on the trials so far."""

    def __init__(self, method: Method, space: Space, *, seed: int) -> None:
        self._method, self._space, self._seed = method, space, seed

    def of(self, number: int, shown: Shown) -> BaseSampler:
        """The sampler of a new trial.

        Args:
            shown: what is known of trials beyond the study itself; empty without pausing.
        """
        # Without anything to add, the study is its own shadow.
        has_shadow = self._method.fills or (self._method.learns and shown)
        return self.resumed(number, shown) if has_shadow else self._make(number)

    def resumed(self, number: int, shown: Shown) -> BaseSampler:
        """The sampler of a trial whose proposal may have been cut off."""
        known = shown if self._method.learns else {}
        shadow = Shadow(self._space, known, fills=self._method.fills, expects=self._method.expects)
        return RecipeSampler(functools.partial(shadow.propose, sampler=self._make(number)))

    def _make(self, number: int) -> BaseSampler:
        # With a single seed, a resumed search would propose the first trials again.
        seed = int(np.random.SeedSequence((self._seed, number)).generate_state(1)[0])
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            return self._method.make(seed)
