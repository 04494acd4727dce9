"""A job from start to end: Ray on its nodes, the search on the first one, and its requeueing."""

from __future__ import annotations

import argparse
import contextlib
import os
import secrets
import signal
import subprocess
import sys
from pathlib import Path

from leukemia.base import interrupts
from leukemia.base.errors import INTERRUPTED, UserError
from leukemia.base.printable import printable
from search.cluster.requirements import excess_bytes
from search.launch.arguments import parse
from search.slurm.allocation import Job
from search.slurm.continuation import arguments_of, how_to_deliver, how_to_resume, is_running
from search.slurm.cuda import require_cuda
from search.slurm.earlier_run import wait_for_lock
from search.slurm.ending import Ending, conclude, tell_how_to_resume
from search.slurm.folders import without_locks
from search.slurm.node import HEAD, NodeSpec, ray_environment, ray_folder, temporary
from search.slurm.steps import ray_on
from search.trials.commands import FINAL, RESUME

CLOSING_SECONDS = 60
"""How long a search may take to end in order after Slurm's notice; it loses nothing if it is killed then."""

TELLING_SECONDS = 15
"""How long it may take until then to say how to resume it, if the job was cancelled: by default (``KillWait``) Slurm
kills a job 30 seconds after its signal."""


def launch(given: list[str]) -> int:
    """Run a search in the Slurm job that this process belongs to; returns the exit status of the search.

    Args:
        given: the arguments of ``search.run``.

    Raises:
        UserError: this is not a job's script, an argument is wrong, torch cannot use the job's GPUs, an earlier run
            of the job keeps its study, or Ray does not start on the first node.
    """
    job = Job.of(os.environ)
    arguments = arguments_of(job, given)
    parsed = parse(arguments)
    print(f"job {job.label} on {', '.join(job.nodes)}", flush=True)
    require_cuda(parsed.device, os.environ)
    if job.restarts:
        wait_for_lock(parsed, how_to_resume(job.script, parsed))
    spec, token = NodeSpec(head=HEAD, job_id=job.job_id, folder=job_folder(job)), secrets.token_hex(32)
    os.environ |= ray_environment(os.environ, spec.folder)
    own, notes = without_locks(parsed, spec.folder)
    for note in notes:
        print(printable(note), flush=True)
    for number in interrupts.SIGNALS:
        signal.signal(number, _interrupt_once)
    try:
        with ray_on(job, spec, token) as address:
            ending = _search(job, parsed, [*arguments, *own], temporary(spec.folder) | {"RAY_ADDRESS": address})
    except KeyboardInterrupt:
        ending = Ending(INTERRUPTED, is_noticed=True, has_told=False)
    conclude(job, parsed, ending)
    return ending.status


def job_folder(job: Job) -> Path:
    """A folder on each node's own disk, not to be guessed.

    Raises:
        UserError: its path is too long for the names of Ray's sockets.
    """
    base = os.environ.get("RAY_TMPDIR") or "/tmp"
    folder = Path(base) / f"ray-{job.job_id}-{secrets.token_hex(4)}"
    if (excess := excess_bytes(ray_folder(folder))) > 0:
        raise UserError(
            f"RAY_TMPDIR={base}: {excess} bytes too long for the names of Ray's sockets; set it to a shorter path on "
            "the nodes' own disks, or leave it out for /tmp"
        )
    return folder


def _search(job: Job, parsed: argparse.Namespace, arguments: list[str], variables: dict[str, str]) -> Ending:
    """Run the search with these environment variables besides the job's, and end it at a signal."""
    told = {RESUME: how_to_resume(job.script, parsed), FINAL: how_to_deliver(job, parsed, os.environ)}
    search = subprocess.Popen([sys.executable, "-m", "search.run", *arguments], env=os.environ | variables | told)
    try:
        return Ending.of(search.wait(), is_noticed=False)
    except KeyboardInterrupt:
        pass
    print("notice from Slurm: the search ends", flush=True)
    search.send_signal(signal.SIGTERM)
    with contextlib.suppress(subprocess.TimeoutExpired):
        return Ending.of(search.wait(TELLING_SECONDS), is_noticed=True)
    if not is_running(job):
        # Soon Slurm kills the job.
        tell_how_to_resume(job, parsed)
    with contextlib.suppress(subprocess.TimeoutExpired):
        return Ending.of(search.wait(CLOSING_SECONDS - TELLING_SECONDS), is_noticed=True)
    search.kill()
    search.wait()
    print(f"the search has not ended within {CLOSING_SECONDS} s and was killed", flush=True)
    return Ending(INTERRUPTED, is_noticed=True, has_told=False)


def _interrupt_once(signum: int, frame: object) -> None:
    """Slurm repeats itself when it ends a job: after its first signal, others would disturb the end."""
    for number in interrupts.SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    raise KeyboardInterrupt
