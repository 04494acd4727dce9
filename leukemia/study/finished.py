"""What the trials of a study have finished, whatever became of them: their folds by seed."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from leukemia.config.recipe import Recipe
from leukemia.study.folder import Study
from leukemia.study.ladder import waiting_trials
from leukemia.study.table import finished_seeds


@dataclass(frozen=True, kw_only=True)
class FinishedTrial:
    """A trial that is complete, was stopped or waits."""

    number: int
    recipe: Recipe
    folds: dict[int, frozenset[int]]
    """Committed folds by seed: its own seed, whose folds may be none, and its finished repeats."""

    @property
    def seed(self) -> int:
        """Its own."""
        return self.recipe.train.seed

    @property
    def own_folds(self) -> frozenset[int]:
        """Committed folds of its own seed."""
        return self.folds[self.seed]


def finished_trials(study: Study) -> list[FinishedTrial]:
    """The trials that are complete, were stopped or wait, in the order of their numbers.

    Failed trials have no usable result, and those that run have none yet.
    """
    waiting = waiting_trials(study)
    found = []
    for number in study.trials():
        end = study.end(number)
        if number in waiting or (end is not None and end.state != "failed"):
            folds = {seed: frozenset(study.folds_done(number, seed)) for seed in finished_seeds(study, number)}
            found.append(FinishedTrial(number=number, recipe=study.recipe(number), folds=folds))
    return found


def shared_folds(sets: Iterable[frozenset[int]]) -> list[int]:
    """The folds that are in all sets, ascending; none if there is no set.

    >>> shared_folds([frozenset({0, 1, 2}), frozenset({0, 2})])
    [0, 2]
    """
    found = list(sets)
    return sorted(frozenset.intersection(*found)) if found else []
