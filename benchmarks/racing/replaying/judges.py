"""Judges that decide after each fold whether a trial continues: the race itself, or a rule against the best trial."""

from __future__ import annotations

from typing import Protocol

import numpy as np

from benchmarks.racing.replaying.cached_race import CachedRace, TableCache
from benchmarks.racing.replaying.stopping import Stops, never
from benchmarks.racing.replaying.table import Table
from leukemia.study.job import Job
from leukemia.study.schema import State
from search.policy.repeats import first_repeat, last_repeat
from search.policy.rules import Rules


class Judge(Protocol):
    """Receives the folds of trials and decides whether they continue."""

    def begin(self, job: Job, recipe: int) -> None: ...

    def add_fold(self, job: Job, fold: int) -> None: ...

    def goes_on(self, number: int) -> bool:
        """Whether the trial continues after the folds received so far."""

    def end(self, number: int, state: State) -> None: ...

    def repeat(self, running: set[Job], last: bool) -> Job | None:
        """A trial to run again with another seed, if any; ``last``: no new trials will start."""

    def out_of_patience(self) -> bool:
        """Whether to stop starting trials."""

    @property
    def best(self) -> int | None:
        """Number of the best trial; None if none is complete."""


class AgainstBest:
    """Compares a trial with the best complete one by a rule; without a complete trial, every trial continues."""

    def __init__(self, seen: Table, stops: Stops) -> None:
        self._seen, self._stops = seen, stops
        self._recipes: dict[int, int] = {}
        self._folds: dict[int, list[int]] = {}
        self._best: int | None = None
        self._highest = -1.0

    def begin(self, job: Job, recipe: int) -> None:
        self._recipes[job.number], self._folds[job.number] = recipe, []

    def add_fold(self, job: Job, fold: int) -> None:
        self._folds[job.number].append(fold)

    def goes_on(self, number: int) -> bool:
        folds = sorted(self._folds[number])
        if self._stops is never or self.best is None or len(folds) == self._seen.num_folds:
            return True
        # Folds of the best trial in the challenger's order; folds that the challenger has not run come last.
        order = folds + [fold for fold in range(self._seen.num_folds) if fold not in folds]
        images = np.isin(self._seen.folds, folds)
        scores, right = self._seen.scores[0], self._seen.right[0]
        one, best = self._recipes[number], self._recipes[self.best]
        return not self._stops(scores[one, folds], scores[best, order], right[one, images], right[best, images])

    def end(self, number: int, state: State) -> None:
        score = float(self._seen.scores[0, self._recipes[number]].mean())
        if state == "complete" and score > self._highest:
            self._best, self._highest = number, score

    def repeat(self, running: set[Job], last: bool) -> Job | None:
        return None

    def out_of_patience(self) -> bool:
        return False

    @property
    def best(self) -> int | None:
        return self._best


class Oracle(AgainstBest):
    """Knows the winner in advance: it runs all its folds, every other recipe is stopped after one."""

    def __init__(self, seen: Table, winner: int) -> None:
        super().__init__(seen, lambda *_: True)
        self._winner = winner

    def goes_on(self, number: int) -> bool:
        return self._recipes[number] == self._winner


class Raced:
    """``search.policy.race``, used as the driver uses it."""

    def __init__(self, seen: Table, cache: TableCache, rules: Rules, *, luck: bool = True, early: bool = False) -> None:
        self._seen, self._cache = seen, cache
        self._race = CachedRace(rules, cache, luck=luck, early=early)

    def begin(self, job: Job, recipe: int) -> None:
        self._race.begin_recipe(job, recipe)

    def add_fold(self, job: Job, fold: int) -> None:
        self._race.add(job, fold, self._cache.evidence(job.seed, self._race.recipes[job.number], fold))

    def goes_on(self, number: int) -> bool:
        return self._race.judge(number).continues

    def end(self, number: int, state: State) -> None:
        self._race.end(number, state)

    def repeat(self, running: set[Job], last: bool) -> Job | None:
        job = (last_repeat if last else first_repeat)(self._race, running)
        return job if job is not None and job.seed < len(self._seen.scores) else None

    def out_of_patience(self) -> bool:
        return self._race.out_of_patience()

    @property
    def best(self) -> int | None:
        leader = self._race.leader()
        return None if leader is None else leader.number
