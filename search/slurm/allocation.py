"""What Slurm has given: the nodes of a job, and the CPUs, GPUs and memory of one of them."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from dataclasses import dataclass

from leukemia.base.errors import UserError, first_line

WITHOUT_DEVICES = ("", "NoDevFiles", "-1")
"""Values of ``CUDA_VISIBLE_DEVICES`` that stand for no GPU, the second one of Slurm's."""


@dataclass(frozen=True, kw_only=True)
class Job:
    """A Slurm job, from the environment of its script."""

    job_id: int
    """Unique, also for each task of an array."""

    label: str
    """As Slurm shows it: ``12``, or ``12_3`` for a task of an array."""

    array_task: str | None
    """Number of the task in its array; None outside of one."""

    nodes: tuple[str, ...]
    """Their names; the job's script runs on the first one."""

    cpus_per_task: int | None
    """Of ``--cpus-per-task``; None if not given."""

    restarts: int
    """How often the job was requeued."""

    @classmethod
    def of(cls, environment: Mapping[str, str]) -> Job:
        """The job whose script has this environment.

        Raises:
            UserError: it is not that of a job's script.
        """
        if "SLURM_JOB_ID" not in environment or "SLURM_JOB_NODELIST" not in environment:
            raise UserError(
                "expected to run in a Slurm job, found no SLURM_JOB_ID; submit it with `sbatch cluster.slurm ARGUMENTS`"
            )
        job_id, task = int(environment["SLURM_JOB_ID"]), environment.get("SLURM_ARRAY_TASK_ID")
        cpus = environment.get("SLURM_CPUS_PER_TASK")
        return cls(
            job_id=job_id,
            label=str(job_id) if task is None else f"{environment['SLURM_ARRAY_JOB_ID']}_{task}",
            array_task=task,
            nodes=_names(environment["SLURM_JOB_NODELIST"]),
            cpus_per_task=None if cpus is None else int(cpus),
            restarts=int(environment.get("SLURM_RESTART_COUNT", 0)),
        )


def _names(nodes: str) -> tuple[str, ...]:
    """The names in a list such as ``n[1-3],gpu7``, which only Slurm itself can read in all its forms."""
    try:
        shown = subprocess.run(["scontrol", "show", "hostnames", nodes], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError) as error:
        raise UserError(
            f"`scontrol show hostnames {nodes}` fails ({first_line(error)}); make Slurm's commands available on the "
            "nodes"
        ) from None
    return tuple(shown.stdout.split())


@dataclass(frozen=True, kw_only=True)
class Share:
    """What a job may use of one node."""

    cpus: int
    gpus: int
    memory_bytes: int | None
    """None: all of the node's, as where Slurm does not limit memory."""

    @classmethod
    def of(cls, environment: Mapping[str, str], usable_cpus: int) -> Share:
        """The share of a step with one task on this node, with this environment.

        Slurm's numbers alone do not suffice, and neither does the machine's view: without a plugin that binds tasks,
        nothing but the number tells that only some CPUs were given.

        Args:
            usable_cpus: that CPU affinity and cgroups allow.
        """
        given = environment.get("SLURM_CPUS_PER_TASK") or environment.get("SLURM_CPUS_ON_NODE")
        cpus = usable_cpus if given is None else min(usable_cpus, int(given))
        devices = environment.get("CUDA_VISIBLE_DEVICES", "")
        gpus = 0 if devices in WITHOUT_DEVICES else len(devices.split(","))
        return cls(cpus=cpus, gpus=gpus, memory_bytes=_memory_of(environment, cpus, gpus))

    def describe(self) -> str:
        """
        >>> Share(cpus=8, gpus=1, memory_bytes=32 * 2**30).describe()
        '8 CPUs, 1 GPU, 32 GiB of memory'
        """
        numbers = [(self.cpus, "CPU"), (self.gpus, "GPU")]
        memory = "all of its" if self.memory_bytes is None else f"{self.memory_bytes / 2**30:.3g} GiB of"
        return ", ".join([*(f"{n} {what}{'' if n == 1 else 's'}" for n, what in numbers), f"{memory} memory"])


def _memory_of(environment: Mapping[str, str], cpus: int, gpus: int) -> int | None:
    """Bytes; Slurm sets one of these variables, in MiB, and 0 stands for all of a node's memory."""
    for name, number in (("SLURM_MEM_PER_NODE", 1), ("SLURM_MEM_PER_CPU", cpus), ("SLURM_MEM_PER_GPU", gpus)):
        megabytes = int(environment.get(name, 0))
        if megabytes:
            return megabytes * number * 2**20 or None
    return None
