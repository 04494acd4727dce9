"""What a job does when its search has ended: it is requeued, or names the command that resumes the study."""

from __future__ import annotations

import argparse
import signal
from pathlib import Path

import pytest

from leukemia.base.errors import FAILURE, INTERRUPTED
from search.launch.arguments import parse
from search.slurm.allocation import Job
from search.slurm.ending import Ending, conclude

JOB = Job(
    job_id=12, label="12", array_task=None, nodes=("n1",), cpus={}, gpus={}, gpu_kind="", script="my.slurm", restarts=0
)
TOLD, KILLED = (Ending.of(status, is_noticed=True) for status in (INTERRUPTED, -signal.SIGKILL))
RESUME = "Resume with:\n  sbatch my.slurm --resume --study first"


@pytest.fixture
def parsed(tmp_path: Path) -> argparse.Namespace:
    """Arguments of a search that has created its study."""
    (tmp_path / "runs" / "first").mkdir(parents=True)
    (tmp_path / "runs" / "first" / "study.json").write_text("{}")
    return parse(["--runs", str(tmp_path / "runs"), "--study", "first"])


@pytest.fixture
def slurm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder for scripts that replace Slurm's commands, which tests/machines uses."""
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    return tmp_path


def replace(folder: Path, *, state: str, requeue: str) -> None:
    for name, script in (("squeue", f"echo {state}"), ("scontrol", requeue)):
        (folder / name).write_text(f"#!/bin/sh\n{script}\n")
        (folder / name).chmod(0o755)


def test_a_cancelled_job_names_the_command_that_its_search_could_not(
    slurm: Path, parsed: argparse.Namespace, capsys: pytest.CaptureFixture[str]
) -> None:
    replace(slurm, state="COMPLETING", requeue="exit 1")
    conclude(JOB, parsed, KILLED)
    assert RESUME in capsys.readouterr().out
    conclude(JOB, parsed, TOLD)
    assert capsys.readouterr().out == ""


def test_a_search_that_was_killed_without_notice(
    slurm: Path, parsed: argparse.Namespace, capsys: pytest.CaptureFixture[str]
) -> None:
    replace(slurm, state="RUNNING", requeue="exit 1")
    ending = Ending.of(-signal.SIGKILL, is_noticed=False)
    conclude(JOB, parsed, ending)
    assert ending.status == FAILURE
    assert RESUME in capsys.readouterr().out


def test_without_a_study_there_is_nothing_to_resume(
    slurm: Path, parsed: argparse.Namespace, capsys: pytest.CaptureFixture[str]
) -> None:
    parsed.study = "second"
    replace(slurm, state="COMPLETING", requeue="exit 1")
    conclude(JOB, parsed, KILLED)
    assert capsys.readouterr().out == ""
    replace(slurm, state="RUNNING", requeue="exit 1")
    conclude(JOB, parsed, TOLD)
    assert capsys.readouterr().out == "the search had not begun; give the job more time with `sbatch --time`\n"


def test_a_job_is_called_requeued_once_it_is(
    slurm: Path, parsed: argparse.Namespace, capsys: pytest.CaptureFixture[str]
) -> None:
    replace(slurm, state="RUNNING", requeue='test "$*" = "requeue 12"')
    conclude(JOB, parsed, TOLD)
    assert capsys.readouterr().out == "job 12 is requeued, and will resume its study\n"


def test_a_job_that_cannot_be_requeued_says_why_and_how_to_resume(
    slurm: Path, parsed: argparse.Namespace, capsys: pytest.CaptureFixture[str]
) -> None:
    replace(slurm, state="RUNNING", requeue="echo 'Job has been disabled from requeue' >&2; exit 1")
    conclude(JOB, parsed, TOLD)
    assert capsys.readouterr().out.startswith(
        "job 12 is not requeued (scontrol requeue: Job has been disabled from requeue). " + RESUME
    )
