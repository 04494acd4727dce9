"""What Slurm gives, read from the environment of a job and of its steps."""

from __future__ import annotations

from pathlib import Path

import pytest

from leukemia.base.errors import UserError
from search.slurm.allocation import Job, Share

GIB = 2**30


RECORD = """JobId=12 JobName=leukemia
   JOB_GRES=gpu:2
     Nodes=n1 CPU_IDs=0-7 Mem=24576 GRES=gpu:2(IDX:0-1)
   Command=/project/cluster.slurm --trials 5
"""


@pytest.fixture
def scontrol(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Replaces Slurm's command, which tests/machines uses, where there is no Slurm."""
    (tmp_path / "shown").write_text(RECORD)
    (tmp_path / "scontrol").write_text(
        '#!/bin/sh\ncase "$*" in "show hostnames n[1-2]") printf "n1\\nn2\\n";; "show hostnames n1") echo n1;; '
        f'"--details show job "1[25]) cat {tmp_path}/shown;; *) exit 1;; esac\n'
    )
    (tmp_path / "scontrol").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")


def test_a_job(scontrol: None) -> None:
    job = Job.of({"SLURM_JOB_ID": "12", "SLURM_JOB_NODELIST": "n[1-2]", "SLURM_CPUS_PER_TASK": "8"})
    assert job == Job(
        job_id=12, label="12", array_task=None, nodes=("n1", "n2"), cpus={"n1": 8, "n2": 8}, gpus={"n1": 2},
        gpu_kind="", script="/project/cluster.slurm", restarts=0,
    )  # fmt: skip


def test_a_requeued_task_of_an_array(scontrol: None) -> None:
    array = {"SLURM_ARRAY_JOB_ID": "12", "SLURM_ARRAY_TASK_ID": "3", "SLURM_RESTART_COUNT": "2"}
    job = Job.of({"SLURM_JOB_ID": "15", "SLURM_JOB_NODELIST": "n[1-2]"} | array)
    assert (job.job_id, job.label, job.array_task, job.cpus, job.restarts) == (15, "12_3", "3", {}, 2)


@pytest.mark.parametrize(
    ("environment", "cpus"),
    [
        # Without a number of tasks, this one is Slurm's own.
        ({"SLURM_TASKS_PER_NODE": "4(x2)"}, (2, 2)),
        ({"SLURM_TASKS_PER_NODE": "4(x2)", "SLURM_NTASKS": "8"}, (8, 8)),
        ({"SLURM_TASKS_PER_NODE": "3,1", "SLURM_NTASKS": "4"}, (6, 2)),
    ],
)
def test_the_cpus_of_all_tasks_of_a_node(scontrol: None, environment: dict[str, str], cpus: tuple[int, int]) -> None:
    given = {"SLURM_JOB_ID": "12", "SLURM_JOB_NODELIST": "n[1-2]", "SLURM_CPUS_PER_TASK": "2"}
    assert Job.of(given | environment).cpus == {"n1": cpus[0], "n2": cpus[1]}


def test_outside_of_a_job() -> None:
    with pytest.raises(
        UserError, match=r"expected to run in a Slurm job, found no SLURM_JOB_ID; submit it with `sbatch"
    ):
        Job.of({})


def test_without_the_commands_of_slurm(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UserError, match=r"`scontrol show hostnames n1` fails .*; make Slurm's commands available"):
        Job.of({"SLURM_JOB_ID": "12", "SLURM_JOB_NODELIST": "n1"})


@pytest.mark.parametrize(
    ("environment", "usable", "share"),
    [
        ({"SLURM_CPUS_PER_TASK": "8", "SLURM_CPUS_ON_NODE": "16"}, 64, (8, 0, None)),
        ({"SLURM_CPUS_ON_NODE": "16"}, 64, (16, 0, None)),
        ({"SLURM_CPUS_PER_TASK": "8"}, 4, (4, 0, None)),
        ({}, 6, (6, 0, None)),
        ({"CUDA_VISIBLE_DEVICES": "2,5"}, 6, (6, 2, None)),
        ({"CUDA_VISIBLE_DEVICES": "NoDevFiles"}, 6, (6, 0, None)),
        ({"CUDA_VISIBLE_DEVICES": ""}, 6, (6, 0, None)),
        ({"SLURM_MEM_PER_NODE": "4096"}, 2, (2, 0, 4 * GIB)),
        ({"SLURM_MEM_PER_NODE": "0"}, 2, (2, 0, None)),
        ({"SLURM_MEM_PER_CPU": "1024"}, 2, (2, 0, 2 * GIB)),
        ({"SLURM_MEM_PER_GPU": "1024", "CUDA_VISIBLE_DEVICES": "0,1,2"}, 2, (2, 3, 3 * GIB)),
    ],
)
def test_the_share_of_a_node(environment: dict[str, str], usable: int, share: tuple[int, int, int | None]) -> None:
    found = Share.of(environment, usable)
    assert (found.cpus, found.gpus, found.memory_bytes) == share


def test_a_share_without_a_limit_is_described() -> None:
    assert Share(cpus=1, gpus=2, memory_bytes=None).describe() == "1 CPU, 2 GPUs, all of its memory"
