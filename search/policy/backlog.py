"""Jobs with folds to train: running, interrupted, rescheduled, or proposed in advance."""

from __future__ import annotations

from collections.abc import Callable

from leukemia.config.recipe import Recipe
from leukemia.study.job import Job

PendingJob = tuple[Job, Recipe]


class Backlog:
    """A queue: first in, first out with one slot; with several slots the most expensive job first.

    An entry is one place for a job: one more of its folds may begin. A job whose fold has ended keeps its place; a job
    whose folds are trained side by side has an entry for each.

    Then the last job to finish is a short one, and no slots stay idle while a deep network trains (longest processing
    time first: Graham, SIAM Journal on Applied Mathematics 1969; at most a third longer than the best order).
    """

    def __init__(self, cost: Callable[[PendingJob], float]) -> None:
        """
        Args:
            cost: estimated device time of a job, in any unit.
        """
        self._cost = cost
        self._going: list[PendingJob] = []
        self._started: list[PendingJob] = []
        self._more: list[PendingJob] = []
        self._new: list[PendingJob] = []

    def add_going(self, pending: PendingJob) -> None:
        """Add a job of which a fold has just ended: it comes before all others."""
        self._going.append(pending)

    def add_started(self, pending: PendingJob) -> None:
        """Add a job that has started before."""
        self._started.append(pending)

    def add_more(self, pending: PendingJob) -> None:
        """Add another fold of a job that runs."""
        self._more.append(pending)

    def add_new(self, pending: PendingJob) -> None:
        """Add a job that has not started yet."""
        self._new.append(pending)

    def remove(self, job: Job) -> None:
        """Remove all places of a job."""
        for jobs in (self._going, self._started, self._more, self._new):
            jobs[:] = [pending for pending in jobs if pending[0] != job]

    @property
    def num_begun(self) -> int:
        """Number of places for jobs that have started before."""
        return len(self._going) + len(self._started) + len(self._more)

    @property
    def num_new(self) -> int:
        """Number of jobs that have not started yet."""
        return len(self._new)

    def take_started(self, slots: int) -> PendingJob | None:
        """Remove and return the next job that has started before; None if there is none.

        Args:
            slots: number of folds that are trained in parallel.
        """
        return self._take(self._going, slots) or self._take(self._started, slots)

    def take_more(self, slots: int) -> PendingJob | None:
        """The next job of those with ``add_more``, as ``take_started``."""
        return self._take(self._more, slots)

    def take_new(self, slots: int) -> PendingJob | None:
        """The next job that has not started yet, as ``take_started``."""
        return self._take(self._new, slots)

    def _take(self, jobs: list[PendingJob], slots: int) -> PendingJob | None:
        if not jobs:
            return None
        best = 0 if slots == 1 else max(range(len(jobs)), key=lambda index: (self._cost(jobs[index]), -index))
        return jobs.pop(best)
