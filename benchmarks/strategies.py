"""Searches that are replayed on a table: cross-validated trials under a judge, and stock Ray Tune."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from clock import Work
from halving import Bracket
from judges import Judge
from proposals import Proposer
from rung_judge import FirstRung, RungRaced
from table import Seen

from leukemia.study.folder import State
from search.policy.race import Job

RUNG = -1
"""The step of a trial's first rung; its folds count from 0."""

Layout = Literal["lock step", "fold after fold"]
Pick = Literal["last reported", "all epochs"]


class FoldSearch:
    """Trials of K folds; a judge speaks after each. As in the driver, a worker keeps a trial until it ends."""

    def __init__(self, seen: Seen, proposer: Proposer, judge: Judge, *, patient: bool = True) -> None:
        """
        Args:
            patient: whether all recipes are tried, instead of none after the judge is out of patience.
        """
        self._seen, self._proposer, self._judge, self._patient = seen, proposer, judge, patient
        self._recipes: list[int] = []
        self._waiting: list[Job] = []
        self._running: set[Job] = set()
        self._heard: dict[Job, list[int]] = {}
        self.stopped: list[int] = []
        """Recipes that were not run to their end."""

    @property
    def choice(self) -> int | None:
        best = self._judge.best
        return None if best is None else self._recipes[best]

    def next(self) -> Work | None:
        job = self._waiting.pop() if self._waiting else self._begin()
        return None if job is None else self._work(job, len(self._heard[job]))

    def _begin(self) -> Job | None:
        """As the driver: a first repeat, else a new trial, else, once no trial runs, a repeat of those that lead."""
        job = self._judge.repeat(self._running, last=False)
        if job is None and (recipe := self._propose()) is not None:
            job = Job(len(self._recipes), 0)
            self._recipes.append(recipe)
        if job is None and all(each.seed for each in self._running):
            job = self._judge.repeat(self._running, last=True)
        if job is not None:
            self._judge.begin(job, self._recipes[job.number])
            self._heard[job] = []
            self._running.add(job)
        return job

    def _propose(self) -> int | None:
        if not self._patient and self._judge.out_of_patience():
            return None
        return self._proposer.propose()

    def _work(self, job: Job, fold: int) -> Work:
        seconds = self._seen.fold_seconds[job.seed, self._recipes[job.number], fold]
        return Work(job.number, job.seed, fold, float(seconds))

    def hear(self, work: Work) -> None:
        job = Job(work.trial, work.seed)
        if job not in self._running:
            return
        self._heard[job].append(work.step)
        self._judge.hear(job, work.step)
        if job.seed == 0 and not self._judge.goes_on(job.number):
            self._end(job, "stopped")
        elif len(self._heard[job]) == self._seen.num_folds:
            self._end(job, "complete")
        else:
            self._go_on(job)

    def _go_on(self, job: Job) -> None:
        self._waiting.append(job)

    def _end(self, job: Job, state: State) -> None:
        self._running.remove(job)
        if job in self._waiting:
            self._waiting.remove(job)
        if job.seed == 0:
            self._judge.end(job.number, state)
            recipe = self._recipes[job.number]
            if state == "stopped":
                self.stopped.append(recipe)
            scores = self._seen.scores[0, recipe, self._heard[job]]
            self._proposer.tell(recipe, state, [scores.mean()] if state == "complete" else scores)


class RungFirstSearch(FoldSearch):
    """Every trial first runs a rung, under a schedule of its own: one that passes begins its first fold anew."""

    def __init__(
        self, seen: Seen, proposer: Proposer, judge: RungRaced, rung: FirstRung, *, patient: bool = True
    ) -> None:
        super().__init__(seen, proposer, judge, patient=patient)
        assert seen.rungs is not None
        self._rung_judge, self._late = judge, rung.late
        self._rung_seconds = seen.fold_seconds[0, :, 0] * (seen.rungs.share if rung.share is None else rung.share)
        self._passed: set[int] = set()
        self.stopped_by_rung: list[int] = []
        """Recipes whose trials did not begin a fold."""

    def _begin(self) -> Job | None:
        job = super()._begin()
        if job is not None and self._late and self.choice is None:
            self._passed.add(job.number)
        return job

    def _work(self, job: Job, fold: int) -> Work:
        if job.seed or job.number in self._passed:
            return super()._work(job, fold)
        return Work(job.number, 0, RUNG, float(self._rung_seconds[self._recipes[job.number]]))

    def hear(self, work: Work) -> None:
        if work.step != RUNG:
            super().hear(work)
            return
        job = Job(work.trial, work.seed)
        if self._rung_judge.passes(job.number):
            self._passed.add(job.number)
            self._go_on(job)
        else:
            self.stopped_by_rung.append(self._recipes[job.number])
            self._end(job, "stopped")


