"""What has been decided about the jobs that run: stopped, failed, or to be trained elsewhere."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from leukemia.study.job import Job
from leukemia.study.schema import State
from search.policy.health import MAX_RESCHEDULES, Rescheduled
from search.policy.task import Task
from search.trials.assignment import Failure


@dataclass(frozen=True, kw_only=True)
class JobEnd:
    """How a job has ended."""

    state: State
    reason: str
    score: float | None = None
    """Mean over all folds, of a complete job."""

    traceback: str | None = None


class Verdicts:
    """Why jobs end before their last fold, and which tasks are rescheduled. Reports after a verdict do not count."""

    def __init__(self, num_folds: int, on_decided: Callable[[Job], None]) -> None:
        """
        Args:
            on_decided: called when the end of a job is decided, which other tasks of the job may not have reached.
        """
        self._num_folds, self._on_decided = num_folds, on_decided
        self._stopped: dict[Job, str] = {}
        self._failures: dict[Job, Failure] = {}
        self._faults: dict[Task, Rescheduled] = {}
        self._pausing: set[Task] = set()
        self._times_rescheduled: Counter[Job] = Counter()

    def stop(self, job: Job, reason: str, folds: int) -> None:
        """Stop a job after so many folds."""
        self._stopped[job] = f"{reason} after {folds} of {self._num_folds} folds"
        self._on_decided(job)

    def fail(self, job: Job, failure: Failure) -> None:
        """Let a job fail, unless its end is decided."""
        if not self.is_decided(job):
            self._failures[job] = failure
            self._on_decided(job)

    def reschedule(self, task: Task, fault: Rescheduled) -> None:
        """Let a task leave its worker because of a machine fault."""
        self._faults[task] = fault

    def pause(self, task: Task) -> None:
        """Let a task leave its worker, to wait."""
        self._pausing.add(task)

    def is_decided(self, job: Job) -> bool:
        """Whether a job ends before its last fold."""
        return job in self._stopped or job in self._failures

    def ends(self, task: Task) -> bool:
        """Whether a task is to leave its worker."""
        return self.is_decided(task.job) or task in self._faults or task in self._pausing

    def take_pause(self, task: Task) -> bool:
        """Whether a task has left its worker to wait, once; how its process ended does not matter then."""
        if task not in self._pausing:
            return False
        self._pausing.remove(task)
        return not self.is_decided(task.job)

    def take_fault(self, task: Task) -> Rescheduled | None:
        """The fault because of which a task has left its worker, once.

        None without one, and if the job is decided: it fails if its recipe seems to be the cause of its faults.
        """
        job, fault = task.job, self._faults.pop(task, None)
        if fault is None or self.is_decided(job):
            return None
        self._times_rescheduled[job] += fault.may_repeat
        if self._times_rescheduled[job] <= MAX_RESCHEDULES:
            return fault
        message = f"rescheduled {MAX_RESCHEDULES} times; giving up: {fault.message}"
        self.fail(job, Failure(message=message, traceback=fault.traceback))
        return None

    def end_of(self, job: Job, scores: Sequence[float]) -> JobEnd:
        """How a job has ended.

        Args:
            scores: of its finished folds: of all folds, unless the job is decided.
        """
        if job in self._failures:
            failure = self._failures[job]
            return JobEnd(state="failed", reason=failure.message, traceback=failure.traceback)
        if job in self._stopped:
            return JobEnd(state="stopped", reason=self._stopped[job])
        return JobEnd(state="complete", reason=f"all {self._num_folds} folds", score=float(np.mean(scores)))
