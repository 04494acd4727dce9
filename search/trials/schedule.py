"""Which job runs next, and when to stop starting jobs."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection
from dataclasses import dataclass

from leukemia.study.job import Job
from leukemia.study.outlook import Outlook
from search.policy.backlog import Backlog, PendingJob
from search.policy.effort import effort
from search.policy.repeats import first_repeat, last_repeat
from search.sampling.journal import Journal
from search.trials.progress import Progress


@dataclass(frozen=True, kw_only=True)
class Limits:
    """Limits after which a search starts no more jobs."""

    num_trials: int
    budget_hours: float = math.inf
    """Device hours; once they are used up, no trial or repeat starts, and no trial that waits goes on. With pausing new
    trials start only during the first half."""


class Schedule:
    """Order: started jobs, the repeat of the starting recipe, other folds of jobs that run, trials, other repeats.

    Of the trials, those that wait and are among the best come first, then new ones, then all others that wait.
    """

    def __init__(
        self, journal: Journal, progress: Progress, limits: Limits, *, seconds: float, note: Callable[[str], None]
    ) -> None:
        """
        Args:
            seconds: device seconds that the study has used so far.
            note: called once per reason why no new trials start, with a message.
        """
        self._journal, self._progress, self._race = journal, progress, progress.race
        self._limits, self._seconds, self._pausing = limits, seconds, progress.race.rules.pausing
        self._note, self._noted = note, set[str]()
        self.is_open = True
        """Whether new trials and repeats may start, as far as the user is concerned."""

        self._backlog = Backlog(self._cost)
        self._at_start = seconds, progress.trained

    def go_on(self, job: Job) -> None:
        """Schedule the next fold of a running job: it keeps its place."""
        self._backlog.add_going((job, self._progress.recipe(job)))

    def resume(self, job: Job) -> None:
        """Schedule a job that has started before; it continues after its finished folds."""
        self._backlog.add_started((job, self._progress.recipe(job)))

    def spread(self, job: Job, num_folds: int) -> None:
        """Schedule more folds of a job that has just started, to be trained beside the first one."""
        for _ in range(num_folds):
            self._backlog.add_more((job, self._progress.recipe(job)))

    def withdraw(self, job: Job) -> None:
        """Start no more folds of a job."""
        self._backlog.remove(job)

    def propose(self, pending: PendingJob) -> None:
        """Schedule a trial that is in the journal, but has not started: an earlier driver proposed it in advance."""
        self._backlog.add_new(pending)

    @property
    def has_begun(self) -> bool:
        """Whether a job that has started before is due to run."""
        return self._backlog.num_begun > 0

    def spend(self, seconds: float) -> None:
        """Add device seconds to the time used."""
        self._seconds += seconds

    def outlook(self) -> Outlook:
        """What is left until the search ends."""
        seconds, trained = self._at_start
        return Outlook(
            seconds=self._seconds - seconds,
            used=self._seconds,
            trained=self._progress.trained - trained,
            budget=max(0.0, 3600 * self._limits.budget_hours - self._seconds),
            patience=self._progress.patience_left(),
            trials=self._progress.left(self._limits.num_trials),
            last="the last recipe" if self._race.rules.compares else "--trials",
        )

    def next(self, slots: int, running: set[Job]) -> PendingJob | None:
        """The next job, or None if there is nothing to run in addition to ``running``.

        Args:
            slots: number of jobs that run in parallel.
        """
        pending = self._backlog.take_started(slots)
        if pending is not None:
            return pending
        may_start = self.is_open and not self._is_spent()
        repeat = first_repeat(self._race, running) if may_start else None
        if repeat is not None:
            return repeat, self._progress.recipe(repeat)
        pending = self._backlog.take_more(slots)
        if pending is not None or not may_start:
            return pending
        pending = self._next_trial(slots, {job.number for job in running})
        if pending is not None:
            return pending
        # Wait for the last trial to end, so that repeats do not depend on which trial was faster. In a comparison each
        # has the same ones.
        if any(not job.is_repeat for job in running) and not self._race.rules.compares:
            return None
        repeat = last_repeat(self._race, running)
        return None if repeat is None else (repeat, self._progress.recipe(repeat))

    def _next_trial(self, slots: int, busy: Collection[int]) -> PendingJob | None:
        """A trial that waits and is among the best, a new one, or the best of the others that wait."""
        ladder, left = self._progress.ladder, self._limits.num_trials - self._journal.num_trials()
        waiting, may_begin = ladder.waiting(busy), left > 0 or self._backlog.num_new > 0
        if self._pausing:
            if not (waiting or may_begin) or not self._is_patient():
                return None
            promotable = ladder.promotable(busy)
            if promotable is not None:
                return self._waiting(promotable)
            may_begin = may_begin and self._is_half_left()
        pending = self._new_trial(slots, left) if may_begin else None
        return self._waiting(waiting[0]) if pending is None and waiting else pending

    def _new_trial(self, slots: int, left: int) -> PendingJob | None:
        if left > 0 and not self._backlog.num_new and self._is_patient():
            for _ in range(left if left <= slots else 1):
                number, recipe = self._journal.ask(self._progress.ladder.shown())
                self._backlog.add_new((Job(number, recipe.train.seed), recipe))
        return self._backlog.take_new(slots)

    def _waiting(self, number: int) -> PendingJob:
        """A trial that waits."""
        job = self._race.jobs(number)[0]
        return job, self._progress.recipe(job)

    def _is_patient(self) -> bool:
        reason = self._progress.out_of_patience()
        if reason is not None:
            self._note_once("--patience", f"{reason}; {self._consequence} (--patience)")
        return reason is None

    def _is_half_left(self) -> bool:
        """Whether half of the budget is left: new trials need the other half to be completed."""
        if self._hours < self._limits.budget_hours / 2:
            return True
        half = f"half of the budget of {self._limits.budget_hours:g} device hours used up"
        self._note_once("half", f"{half}; no new trials will start, those that wait go on (--budget-hours)")
        return False

    def _is_spent(self) -> bool:
        if self._hours < self._limits.budget_hours:
            return False
        spent = f"budget of {self._limits.budget_hours:g} device hours used up"
        self._note_once("--budget-hours", f"{spent}; {self._consequence} (--budget-hours)")
        return True

    @property
    def _hours(self) -> float:
        return self._seconds / 3600.0

    @property
    def _consequence(self) -> str:
        return "no trials will start or go on from where they wait" if self._pausing else "no new trials will start"

    def _note_once(self, key: str, message: str) -> None:
        if key not in self._noted:
            self._noted.add(key)
            self._note(message)

    def _cost(self, pending: PendingJob) -> float:
        job, recipe = pending
        return effort(recipe) * (self._race.rules.num_folds - len(self._progress.folds_done(job)))
