"""The processes by which a job's script starts Ray on the job's nodes: one ``srun``, with one task, for each."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import IO, Any

from leukemia.base.errors import UserError
from search.cluster.nodes import expected_nodes
from search.cluster.session import cluster_to_join
from search.slurm.allocation import Job
from search.slurm.node import ADDRESS, END_SECONDS, SHARE, SIGNAL, NodeSpec

JOIN_SECONDS = 300
"""How long the nodes may take to start Ray; its import alone takes minutes from a busy network file system."""

POLL_SECONDS = 0.5

REQUESTS = (
    *(f"SLURM_GPUS{part}" for part in ("", "_PER_NODE", "_PER_TASK", "_PER_SOCKET", "_ON_NODE")),
    *(f"SLURM_NTASKS_PER_{part}" for part in ("NODE", "SOCKET", "GPU")),
    "SLURM_TRES_PER_TASK",
)
"""Variables by which ``srun`` would ask again for what the job was submitted with: for the GPUs of the whole job on one
node, or for those of one task. Each step asks for all that the job has on its node instead."""


class RayStep:
    """Ray on one node, as a step of the job."""

    def __init__(self, job: Job, node: str, spec: NodeSpec, token: str) -> None:
        self.node = node
        self.address: str | None = None
        """Of Ray's head, if this is its node; None until it is known."""

        self.is_closing = False
        self._is_head = spec.is_head
        self._known = threading.Event()
        self._process = subprocess.Popen(
            srun_command(job, node, spec),
            env=srun_environment(job, node, os.environ),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            # A signal to the script's whole group must not end Ray before the search.
            start_new_session=True,
        )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._stdin: IO[str] = self._process.stdin
        self._thread = threading.Thread(target=self._listen, args=(self._process.stdout,), daemon=True)
        self._thread.start()
        with contextlib.suppress(OSError):
            self._stdin.write(token + "\n")
            self._stdin.flush()

    def wait_for_address(self, seconds: float) -> str:
        """The address of Ray on this node, once it starts.

        Raises:
            UserError: it does not start.
        """
        self._known.wait(seconds)
        if self.address is None:
            raise not_started(self.node)
        return self.address

    @property
    def has_ended(self) -> bool:
        return self._process.poll() is not None

    def close(self) -> None:
        """Ask Ray to end."""
        self.is_closing = True
        with contextlib.suppress(OSError):
            self._stdin.close()

    def join(self, seconds: float) -> None:
        """Wait for the end of Ray, and enforce it."""
        try:
            self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            # srun ends its task: with SIGTERM, then SIGKILL.
            self._process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(5)
            self._process.kill()
            self._process.wait()

    def _listen(self, lines: IO[str]) -> None:
        for line in lines:
            self._receive(line)
        self._known.set()
        if not self.is_closing:
            print(f"{self.node}: Ray has ended{'' if self._is_head else '; the search goes on without it'}", flush=True)

    def _receive(self, line: str) -> None:
        try:
            told: dict[str, Any] = json.loads(line)
        except ValueError:
            print(f"{self.node}: {line}", end="", flush=True)
            return
        if SIGNAL in told:
            # Of a job that is preempted, Slurm may signal the steps only.
            os.kill(os.getpid(), signal.SIGTERM)
        else:
            self.address = told[ADDRESS]
            self._known.set()
            print(f"{self.node}: {told[SHARE]}", flush=True)


def not_started(node: str) -> UserError:
    return UserError(f"Ray did not start on {node}; the reason is printed above")


def srun_command(job: Job, node: str, spec: NodeSpec) -> list[str]:
    """The command that runs ``search.slurm.node`` on a node."""
    # Since Slurm 22.05, srun does not take it from the job.
    given = [f"--cpus-per-task={job.cpus[node]}"] if node in job.cpus else []
    # Any form of GPUs is one of these, also for clusters without the options `--gpus...` (SelectType=cons_res).
    given += [f"--gres=gpu:{job.gpus[node]}"] if node in job.gpus else []
    return [
        # Overlapping: a step of the user's, such as one to look at the GPUs, need not wait for the end of Ray's.
        *("srun", "--nodes=1", "--ntasks=1", f"--nodelist={node}", *given, "--overlap", "--mpi=none", "--quiet"),
        *(sys.executable, "-m", "search.slurm.node", *spec.arguments()),
    ]


def srun_environment(job: Job, node: str, environment: Mapping[str, str]) -> dict[str, str]:
    """The environment of ``srun_command``; as that of the job's script if Slurm does not say which GPUs a node has."""
    left_out = REQUESTS if node in job.gpus else ("SLURM_GPUS",)
    kept = {name: value for name, value in environment.items() if name not in left_out}
    # That of one task of the job would count in the step, should srun not replace it.
    return kept | ({"SLURM_CPUS_PER_TASK": str(job.cpus[node])} if node in job.cpus else {})


@contextlib.contextmanager
def ray_on(job: Job, head: NodeSpec, token: str) -> Iterator[str]:
    """Ray on all nodes of a job, from here to the end of the block; yields the head's address.

    The environment of this process must let it join that Ray.

    Raises:
        UserError: the head does not start, or has another version of Ray; the message says why.
    """
    steps: list[RayStep] = []
    try:
        steps.append(RayStep(job, job.nodes[0], head, token))
        address = steps[0].wait_for_address(JOIN_SECONDS)
        steps += [RayStep(job, node, replace(head, head=address), token) for node in job.nodes[1:]]
        _wait_until_joined(address, steps)
        yield address
    finally:
        # Workers first: they would report that they lost their head.
        for step in reversed(steps):
            step.close()
        deadline = time.monotonic() + END_SECONDS + 5
        for step in steps:
            step.join(max(0.0, deadline - time.monotonic()))


def _wait_until_joined(address: str, steps: list[RayStep]) -> None:
    """Wait for all nodes; those that have not joined in time are named, and may join later."""
    deadline = time.monotonic() + JOIN_SECONDS
    while True:
        is_late = time.monotonic() > deadline
        try:
            joined = len(expected_nodes(cluster_to_join(address)).now)
        except UserError:
            if steps[0].has_ended:
                raise not_started(steps[0].node) from None
            if is_late:
                raise
            joined = 0
        waited_for = [step for step in steps if not step.has_ended]
        if joined >= len(waited_for):
            return
        if is_late:
            print(f"warning: only {joined} of {len(steps)} nodes joined within {JOIN_SECONDS} s", flush=True)
            return
        time.sleep(POLL_SECONDS)
