"""The project's own search in simulated time: its schedule, race and ladder, driven as the driver drives them."""

from __future__ import annotations

import math
from collections.abc import Collection
from typing import cast

from benchmarks.racing.laddering.world import World
from benchmarks.racing.laddering.world_progress import WorldProgress
from benchmarks.racing.replaying.clock import Work
from benchmarks.racing.replaying.halving import Bracket
from benchmarks.racing.replaying.proposals import Proposer
from leukemia.config.recipe import Recipe
from leukemia.study.job import Job
from leukemia.study.schema import State
from search.policy.rules import Rules
from search.policy.rungs import rungs_of
from search.sampling.journal import Journal
from search.trials.schedule import Limits, Schedule

RESTART_EPOCHS = 0.2
"""Cost of going on from a rung in fold 0: model, loader and checkpoint. Rung 1 is at epoch 2 or later, and a pause must
cost at most a tenth of it."""


class Proposals:
    """Proposes recipes of a world as the journal proposes recipes of the space."""

    def __init__(self, world: World, proposer: Proposer) -> None:
        self._world, self._proposer = world, proposer
        self.recipes: list[int] = []
        """Of the world, by the trial's number."""

    def num_trials(self) -> int:
        """Number of trials proposed so far."""
        return len(self.recipes)

    def ask(self, shown: object = None) -> tuple[int, Recipe]:
        """Number and recipe of the next trial, whatever the others have shown at their rungs."""
        recipe = self._proposer.propose()
        assert recipe is not None
        self.recipes.append(recipe)
        return len(self.recipes) - 1, self._world.recipes[recipe]


class ProjectSearch:
    """Work is the part of a fold up to the next epoch after which a trial may wait or end.

    The folds of a trial that the race stops run to their end, and a budget counts work when it begins: a search that
    reports every epoch does a little better in both.
    """

    def __init__(
        self,
        world: World,
        proposer: Proposer,
        rules: Rules,
        num_workers: int,
        *,
        budget_seconds: float = math.inf,
        kill: Bracket | None = None,
    ) -> None:
        """
        Args:
            kill: stops a trial for good by its first epoch, the starting recipe excepted.
        """
        self._world, self._proposer, self._rules = world, proposer, rules
        self._num_workers, self._kill = num_workers, kill
        self._proposals = Proposals(world, proposer)
        self._progress = WorldProgress(rules, world, self._proposals.recipes)
        self._schedule = Schedule(
            cast(Journal, self._proposals),
            self._progress,
            Limits(num_trials=len(world.recipes), budget_hours=budget_seconds / 3600),
            seconds=0.0,
            note=lambda message: None,
        )
        self._running: dict[tuple[Job, int], int] = {}
        """By job and fold, the epoch after which the work ends."""

        self._active: set[Job] = set()
        self._ended: set[Job] = set()
        self._waiting: set[Job] = set()
        self._trained: dict[Job, int] = {}
        """Epochs of fold 0 so far."""

    @property
    def choice(self) -> int | None:
        leader = self._progress.race.leader()
        return None if leader is None else self._proposals.recipes[leader.number]

    def next(self) -> Work | None:
        while True:
            pending = self._schedule.next(self._num_workers, {job for job, _ in self._running})
            if pending is None:
                return None
            job = pending[0]
            if job in self._active or self._begin(job):
                return self._start(job, self._open_folds(job)[0])
            self._end(job, "stopped")

    def _begin(self, job: Job) -> bool:
        """Register a trial that starts or goes on; returns whether it may."""
        self._active.add(job)
        self._progress.begin_trial(job)
        if self._progress.folds_done(job) and not self._progress.race.judge(job.number).continues:
            return False
        if self._progress.side_by_side(job):
            self._schedule.spread(job, len(self._open_folds(job)) - 1)
        return True

    def _open_folds(self, job: Job) -> list[int]:
        taken = {*self._progress.folds_done(job), *(fold for other, fold in self._running if other == job)}
        return [fold for fold in range(self._world.num_folds) if fold not in taken]

    def _start(self, job: Job, fold: int) -> Work:
        start = self._trained.get(job, 0) if fold == 0 else 0
        stop = min((epoch for epoch in self._stops(job, fold) if epoch > start), default=self._world.num_epochs)
        seconds = self._world.seconds_of(self._proposals.recipes[job.number], fold, start, stop)
        if job in self._waiting and start:
            seconds += seconds / (stop - start) * RESTART_EPOCHS
        self._waiting.discard(job)
        self._running[job, fold] = stop
        self._schedule.spend(seconds)
        return Work(job.number, job.seed, fold, seconds)

    def _stops(self, job: Job, fold: int) -> Collection[int]:
        """Epochs before the last after which something may be decided."""
        if fold > 0:
            return ()
        if self._kill is not None:
            return () if job.number == self._rules.start else (1,)
        # The starting recipe does not wait at rungs, but counts there.
        return rungs_of(self._world.num_epochs, self._rules.rungs.shares).values() if self._rules.pausing else ()

    def finish(self, work: Work) -> None:
        job, fold = Job(work.trial, work.seed), work.step
        stop = self._running.pop((job, fold))
        if job in self._ended:
            return
        self._progress.finish_epoch(job, fold, stop)
        if fold == 0:
            self._trained[job] = stop
        if stop < self._world.num_epochs:
            self._continue_fold(job, stop)
            return
        self._progress.finish_fold(job, fold)
        if not self._progress.race.judge(job.number).continues:
            self._end(job, "stopped")
        elif len(self._progress.folds_done(job)) == self._world.num_folds:
            self._end(job, "complete")
        elif not self._waits(job) and not self._progress.side_by_side(job):
            self._schedule.go_on(job)

    def _continue_fold(self, job: Job, epoch: int) -> None:
        value = float(self._world.accuracy[self._proposals.recipes[job.number], 0, epoch - 1])
        if self._kill is not None and not self._kill.goes_on(epoch, value):
            self._end(job, "stopped")
        elif not self._waits(job):
            self._schedule.go_on(job)

    def _waits(self, job: Job) -> bool:
        if self._progress.place(job) is None:
            return False
        self._active.discard(job)
        self._waiting.add(job)
        return True

    def _end(self, job: Job, state: State) -> None:
        self._active.discard(job)
        self._ended.add(job)
        self._schedule.withdraw(job)
        self._progress.end(job.number, state)
        recipe, folds = self._proposals.recipes[job.number], self._progress.folds_done(job)
        scores = self._world.scores[recipe, folds]
        self._proposer.tell(recipe, state, [float(scores.mean())] if state == "complete" else scores.tolist())
