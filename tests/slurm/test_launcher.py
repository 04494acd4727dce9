"""The folder of a job on its nodes' own disks, and the token that only the job has."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from leukemia.base.errors import UserError
from search.cluster import variables
from search.slurm import __main__ as command
from search.slurm import launcher
from search.slurm.allocation import Job
from search.slurm.launcher import job_folder

JOB = Job(
    job_id=67_108_863, label="12", array_task=None, nodes=("n1",), cpus={}, gpus={}, gpu_kind="", script="a.slurm",
    restarts=0,
)  # fmt: skip


def test_the_folder_of_a_job(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RAY_TMPDIR", raising=False)
    first, second = job_folder(JOB), job_folder(JOB)
    assert first != second
    assert first.parent == Path("/tmp")
    assert first.name.startswith("ray-67108863-")
    monkeypatch.setenv("RAY_TMPDIR", "/scratch")
    assert job_folder(JOB).parent == Path("/scratch")


def test_a_folder_whose_name_is_too_long_for_sockets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_TMPDIR", "/local/scratch/of/a/user/with/a/long/name")
    with pytest.raises(
        UserError, match=r"^RAY_TMPDIR=/local/scra\S+: \d+ bytes too long for the names of Ray's sockets"
    ):
        job_folder(JOB)


def test_a_token_of_the_users_is_not_the_jobs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_AUTH_TOKEN", "of another cluster")
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    found: dict[str, str] = {}

    def launch(given: list[str]) -> int:
        found.update(os.environ)
        return 0

    monkeypatch.setattr(variables, "check_environment", lambda: None)
    monkeypatch.setattr(launcher, "launch", launch)
    assert command.main(["--trials", "5"]) == 0
    assert "RAY_AUTH_TOKEN" not in found
    assert found["RAY_AUTH_MODE"] == "token"
