"""Which job runs next, and when no more begin."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from leukemia.study.job import Job
from search.policy.backlog import Backlog, Known
from search.policy.effort import effort
from search.policy.repeats import first_repeat, last_repeat
from search.sampling.journal import Journal
from search.trials.progress import Progress


@dataclass(frozen=True, kw_only=True)
class Limits:
    """When a search has done enough."""

    num_trials: int
    budget_hours: float = math.inf
    """Device hours; no trial and no repeat begins once they are spent."""


class Schedule:
    """Jobs to resume come first, then the starting recipe's repeat, new trials, and the repeats of the leading two."""

    def __init__(
        self, journal: Journal, progress: Progress, limits: Limits, *, seconds: float, note: Callable[[str], None]
    ) -> None:
        """
        Args:
            seconds: device time that the study has spent already.
            note: called with the reason, once, when an option ends the search.
        """
        self._journal, self._progress, self._race = journal, progress, progress.race
        self._limits, self._seconds = limits, seconds
        self._note, self._noted = note, set[str]()
        self._backlog = Backlog(self._cost)

    def resume(self, job: Job) -> None:
        """Run a job that has begun before again, from its finished folds."""
        self._backlog.add((job, self._progress.recipe(job)))

    def adopt(self, known: Known) -> None:
        """Run a trial that the journal has begun, and perhaps nobody else."""
        self._backlog.add(known)

    def spend(self, seconds: float) -> None:
        """Device time was spent."""
        self._seconds += seconds

    def next(self, places: int, running: set[Job]) -> Known | None:
        """The next job, or None while there is nothing to run beside those ``running``.

        Args:
            places: how many jobs run at once.
        """
        known = self._backlog.take(places, ahead=False)
        if known is not None:
            return known
        if self._seconds / 3600.0 >= self._limits.budget_hours:
            self._note_end("--budget-hours", f"budget of {self._limits.budget_hours:g} device hours used up")
            return None
        repeat = first_repeat(self._race, running)
        if repeat is not None:
            return repeat, self._progress.recipe(repeat)
        if not len(self._backlog) and self._wants_trials():
            left = self._limits.num_trials - self._journal.num_trials()
            for _ in range(left if left <= places else 1):
                number, recipe = self._journal.ask()
                self._backlog.add_ahead((Job(number, recipe.train.seed), recipe))
        known = self._backlog.take(places)
        if known is not None:
            return known
        # Not before the last trial has ended: what is repeated should not depend on who was quicker.
        if any(not job.is_repeat for job in running):
            return None
        repeat = last_repeat(self._race, running)
        return None if repeat is None else (repeat, self._progress.recipe(repeat))

    def _wants_trials(self) -> bool:
        if self._journal.num_trials() >= self._limits.num_trials:
            return False
        if not self._race.out_of_patience():
            return True
        self._note_end("--patience", f"no improvement beyond noise in the last {self._race.stale()} trials")
        return False

    def _note_end(self, option: str, reason: str) -> None:
        if option not in self._noted:
            self._noted.add(option)
            self._note(f"{reason}; no new trials will start ({option})")

    def _cost(self, known: Known) -> float:
        job, recipe = known
        return effort(recipe) * (self._race.rules.num_folds - len(self._progress.folds_done(job)))
