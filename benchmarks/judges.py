"""Who judges a trial after each of its folds, and knows the best: the race itself, or a rule against the best trial."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from remembering import Memory, RememberingRace
from stopping import Stops, never
from table import Seen

from leukemia.study.folder import State
from search.policy.race import Job, Rules


class Judge(Protocol):
    """Hears folds of trials, answers whether they go on."""

    def begin(self, job: Job, recipe: int) -> None: ...

    def hear(self, job: Job, fold: int) -> None: ...

    def goes_on(self, number: int) -> bool:
        """After the folds heard of a trial."""

    def end(self, number: int, state: State) -> None: ...

    def repeat(self, running: set[Job], last: bool) -> Job | None:
        """A trial that is wanted again with another seed; ``last``: no more trials begin."""

    def out_of_patience(self) -> bool:
        """Whether no more trials should begin."""

    @property
    def best(self) -> int | None:
        """Number of the best trial."""


class AgainstBest:
    """A rule that compares a trial with the best complete one, and lets it run while there is none."""

    def __init__(self, seen: Seen, stops: Stops) -> None:
        self._seen, self._stops = seen, stops
        self._recipes: dict[int, int] = {}
        self._folds: dict[int, list[int]] = {}
        self._best: int | None = None
        self._highest = -1.0

    def begin(self, job: Job, recipe: int) -> None:
        self._recipes[job.number], self._folds[job.number] = recipe, []

    def hear(self, job: Job, fold: int) -> None:
        self._folds[job.number].append(fold)

    def goes_on(self, number: int) -> bool:
        folds = sorted(self._folds[number])
        if self._stops is never or self.best is None or len(folds) == self._seen.num_folds:
            return True
        # The best trial's folds come in the challenger's order, those that it has not run last.
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
    """Knows which recipe to wait for: that one has all its folds, every other one."""

    def __init__(self, seen: Seen, winner: int) -> None:
        super().__init__(seen, lambda *_: True)
        self._winner = winner

    def goes_on(self, number: int) -> bool:
        return self._recipes[number] == self._winner


class Raced:
    """``search.policy.race`` as the driver uses it."""

    def __init__(self, seen: Seen, memory: Memory, rules: Rules, *, luck: bool = True, early: bool = False) -> None:
        self._seen, self._memory = seen, memory
        self._race = RememberingRace(rules, memory, luck=luck, early=early)

    def begin(self, job: Job, recipe: int) -> None:
        self._race.begin_recipe(job, recipe)

    def hear(self, job: Job, fold: int) -> None:
        self._race.hear(job, fold, self._memory.heard(job.seed, self._race.recipes[job.number], fold))

    def goes_on(self, number: int) -> bool:
        return self._race.judge(number).go_on

    def end(self, number: int, state: State) -> None:
        self._race.end(number, state)

    def repeat(self, running: set[Job], last: bool) -> Job | None:
        job = self._race.last_repeat(running) if last else self._race.first_repeat(running)
        return job if job is not None and job.seed < len(self._seen.scores) else None

    def out_of_patience(self) -> bool:
        return self._race.out_of_patience()

    @property
    def best(self) -> int | None:
        leader = self._race.leader()
        return None if leader is None else leader.number


class RacedByShare(Raced):
    """The race, and after its first fold a trial ends, too, whose score is among the lowest of all first folds so far.

    What a rung by share is held against: the same rule without a rung.
    """

    def __init__(self, seen: Seen, memory: Memory, rules: Rules, lowest: float) -> None:
        """
        Args:
            lowest: the share that is stopped, 0..1.
        """
        super().__init__(seen, memory, rules)
        self._lowest = lowest
        self._first_folds: list[float] = []
        self._num_heard: dict[Job, int] = {}

    def hear(self, job: Job, fold: int) -> None:
        super().hear(job, fold)
        self._num_heard[job] = self._num_heard.get(job, 0) + 1

    def goes_on(self, number: int) -> bool:
        goes_on = super().goes_on(number)
        if self._num_heard[Job(number, 0)] > 1:
            return goes_on
        score = float(self._seen.scores[0, self._race.recipes[number], 0])
        self._first_folds.append(score)
        return goes_on and score >= float(np.quantile(self._first_folds, self._lowest))
