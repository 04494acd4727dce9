"""An Optuna sampler that proposes the recipe of a trial as a whole, before its first parameter is recorded."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import optuna
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler
from optuna.trial import FrozenTrial


class RecipeSampler(BaseSampler):
    """The sampler of one trial. A proposal that a crash has cut off is completed as it would have been."""

    def __init__(self, propose: Callable[[optuna.Study, FrozenTrial], dict[str, Any]]) -> None:
        """
        Args:
            propose: parameters of a trial, given its study and what is recorded of it.
        """
        self._propose = propose
        self._proposed: dict[str, Any] | None = None

    def infer_relative_search_space(self, study: optuna.Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """Empty, so that each parameter is asked for below."""
        return {}

    def sample_relative(
        self, study: optuna.Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Empty, as above."""
        return {}

    def sample_independent(
        self, study: optuna.Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        """A parameter of the proposed recipe."""
        if self._proposed is None:
            self._proposed = self._propose(study, trial)
        return self._proposed[param_name]
