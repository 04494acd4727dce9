"""A job from start to end: Ray on its nodes, the search on the first one, and its requeueing."""

from __future__ import annotations

import os
import secrets
import signal
import subprocess
import sys
from pathlib import Path

from leukemia.base import interrupts
from leukemia.base.errors import INTERRUPTED
from leukemia.base.printable import printable
from search.launch.arguments import parse
from search.slurm.allocation import Job
from search.slurm.continuation import arguments_of, how_to_continue, is_running, is_stored, requeue
from search.slurm.cuda import require_cuda
from search.slurm.folders import without_locks
from search.slurm.node import HEAD, NodeSpec, ray_environment
from search.slurm.steps import ray_on

CLOSING_SECONDS = 60
"""How long a search may take to end in order after Slurm's notice; it loses nothing if it is killed then."""


def launch(given: list[str]) -> int:
    """Run a search in the Slurm job that this process belongs to; returns the exit status of the search.

    Args:
        given: the arguments of ``search.run``.

    Raises:
        UserError: this is not a job's script, an argument is wrong, torch cannot use the job's GPUs, or Ray does not
            start on the first node.
    """
    job = Job.of(os.environ)
    arguments = arguments_of(job, given)
    parsed = parse(arguments)
    print(f"job {job.label} on {', '.join(job.nodes)}", flush=True)
    require_cuda(parsed.device, os.environ)
    spec, token = NodeSpec(head=HEAD, job_id=job.job_id, folder=job_folder(job)), secrets.token_hex(32)
    os.environ |= ray_environment(os.environ, spec.folder)
    own, notes = without_locks(parsed, spec.folder)
    for note in notes:
        print(printable(note), flush=True)
    for number in interrupts.SIGNALS:
        signal.signal(number, _interrupt_once)
    try:
        with ray_on(job, spec, token) as address:
            status, is_noticed = _search([*arguments, *own], address)
    except KeyboardInterrupt:
        status, is_noticed = INTERRUPTED, True
    # Whoever cancels a job does not want it back.
    if is_noticed and status != 0 and is_running(job):
        _requeue(job, arguments, is_stored(parsed.study, parsed.runs, parsed.storage))
    return status


def job_folder(job: Job) -> Path:
    """A folder on each node's own disk; short, since the names of Ray's sockets are limited, and not to be guessed."""
    base = os.environ.get("RAY_TMPDIR") or "/tmp"
    return Path(base) / f"ray-{job.job_id}-{secrets.token_hex(4)}"


def _search(arguments: list[str], address: str) -> tuple[int, bool]:
    """Run the search, and end it at a signal; returns its exit status, and whether there was a signal."""
    search = subprocess.Popen(
        [sys.executable, "-m", "search.run", *arguments], env=os.environ | {"RAY_ADDRESS": address}
    )
    try:
        return search.wait(), False
    except KeyboardInterrupt:
        pass
    print("notice from Slurm: the search ends", flush=True)
    search.send_signal(signal.SIGTERM)
    try:
        return search.wait(CLOSING_SECONDS), True
    except subprocess.TimeoutExpired:
        search.kill()
        search.wait()
        print(
            f"the search has not ended within {CLOSING_SECONDS} s and was killed; finished folds are kept", flush=True
        )
        return INTERRUPTED, True


def _interrupt_once(signum: int, frame: object) -> None:
    """Slurm repeats itself when it ends a job: after its first signal, others would disturb the end."""
    for number in interrupts.SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    raise KeyboardInterrupt


def _requeue(job: Job, arguments: list[str], has_study: bool) -> None:
    """Requeue the job, unless it would do the same again."""
    if not has_study:
        print("the search had not begun; give the job more time with `sbatch --time`", flush=True)
        return
    print(f"job {job.label} is requeued, and will resume its study", flush=True)
    if problem := requeue(job):
        print(printable(f"scontrol requeue: {problem}; resume with:\n  {how_to_continue(arguments)}"), flush=True)
