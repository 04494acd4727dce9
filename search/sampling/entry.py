"""A trial as the journal records it, checked against the search space."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import FrozenTrial, TrialState

from leukemia.base.errors import UserError
from leukemia.base.record import RESTORE
from leukemia.config.recipe import Recipe
from leukemia.study.schema import State
from search.policy.dimensions import Choice, Dimension, Integer
from search.policy.space import Space

STATES: dict[State, TrialState] = {
    "complete": TrialState.COMPLETE,
    "stopped": TrialState.PRUNED,
    "failed": TrialState.FAIL,
}
"""Optuna's states: only a trial with all folds is COMPLETE; otherwise a partial score could win."""

PLACE = "ladder"
"""Name of the user attribute with the place where a trial waits, as text. A trial that waits is RUNNING for Optuna."""

_FOLD = "fold_"


@dataclass(frozen=True, kw_only=True)
class Entry:
    """What the journal records of a started trial."""

    state: State | None
    """None while it is running."""

    parameters: dict[str, Any]
    """By recipe field; incomplete if the driver crashed while the trial was proposed."""

    fold_scores: dict[int, float]
    """The objective by fold, of the folds reported so far."""

    score: float | None
    """Mean over all folds; None unless complete."""

    cost: float | None
    """Device seconds; None unless complete, with the cost as second objective."""

    @classmethod
    def of(cls, trial: FrozenTrial) -> Entry:
        """Convert one of Optuna's trials."""
        values = trial.values if trial.state == TrialState.COMPLETE else []
        with_cost = {fold_of(key): score for key, score in trial.user_attrs.items() if key.startswith(_FOLD)}
        return cls(
            state={optuna_state: state for state, optuna_state in STATES.items()}.get(trial.state),
            parameters=dict(trial.params),
            fold_scores=with_cost or dict(trial.intermediate_values),
            score=values[0] if values else None,
            cost=values[1] if len(values) > 1 else None,
        )


def fold_key(fold: int) -> str:
    """Name of the user attribute with a fold's score: Optuna takes no intermediate values with two objectives."""
    return f"{_FOLD}{fold}"


def fold_of(key: str) -> int:
    """The inverse of ``fold_key``."""
    return int(key.removeprefix(_FOLD))


def distribution_of(dimension: Dimension) -> BaseDistribution:
    """A dimension of the space as one of Optuna's distributions."""
    if isinstance(dimension, Choice):
        return CategoricalDistribution(dimension.choices)
    if isinstance(dimension, Integer):
        return IntDistribution(dimension.low, dimension.high, log=dimension.log, step=dimension.step)
    return FloatDistribution(dimension.low, dimension.high, log=dimension.log)


def check_space(path: Path, space: Space, trial: FrozenTrial, starts: Sequence[Recipe]) -> None:
    """Check that a trial was proposed from this space, or is one of the starting recipes.

    Raises:
        UserError: it was not; the message names the journal ``path``.
    """
    known = {dimension.key: distribution_of(dimension) for dimension in space.dimensions}
    for key, found in trial.distributions.items():
        if found != known.get(key):
            raise UserError(
                f"{path}: trial {trial.number:04d}: expected {known.get(key)} for {key}, as in the study's space, got "
                f"{found}; {RESTORE}"
            )
    fixed = trial.system_attrs.get("fixed_params")
    if fixed is not None and fixed not in [space.parameters(start) for start in starts]:
        raise UserError(f"{path}: trial {trial.number:04d}: expected the starting recipe, got {fixed}; {RESTORE}")
