"""How a job goes on with its study: the arguments of its search, and its requeueing."""

from __future__ import annotations

import argparse
import shlex
import subprocess
from collections.abc import Mapping
from pathlib import Path

from leukemia.base.cli import AUTO
from leukemia.base.errors import MissingFile, UserError
from leukemia.plugins.plugin_file import PluginFile
from leukemia.study import layout
from search.launch.arguments import not_remembered, parse
from search.planning.request import NO_STORAGE
from search.planning.vacancy import occupied
from search.slurm.allocation import Job, Share
from search.storage.probe import probe

ARRAY_TASK = "%a"
"""Stands for the number of the task in its array, as in `sbatch --output`."""

FINAL_TIME = "4:00:00"
"""Time limit of the job that trains the winner; a partition's default may be minutes."""

MEMORY = {"mem": "SLURM_MEM_PER_NODE", "mem-per-cpu": "SLURM_MEM_PER_CPU", "mem-per-gpu": "SLURM_MEM_PER_GPU"}
"""The options on memory, of which a job has one, and the variables in which Slurm repeats them, in MiB."""

DEFAULT_RUNS = parse([]).runs


def arguments_of(job: Job, given: list[str]) -> list[str]:
    """The arguments of ``search.run`` for this job: its study has a name, and is resumed if the job was requeued.

    Raises:
        UserError: an argument is wrong, the study to resume has no name or is absent, that to start exists already or
            is that of other tasks of the array, or there are no data or not all plug-ins.
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
    has_study = is_stored(name, parsed.runs, parsed.storage)
    if job.restarts and not parsed.resume and has_study:
        return [*arguments, "--resume"]
    is_shared = parsed.study in [argument.removeprefix("--study=") for argument in given]
    if job.array_task is not None and is_shared and not parsed.resume:
        raise UserError(
            f"--study {parsed.study}: each task of an array needs a study of its own; add {ARRAY_TASK}, as in --study "
            f"{parsed.study}-{ARRAY_TASK}, or name none"
        )
    _check_study(name, parsed, has_study=has_study)
    _check_data(parsed)
    for path in parsed.plugins:
        PluginFile.read(path)
    return arguments


def _check_study(name: str, parsed: argparse.Namespace, *, has_study: bool) -> None:
    """What the search would refuse only after Ray has started: a study to resume is absent, or a new one is not new."""
    folder = parsed.runs / name
    if not parsed.resume:
        layout.check_new_name(name)
        if has_study:
            raise occupied(str(folder), [layout.STUDY], instead="--study or --runs")
    elif not has_study:
        raise MissingFile(
            f"--resume: expected a study in {folder}, found none; correct --study or --runs, or give its --storage"
        )


def _check_data(parsed: argparse.Namespace) -> None:
    absent = [path for path in (parsed.data, *(parsed.also or ())) if path is not None and not Path(path).exists()]
    if absent:
        raise MissingFile(
            f"--data: expected a folder or CSV, found none at {absent[0]}; correct the path, which is relative to "
            f"{Path.cwd()} unless it starts with /"
        )


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


def how_to_resume(script: str, parsed: argparse.Namespace) -> str:
    """The command with which the user resumes the job's study.

    Args:
        script: of the job.
        parsed: the arguments of the search, with the study's name.
    """
    # A storage is remembered by the study, which may be in the storage only.
    stored = [] if parsed.storage in (None, NO_STORAGE) else ["--storage", parsed.storage]
    words = ["--resume", "--study", parsed.study, *_runs(parsed), *stored, *not_remembered(parsed, None)]
    return shlex.join(["sbatch", script, *words])


def how_to_deliver(job: Job, parsed: argparse.Namespace, environment: Mapping[str, str]) -> str:
    """The command with which the user trains and delivers the study's winner, in a job like this one.

    Args:
        parsed: as for ``how_to_resume``.
        environment: of the job's script; what Slurm does not say there is left out.
    """
    given = {
        "partition": environment.get("SLURM_JOB_PARTITION"),
        "account": environment.get("SLURM_JOB_ACCOUNT"),
        **_one_gpu(job, parsed, environment),
        "cpus-per-task": environment.get("SLURM_CPUS_PER_TASK"),
        **{option: _memory(environment.get(name)) for option, name in MEMORY.items()},
        "time": FINAL_TIME,
    }
    options = [f"--{name}={value}" for name, value in given.items() if value]
    device = [] if parsed.device == AUTO else ["--device", parsed.device]
    plugins = [word for path in parsed.plugins for word in ("--plugin", str(path))]
    final = [".venv/bin/python", "-m", "leukemia.final", "--best", parsed.study, *_runs(parsed), *device, *plugins]
    return shlex.join(["sbatch", *options, "--wrap", shlex.join(final)])


def _runs(parsed: argparse.Namespace) -> list[str]:
    return [] if parsed.runs == DEFAULT_RUNS else ["--runs", str(parsed.runs)]


def _one_gpu(job: Job, parsed: argparse.Namespace, environment: Mapping[str, str]) -> dict[str, str]:
    """The option that asks for one GPU of the job's kind, such as ``a100:1``; none for a job without GPUs."""
    if parsed.device == "cpu" or not Share.of(environment, usable_cpus=1).gpus:
        return {}
    one = f"{job.gpu_kind}:1" if job.gpu_kind else "1"
    # Not every cluster has the options `--gpus...` (SelectType=cons_res): as the job itself was submitted.
    has_option = any(name in environment for name in ("SLURM_GPUS", "SLURM_GPUS_PER_NODE", "SLURM_GPUS_PER_TASK"))
    return {"gpus-per-node": one} if has_option else {"gres": f"gpu:{one}"}


def _memory(megabytes: str | None) -> str | None:
    return megabytes and f"{megabytes}M"
