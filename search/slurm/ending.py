"""The end of a job's search: the job is requeued, or the user is told how to resume the study."""

from __future__ import annotations

import argparse
from dataclasses import dataclass

from leukemia.base.errors import FAILURE, INTERRUPTED, SUCCESS
from leukemia.base.printable import printable
from search.slurm.allocation import Job
from search.slurm.continuation import how_to_resume, is_running, is_stored, requeue


@dataclass(frozen=True)
class Ending:
    """How a job's search has ended."""

    status: int
    """Exit status of the job."""

    is_noticed: bool
    """Whether Slurm, or the user through it, had asked for the end."""

    has_told: bool
    """Whether the search has said why it ended, and how to resume it."""

    @classmethod
    def of(cls, status: int, *, is_noticed: bool) -> Ending:
        """The ending of a process with this status, which is negative if a signal has killed it."""
        if status >= 0:
            return cls(status, is_noticed, has_told=True)
        return cls(INTERRUPTED if is_noticed else FAILURE, is_noticed, has_told=False)


def conclude(job: Job, parsed: argparse.Namespace, ending: Ending) -> None:
    """Requeue a job that Slurm has ended, unless it was cancelled; say how to resume one whose search could not.

    Args:
        parsed: the arguments of the search, with the study's name.
    """
    # Whoever cancels a job does not want it back.
    if ending.is_noticed and ending.status != SUCCESS and is_running(job):
        _requeue(job, parsed)
    elif not ending.has_told:
        tell_how_to_resume(job, parsed)


def tell_how_to_resume(job: Job, parsed: argparse.Namespace) -> None:
    """Print how to resume the study, if there is one."""
    if is_stored(parsed.study, parsed.runs, parsed.storage):
        print(printable(f"finished folds are kept. Resume with:\n  {how_to_resume(job.script, parsed)}"), flush=True)


def _requeue(job: Job, parsed: argparse.Namespace) -> None:
    """Requeue the job, unless it would do the same again."""
    if not is_stored(parsed.study, parsed.runs, parsed.storage):
        print("the search had not begun; give the job more time with `sbatch --time`", flush=True)
        return
    if problem := requeue(job):
        command = how_to_resume(job.script, parsed)
        line = f"job {job.label} is not requeued (scontrol requeue: {problem}). Resume with:\n  {command}"
        print(printable(line), flush=True)
    else:
        # Slurm now ends this process as well: with a signal that it ignores, then after KillWait.
        print(f"job {job.label} is requeued, and will resume its study", flush=True)
