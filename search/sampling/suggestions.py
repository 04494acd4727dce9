"""An Optuna trial as the source of a recipe's values."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

import optuna

from leukemia.config.recipe import Recipe
from search.policy.space import Space


class Suggestions:
    """Adapter of an Optuna trial to ``search.policy.dimensions.Suggest``."""

    def __init__(self, trial: optuna.Trial, recorded: Mapping[str, Any]) -> None:
        """
        Args:
            recorded: values that were recorded before, which take precedence. The trial is asked all the same, so that
                all other values are those of an undisturbed proposal.
        """
        self._trial, self._recorded = trial, recorded

    def real(self, key: str, low: float, high: float, log: bool) -> float:
        proposed = self._trial.suggest_float(key, low, high, log=log)
        return float(self._recorded.get(key, proposed))

    def integer(self, key: str, low: int, high: int, log: bool, step: int) -> int:
        proposed = self._trial.suggest_int(key, low, high, log=log, step=step)
        return int(self._recorded.get(key, proposed))

    def choice(self, key: str, choices: tuple[Any, ...]) -> Any:
        proposed = self._trial.suggest_categorical(key, choices)
        return self._recorded.get(key, proposed)


def recipe_of(trial: optuna.Trial, space: Space, recorded: Mapping[str, Any] | None = None) -> Recipe:
    """The recipe of a trial, whose parameters are suggested as far as they are not set; ``recorded`` as above."""
    with warnings.catch_warnings():
        # The starting recipe may be outside a range; Optuna warns and accepts the value.
        warnings.simplefilter("ignore", UserWarning)
        return space.propose(Suggestions(trial, recorded or {}))
