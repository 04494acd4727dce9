"""Searches to be replayed on a table: cross-validated trials with a judge, and stock Ray Tune."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from benchmarks.racing.replaying.clock import Work
from benchmarks.racing.replaying.halving import Bracket
from benchmarks.racing.replaying.judges import Judge
from benchmarks.racing.replaying.proposals import Proposer
from benchmarks.racing.replaying.table import Table
from leukemia.study.job import Job
from leukemia.study.schema import State

Layout = Literal["lock step", "fold after fold"]
Pick = Literal["last reported", "all epochs"]


class FoldSearch:
    """Trials of K folds with a verdict after each. As in the driver, a worker keeps a trial until it ends."""

    def __init__(self, seen: Table, proposer: Proposer, judge: Judge, *, patient: bool = True) -> None:
        """
        Args:
            patient: try all recipes, even when the judge is out of patience.
        """
        self._seen, self._proposer, self._judge, self._patient = seen, proposer, judge, patient
        self._recipes: list[int] = []
        self._waiting: list[Job] = []
        self._running: set[Job] = set()
        self._done: dict[Job, list[int]] = {}

    @property
    def choice(self) -> int | None:
        best = self._judge.best
        return None if best is None else self._recipes[best]

    def next(self) -> Work | None:
        job = self._waiting.pop() if self._waiting else self._begin()
        return None if job is None else self._work(job, len(self._done[job]))

    def _begin(self) -> Job | None:
        """As in the driver: a first repeat, else a new trial, else, once no trial runs, a repeat of the leaders."""
        job = self._judge.repeat(self._running, last=False)
        if job is None and (recipe := self._propose()) is not None:
            job = Job(len(self._recipes), 0)
            self._recipes.append(recipe)
        if job is None and all(each.seed for each in self._running):
            job = self._judge.repeat(self._running, last=True)
        if job is not None:
            self._judge.begin(job, self._recipes[job.number])
            self._done[job] = []
            self._running.add(job)
        return job

    def _propose(self) -> int | None:
        if not self._patient and self._judge.out_of_patience():
            return None
        return self._proposer.propose()

    def _work(self, job: Job, fold: int) -> Work:
        seconds = self._seen.fold_seconds[job.seed, self._recipes[job.number], fold]
        return Work(job.number, job.seed, fold, float(seconds))

    def finish(self, work: Work) -> None:
        job = Job(work.trial, work.seed)
        if job not in self._running:
            return
        self._done[job].append(work.step)
        self._judge.add_fold(job, work.step)
        if job.seed == 0 and not self._judge.goes_on(job.number):
            self._end(job, "stopped")
        elif len(self._done[job]) == self._seen.num_folds:
            self._end(job, "complete")
        else:
            self._continue(job)

    def _continue(self, job: Job) -> None:
        self._waiting.append(job)

    def _end(self, job: Job, state: State) -> None:
        self._running.remove(job)
        if job in self._waiting:
            self._waiting.remove(job)
        if job.seed == 0:
            self._judge.end(job.number, state)
            recipe = self._recipes[job.number]
            scores = self._seen.scores[0, recipe, self._done[job]]
            self._proposer.tell(recipe, state, [scores.mean()] if state == "complete" else scores.tolist())


class ParallelFoldSearch(FoldSearch):
    """Runs the remaining folds of a trial that passes its first fold in parallel, on workers as they become free.

    The best waiting trial comes first; whenever the leader changes, all waiting trials are judged again. Folds that are
    running when their trial is stopped run to completion.
    """

    def __init__(
        self, seen: Table, proposer: Proposer, judge: Judge, *, patient: bool = True, hold: bool = False
    ) -> None:
        """
        Args:
            hold: postpone trials that are behind the best on their common folds until no recipe is left.
        """
        super().__init__(seen, proposer, judge, patient=patient)
        self._hold = hold
        self._begun: dict[Job, int] = {}
        self._reference: int | None = None

    def next(self) -> Work | None:
        if self._judge.best != self._reference:
            self._reference = self._judge.best
            trials = [each for each in self._waiting if each.seed == 0]
            for each in [each for each in trials if not self._judge.goes_on(each.number)]:
                self._end(each, "stopped")
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
        """Whether the best complete trial scored higher on the folds that the job has finished."""
        if job.seed or self.choice is None:
            return False
        scores, done = self._seen.scores[0], self._done[job]
        return bool(scores[self._recipes[job.number], done].mean() < scores[self.choice, done].mean())

    def _mean(self, job: Job) -> float:
        done = self._done[job]
        return float(self._seen.scores[job.seed, self._recipes[job.number], done].mean()) if done else 0.0

    def _continue(self, job: Job) -> None:
        if self._begun[job] == 1 and job not in self._waiting:
            self._waiting.append(job)


@dataclass(frozen=True, kw_only=True)
class Stock:
    """Settings of stock Ray Tune: OptunaSearch, ASHAScheduler, get_best_result."""

    layout: Layout
    grace: int
    maximum: int
    factor: int
    pick: Pick
    """Choose among all trials, as get_best_result does, or among those that reached the maximum."""

    def __str__(self) -> str:
        return f"{self.layout}, grace {self.grace}, maximum {self.maximum}, factor {self.factor}, picks {self.pick}"


class StockSearch:
    """Trials that report after each epoch; TPE sees each as complete with its last reported value."""

    def __init__(self, accuracy: np.ndarray, seconds: np.ndarray, proposer: Proposer, stock: Stock) -> None:
        """
        Args:
            accuracy, seconds: float64 (recipes, folds, epochs), of each epoch.
        """
        self._proposer, self._stock = proposer, stock
        if stock.layout == "lock step":
            self._values, self._seconds = accuracy.mean(axis=1), seconds.sum(axis=1)
        else:
            self._values = _running_mean(accuracy)
            self._seconds = seconds.reshape(len(seconds), -1)
        self._bracket = Bracket(stock.grace, stock.maximum, stock.factor)
        self._recipes: list[int] = []
        self._continuing: list[tuple[int, int]] = []
        self._last: dict[int, float] = {}
        self._leader: int | None = None

    @property
    def choice(self) -> int | None:
        return None if self._leader is None else self._recipes[self._leader]

    def next(self) -> Work | None:
        if self._continuing:
            trial, epoch = self._continuing.pop()
        else:
            recipe = self._proposer.propose()
            if recipe is None:
                return None
            trial, epoch = len(self._recipes), 0
            self._recipes.append(recipe)
        return Work(trial, 0, epoch, float(self._seconds[self._recipes[trial], epoch]))

    def finish(self, work: Work) -> None:
        recipe = self._recipes[work.trial]
        value = float(self._values[recipe, work.step])
        if self._stock.pick == "last reported" or work.step + 1 == self._stock.maximum:
            self._last[work.trial] = value
            if self._leader == work.trial:
                # The value of the leader may have decreased.
                self._leader = max(self._last, key=lambda trial: self._last[trial])
            elif self._leader is None or value > self._last[self._leader]:
                self._leader = work.trial
        if self._bracket.goes_on(work.step + 1, value):
            self._continuing.append((work.trial, work.step + 1))
        else:
            self._proposer.tell(recipe, "complete", [value])


def _running_mean(accuracy: np.ndarray) -> np.ndarray:
    """(recipes, folds, epochs) to (recipes, folds * epochs): mean over the folds started, each at its latest epoch."""
    num_recipes, num_folds, _ = accuracy.shape
    before = np.cumsum(accuracy[:, :, -1], axis=1) - accuracy[:, :, -1]
    means = (before[:, :, None] + accuracy) / np.arange(1, num_folds + 1)[:, None]
    return means.reshape(num_recipes, -1)
