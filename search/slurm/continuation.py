"""How a job goes on with its study: the arguments of its search, and its requeueing."""

from __future__ import annotations

import shlex
import subprocess
from pathlib import Path

from leukemia.base.errors import UserError
from leukemia.study import layout
from search.launch.arguments import parse
from search.planning.request import NO_STORAGE
from search.slurm.allocation import Job
from search.storage.probe import probe

ARRAY_TASK = "%a"
"""Stands for the number of the task in its array, as in `sbatch --output`."""


def arguments_of(job: Job, given: list[str]) -> list[str]:
    """The arguments of ``search.run`` for this job: its study has a name, and is resumed if the job was requeued.

    Raises:
        UserError: an argument is wrong, or the study to resume has no name.
        SystemExit: argparse has printed what is wrong.
    """
    arguments = [_filled(argument, job) for argument in given]
    parsed = parse(arguments)
    if parsed.study is None:
        if parsed.resume:
            raise UserError(
                "--resume: expected --study NAME as well, got none; which study is the newest may change until the job "
                "starts"
            )
        arguments += ["--study", study_of(job)]
    name = parsed.study or study_of(job)
    if job.restarts and not parsed.resume and is_stored(name, parsed.runs, parsed.storage):
        arguments.append("--resume")
    return arguments


def _filled(argument: str, job: Job) -> str:
    if ARRAY_TASK not in argument:
        return argument
    if job.array_task is None:
        raise UserError(
            f"{argument}: {ARRAY_TASK} is the number of a task in an array of jobs; submit one with `sbatch --array`"
        )
    return argument.replace(ARRAY_TASK, job.array_task)


def study_of(job: Job) -> str:
    """The name of a job's study, if the user gives none."""
    return f"slurm-{job.label}"


def is_stored(study: str, runs: Path, storage: str | None) -> bool:
    """Whether a study exists, in its folder or in its storage."""
    layout.check_name(study)
    if (runs / study / layout.STUDY).is_file():
        return True
    return storage not in (None, NO_STORAGE) and probe(storage).folder(study).read(layout.STUDY) is not None


def is_running(job: Job) -> bool:
    """Whether Slurm lets the job run on: it has not been cancelled, and is not being ended."""
    command = ["squeue", "--noheader", "--jobs", str(job.job_id), "--format", "%T"]
    return subprocess.run(command, capture_output=True, text=True).stdout.strip() == "RUNNING"


def requeue(job: Job) -> str:
    """Requeue the job; returns why that failed, empty if it did not.

    Slurm then ends what is left of the job: its script, which called this.
    """
    ended = subprocess.run(["scontrol", "requeue", str(job.job_id)], capture_output=True, text=True)
    return "" if ended.returncode == 0 else ended.stderr.strip() or f"status {ended.returncode}"


def how_to_continue(arguments: list[str]) -> str:
    """The command with which the user resumes the job's study."""
    resumed = arguments if "--resume" in arguments else [*arguments, "--resume"]
    return f"sbatch cluster.slurm {shlex.join(resumed)}"
