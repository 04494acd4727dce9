"""Jobs with folds to train: running, interrupted, rescheduled, or proposed in advance."""

from __future__ import annotations

from collections.abc import Callable

from leukemia.config.recipe import Recipe
from leukemia.study.job import Job

PendingJob = tuple[Job, Recipe]


class Backlog:
    """A queue: first in, first out with one slot; with several slots the most expensive job first.

    An entry is one place for a job: one more of its folds may begin. A job whose fold has ended keeps its place.

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
        self._new: list[PendingJob] = []

    def add_going(self, pending: PendingJob) -> None:
        """Add a job of which a fold has just ended: it comes before all others."""
        self._going.append(pending)

    def add_started(self, pending: PendingJob) -> None:
        """Add a job that has started before."""
        self._started.append(pending)

    def add_new(self, pending: PendingJob) -> None:
        """Add a job that has not started yet."""
        self._new.append(pending)

    @property
    def num_begun(self) -> int:
        """Number of places for jobs that have started before."""
        return len(self._going) + len(self._started)

    def __len__(self) -> int:
        return self.num_begun + len(self._new)

    def take(self, slots: int, *, include_new: bool = True) -> PendingJob | None:
        """Remove and return the next job, new jobs last; None if there is none.

        Args:
            slots: number of jobs that run in parallel.
            include_new: whether a job that has not started yet may be returned.
        """
        for jobs in (self._going, self._started, self._new if include_new else []):
            if jobs:
                best = 0 if slots == 1 else max(range(len(jobs)), key=lambda index: (self._cost(jobs[index]), -index))
                return jobs.pop(best)
        return None