class ParallelFoldSearch(FoldSearch):
    """The other folds of a trial that passes its first run beside each other, by workers as they come free.

    The best of the trials that wait comes first, and whenever a new trial leads, all that wait are judged anew. When a
    trial is stopped, folds of it that run are run to their end.
    """

    def __init__(
        self, seen: Seen, proposer: Proposer, judge: Judge, *, patient: bool = True, hold: bool = False
    ) -> None:
        """
        Args:
            hold: whether trials that are behind the best on the folds of both wait until no recipe is left.
        """
        super().__init__(seen, proposer, judge, patient=patient)
        self._hold = hold
        self._begun: dict[Job, int] = {}
        self._reference: int | None = None

    def next(self) -> Work | None:
        if self._judge.best != self._reference:
            self._reference = self._judge.best
            for job in [job for job in self._waiting if job.seed == 0 and not self._judge.goes_on(job.number)]:
                self._end(job, "stopped")
        job = max(self._waiting, key=self._mean, default=None)
        if job is None or (self._hold and self._is_behind(job)):
            job = self._begin() or job
        if job is None:
            return None
        fold = self._begun.get(job, 0)
        self._begun[job] = fold + 1
        if fold == 0 and job.seed > 0:
            self._waiting.append(job)
        if fold + 1 == self._seen.num_folds:
            self._waiting.remove(job)
        return self._work(job, fold)

    def _is_behind(self, job: Job) -> bool:
        """Whether the best complete trial did better on the folds that the job has."""
        if job.seed or self.choice is None:
            return False
        scores, heard = self._seen.scores[0], self._heard[job]
        return bool(scores[self._recipes[job.number], heard].mean() < scores[self.choice, heard].mean())

    def _mean(self, job: Job) -> float:
        heard = self._heard[job]
        return float(self._seen.scores[job.seed, self._recipes[job.number], heard].mean()) if heard else 0.0

    def _go_on(self, job: Job) -> None:
        if self._begun[job] == 1 and job not in self._waiting:
            self._waiting.append(job)


@dataclass(frozen=True, kw_only=True)
class Stock:
    """How stock Ray Tune is set up: OptunaSearch, ASHAScheduler, get_best_result."""

    layout: Layout
    grace: int
    maximum: int
    factor: int
    pick: Pick
    """Among all trials, as stock does, or among those that ran to the maximum."""

    def __str__(self) -> str:
        return f"{self.layout}, grace {self.grace}, maximum {self.maximum}, factor {self.factor}, picks {self.pick}"


class StockSearch:
    """Trials that report after each epoch; TPE hears of each as complete, with the last value that it reported."""

    def __init__(self, seen: Seen, proposer: Proposer, stock: Stock) -> None:
        self._proposer, self._stock = proposer, stock
        accuracy, seconds = seen.accuracy[0], seen.seconds[0]
        if stock.layout == "lock step":
            self._values, self._seconds = accuracy.mean(axis=1), seconds.sum(axis=1)
        else:
            self._values = _running_mean(accuracy)
            self._seconds = seconds.reshape(len(seconds), -1)
        self._bracket = Bracket(stock.grace, stock.maximum, stock.factor)
        self._recipes: list[int] = []
        self._going_on: list[tuple[int, int]] = []
        self._last: dict[int, float] = {}
        self._leader: int | None = None

    @property
    def choice(self) -> int | None:
        return None if self._leader is None else self._recipes[self._leader]

    def next(self) -> Work | None:
        if self._going_on:
            trial, epoch = self._going_on.pop()
        else:
            recipe = self._proposer.propose()
            if recipe is None:
                return None
            trial, epoch = len(self._recipes), 0
            self._recipes.append(recipe)
        return Work(trial, 0, epoch, float(self._seconds[self._recipes[trial], epoch]))

    def hear(self, work: Work) -> None:
        recipe = self._recipes[work.trial]
        value = float(self._values[recipe, work.step])
        if self._stock.pick == "last reported" or work.step + 1 == self._stock.maximum:
            self._last[work.trial] = value
            if self._leader == work.trial:
                # Its value may have fallen.
                self._leader = max(self._last, key=lambda trial: self._last[trial])
            elif self._leader is None or value > self._last[self._leader]:
                self._leader = work.trial
        if self._bracket.goes_on(work.step + 1, value):
            self._going_on.append((work.trial, work.step + 1))
        else:
            self._proposer.tell(recipe, "complete", [value])


def _running_mean(accuracy: np.ndarray) -> np.ndarray:
    """(recipes, folds, epochs) to (recipes, folds * epochs): mean of the folds begun, each by its last epoch so far."""
    num_recipes, num_folds, _ = accuracy.shape
    before = np.cumsum(accuracy[:, :, -1], axis=1) - accuracy[:, :, -1]
    means = (before[:, :, None] + accuracy) / np.arange(1, num_folds + 1)[:, None]
    return means.reshape(num_recipes, -1)
