"""The GPUs that Slurm gave to a job, as its environment tells, without a driver or a library."""

from __future__ import annotations

from collections.abc import Mapping

VISIBLE = "CUDA_VISIBLE_DEVICES"

NO_DEVICES = ("", "NoDevFiles", "-1")
"""Values of ``VISIBLE`` that stand for no GPU, the second one of Slurm's."""


def gpus_of_job(environment: Mapping[str, str]) -> int:
    """How many GPUs Slurm gave to the job, or to its step, on this node; 0 outside of a job.

    >>> gpus_of_job({"SLURM_GPUS_ON_NODE": "2"}), gpus_of_job({"SLURM_JOB_GPUS": "0,3,5"}), gpus_of_job({})
    (2, 3, 0)
    """
    number = environment.get("SLURM_GPUS_ON_NODE", "")
    # Earlier versions have the other variable only, with the IDs.
    return int(number) if number.isdecimal() else _length(environment.get("SLURM_JOB_GPUS", ""))


def visible_gpus(environment: Mapping[str, str]) -> int:
    """How many GPUs a process with this environment is told to use; 0 if it is not told.

    >>> visible_gpus({"CUDA_VISIBLE_DEVICES": "2,5"}), visible_gpus({"CUDA_VISIBLE_DEVICES": "-1"}), visible_gpus({})
    (2, 0, 0)
    """
    devices = environment.get(VISIBLE, "")
    return 0 if devices in NO_DEVICES else _length(devices)


def _length(listed: str) -> int:
    return len([part for part in listed.split(",") if part])
