"""What Ray's steps ask Slurm for: all that the job has on their node, in whatever form the job has asked for it."""

from __future__ import annotations

from pathlib import Path

import pytest

from search.slurm.allocation import Job
from search.slurm.node import HEAD, NodeSpec
from search.slurm.steps import srun_command, srun_environment

SPEC = NodeSpec(head=HEAD, job_id=12, folder=Path("/tmp/ray-12-0"))
JOB = Job(
    job_id=12, label="12", array_task=None, nodes=("n1", "n2"), cpus={"n1": 16, "n2": 8}, gpus={"n1": 4, "n2": 1},
    gpu_kind="", script="cluster.slurm", restarts=0,
)  # fmt: skip
KEPT = {"PATH": "/bin", "SLURM_JOB_ID": "12", "CUDA_VISIBLE_DEVICES": "0,1,2,3", "SLURM_MEM_PER_GPU": "1024"}


@pytest.mark.parametrize(
    "form",
    [
        {},  # --gres=gpu:4
        {"SLURM_GPUS_PER_NODE": "a100:4"},
        {"SLURM_GPUS": "5"},
        {"SLURM_GPUS_PER_TASK": "1", "SLURM_NTASKS_PER_NODE": "4", "SLURM_TRES_PER_TASK": "cpu=4,gres/gpu=1"},
        {"SLURM_GPUS_PER_SOCKET": "2"},
    ],
)
def test_a_step_asks_for_the_gpus_of_its_node_once(form: dict[str, str]) -> None:
    for node, gpus, cpus in (("n1", 4, 16), ("n2", 1, 8)):
        command = srun_command(JOB, node, SPEC)
        assert [word for word in command if "gres" in word or "cpus" in word] == [
            f"--cpus-per-task={cpus}",
            f"--gres=gpu:{gpus}",
        ]
        # Its own number of GPUs is set by Slurm in the step.
        assert srun_environment(JOB, node, KEPT | form | {"SLURM_GPUS_ON_NODE": "4"}) == KEPT | {
            "SLURM_CPUS_PER_TASK": str(cpus)
        }


def test_a_step_of_a_job_without_gpus_asks_for_none() -> None:
    job = Job(
        job_id=12, label="12", array_task=None, nodes=("n1",), cpus={}, gpus={}, gpu_kind="", script="a.slurm",
        restarts=0,
    )  # fmt: skip
    command = srun_command(job, "n1", SPEC)
    assert not [word for word in command if "gres" in word or "cpus" in word]
