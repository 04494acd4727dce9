"""What Slurm has given: the nodes of a job, and the CPUs, GPUs and memory of one of them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from leukemia.base.errors import UserError
from leukemia.base.gpus import visible_gpus
from search.slurm.record import Record, names_in


@dataclass(frozen=True, kw_only=True)
class Job:
    """A Slurm job, from the environment of its script and what Slurm's controller knows."""

    job_id: int
    """Unique, also for each task of an array."""

    label: str
    """As Slurm shows it: ``12``, or ``12_3`` for a task of an array."""

    array_task: str | None
    """Number of the task in its array; None outside of one."""

    nodes: tuple[str, ...]
    """Their names; the job's script runs on the first one."""

    cpus: Mapping[str, int]
    """Number of CPUs that were asked for on each node; empty without ``--cpus-per-task``."""

    gpus: Mapping[str, int]
    """As of ``Record``, like the next two."""

    gpu_kind: str
    script: str

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
        nodes, record = names_in(environment["SLURM_JOB_NODELIST"]), Record.of(job_id)
        return cls(
            job_id=job_id,
            label=str(job_id) if task is None else f"{environment['SLURM_ARRAY_JOB_ID']}_{task}",
            array_task=task,
            nodes=nodes,
            cpus=_cpus_of(nodes, environment),
            gpus=record.gpus,
            gpu_kind=record.gpu_kind,
            script=record.script,
            restarts=int(environment.get("SLURM_RESTART_COUNT", 0)),
        )


def _cpus_of(nodes: tuple[str, ...], environment: Mapping[str, str]) -> dict[str, int]:
    """CPUs by node: of all the tasks that were asked for there, since Ray takes the place of all of them."""
    cpus = environment.get("SLURM_CPUS_PER_TASK")
    if cpus is None:
        return {}
    # Without a number of tasks Slurm fills this variable in as it likes, and a node has one.
    tasks = expanded(environment.get("SLURM_TASKS_PER_NODE", "")) if "SLURM_NTASKS" in environment else []
    return {node: int(cpus) * (tasks[index] if index < len(tasks) else 1) for index, node in enumerate(nodes)}


def expanded(numbers: str) -> list[int]:
    """A list of numbers by node, as Slurm shortens it.

    >>> expanded("4(x2),1")
    [4, 4, 1]
    """
    return [
        int(number) for number, times in re.findall(r"(\d+)(?:\(x(\d+)\))?", numbers) for _ in range(int(times or 1))
    ]


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
        gpus = visible_gpus(environment)
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
