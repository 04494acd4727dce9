"""Jobs that are known and wait for a place: left over by a crashed driver, rescheduled, or asked for ahead of time."""

from __future__ import annotations

from collections.abc import Callable

from leukemia.config.recipe import Recipe
from leukemia.study.job import Job

Known = tuple[Job, Recipe]


class Backlog:
    """First come, first served, with one place; with several the costliest first.

    Then the last to end is a short one, and places do not stand empty for the sake of one deep network (longest
    processing time first: Graham, SIAM Journal on Applied Mathematics 1969, at most a third longer than the best
    order).
    """

    def __init__(self, cost: Callable[[Known], float]) -> None:
        """
        Args:
            cost: device seconds that a job is likely to take, in any unit.
        """
        self._cost = cost
        self._begun: list[Known] = []
        self._ahead: list[Known] = []

    def add(self, known: Known) -> None:
        """A job that has been begun before."""
        self._begun.append(known)

    def add_ahead(self, known: Known) -> None:
        """A job that has not."""
        self._ahead.append(known)

    def __len__(self) -> int:
        return len(self._begun) + len(self._ahead)

    def take(self, places: int, *, ahead: bool = True) -> Known | None:
        """The next job, those begun before being first; None where there is none.

        Args:
            places: jobs that run at once.
            ahead: whether one may be begun that has not been.
        """
        for jobs in (self._begun, self._ahead if ahead else []):
            if jobs:
                best = 0 if places == 1 else max(range(len(jobs)), key=lambda index: (self._cost(jobs[index]), -index))
                return jobs.pop(best)
        return None
