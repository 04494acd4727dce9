"""The arguments of a job's search: the name of its study, and when it is resumed."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from leukemia.base.errors import UserError
from search.launch.arguments import parse
from search.slurm.allocation import Job
from search.slurm.continuation import arguments_of, how_to_deliver, how_to_resume, is_running, requeue

JOB = Job(
    job_id=12, label="12", array_task=None, nodes=("n1",), cpus={"n1": 8}, gpus={"n1": 4}, gpu_kind="",
    script="cluster.slurm", restarts=0,
)  # fmt: skip
A100 = dataclasses.replace(JOB, gpu_kind="a100")
REQUEUED = dataclasses.replace(JOB, restarts=1)
TASK = dataclasses.replace(JOB, job_id=15, label="12_3", array_task="3")


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    """A folder with the file by which the study of job 12, and one named first, are known."""
    for name in ("slurm-12", "first"):
        (tmp_path / "runs" / name).mkdir(parents=True)
        (tmp_path / "runs" / name / "study.json").write_text("{}")
    return tmp_path / "runs"


def test_a_study_is_named_after_its_job() -> None:
    assert arguments_of(JOB, ["--trials", "5"]) == ["--trials", "5", "--study", "slurm-12"]
    assert arguments_of(TASK, ["--trials", "5"]) == ["--trials", "5", "--study", "slurm-12_3"]
    assert arguments_of(JOB, ["--study", "first"]) == ["--study", "first"]


def test_a_requeued_job_resumes_its_study(runs: Path) -> None:
    given = ["--runs", str(runs)]
    assert arguments_of(REQUEUED, given) == [*given, "--study", "slurm-12", "--resume"]
    assert arguments_of(REQUEUED, [*given, "--study", "first"]) == [*given, "--study", "first", "--resume"]
    assert arguments_of(REQUEUED, [*given, "--study", "first", "--resume"]).count("--resume") == 1


def test_an_earlier_study_is_resumed_on_request_only(runs: Path) -> None:
    given = ["--runs", str(runs), "--study", "first"]
    assert arguments_of(JOB, [*given, "--resume"]) == [*given, "--resume"]
    with pytest.raises(UserError, match=r"^study first already exists in .*; resume it with --resume, or choose anoth"):
        arguments_of(JOB, given)


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        (["--study", "other", "--resume"], r"^--resume: expected a study in .*runs/other, found none; correct --study"),
        (["--study", "an/other"], r"^--study: expected letters, digits"),
        (
            ["--data", "absent", "--study", "new"],
            r"^--data: expected a folder or CSV, found none at absent; correct the",
        ),
        (["--plugin", "gone.py", "--study", "new"], r"^--plugin gone.py: no such file; expected a Python file"),
    ],
)
def test_a_wrong_study_or_data_end_the_job_before_ray_starts(runs: Path, given: list[str], problem: str) -> None:
    with pytest.raises(UserError, match=problem):
        arguments_of(JOB, ["--runs", str(runs), *given])


def test_a_job_that_was_requeued_before_it_had_a_study_starts_one(runs: Path) -> None:
    given = ["--runs", str(runs), "--study", "second"]
    assert arguments_of(REQUEUED, given) == given


def test_a_requeued_job_finds_its_study_in_the_storage(tmp_path: Path, runs: Path) -> None:
    given = ["--runs", str(tmp_path / "elsewhere"), "--storage", str(runs), "--study", "first"]
    assert arguments_of(REQUEUED, given) == [*given, "--resume"]
    given[-1] = "second"
    assert arguments_of(REQUEUED, given) == given


def test_the_number_of_a_task_is_filled_in() -> None:
    given = ["--seed", "%a", "--study", "plan-%a"]
    assert arguments_of(TASK, given) == ["--seed", "3", "--study", "plan-3"]
    with pytest.raises(UserError, match=r"plan-%a: %a is the number of a task .*; submit one with `sbatch --array`"):
        arguments_of(JOB, ["--study", "plan-%a"])


@pytest.mark.parametrize("given", [["--study", "first"], ["--study=first"]])
def test_the_tasks_of_an_array_do_not_share_a_study(runs: Path, given: list[str]) -> None:
    with pytest.raises(
        UserError, match=r"^--study first: each task of an array needs .*; add %a, as in --study first-%a"
    ):
        arguments_of(TASK, [*given, "--runs", str(runs / "new")])
    # One after the other, as of `sbatch --array=1-5%1`, they can resume it.
    resumed = [*given, "--runs", str(runs), "--resume"]
    assert arguments_of(TASK, resumed) == resumed


def test_resuming_needs_a_name() -> None:
    with pytest.raises(
        UserError, match=r"--resume: expected --study NAME as well, got none; which study is the newest"
    ):
        arguments_of(JOB, ["--resume"])


def test_a_wrong_argument_ends_the_job_before_ray_starts(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        arguments_of(JOB, ["--tirals", "5"])
    assert "unrecognized arguments: --tirals 5" in capsys.readouterr().err


@pytest.fixture
def slurm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder for scripts that replace Slurm's commands, which tests/machines uses."""
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    return tmp_path


def replace(command: Path, script: str) -> None:
    command.write_text(f"#!/bin/sh\n{script}\n")
    command.chmod(0o755)


def test_a_job_is_requeued(slurm: Path) -> None:
    replace(slurm / "scontrol", 'test "$*" = "requeue 12"')
    assert requeue(JOB) == ""


def test_why_a_job_is_not_requeued(slurm: Path) -> None:
    replace(slurm / "scontrol", "echo 'Job has been disabled from requeue for job 12' >&2; exit 1")
    assert requeue(JOB) == "Job has been disabled from requeue for job 12"
    replace(slurm / "scontrol", "exit 3")
    assert requeue(JOB) == "status 3"


@pytest.mark.parametrize(("state", "expected"), [("RUNNING", True), ("COMPLETING", False), ("", False)])
def test_whether_a_job_runs_on(slurm: Path, state: str, expected: bool) -> None:
    replace(slurm / "squeue", f'test "$3" = 12 && echo {state}')
    assert is_running(JOB) is expected


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (["--data", "my cells", "--trials", "50"], ""),
        (["--resume"], ""),
        (["--device", "cpu", "--cpus-per-trial", "2", "--quiet"], " --device cpu --cpus-per-trial 2"),
        (["--runs", "my runs", "--storage", "s3://a/b"], " --runs 'my runs' --storage s3://a/b"),
        (["--storage", "none"], ""),
        (["--plugin", "my own.py", "--plugin", "lion.py"], " --plugin 'my own.py' --plugin lion.py"),
    ],
)
def test_how_to_resume(given: list[str], words: str) -> None:
    parsed = parse([*given, "--study", "first"])
    assert how_to_resume("cluster.slurm", parsed) == f"sbatch cluster.slurm --resume --study first{words}"


def test_the_script_is_named_as_the_user_named_it() -> None:
    parsed = parse(["--study", "first"])
    assert how_to_resume("jobs/my search.slurm", parsed) == "sbatch 'jobs/my search.slurm' --resume --study first"


SLURM = {
    "SLURM_JOB_PARTITION": "gpu",
    "SLURM_JOB_ACCOUNT": "hematology",
    "SLURM_GPUS_PER_NODE": "a100:4",
    "CUDA_VISIBLE_DEVICES": "0,1,2,3",
    "SLURM_CPUS_PER_TASK": "8",
    "SLURM_MEM_PER_CPU": "4096",
}


def deliver(environment: dict[str, str], *given: str, job: Job = JOB) -> str:
    """The options that are named to deliver the winner."""
    command = how_to_deliver(job, parse(["--study", "first", *given]), environment)
    options, final, rest = command.partition(" --time=4:00:00 --wrap '.venv/bin/python -m leukemia.final --best first")
    assert final
    return options.removeprefix("sbatch") + rest.removesuffix("'")


def test_how_to_deliver_the_winner() -> None:
    assert how_to_deliver(A100, parse(["--study", "first"]), SLURM) == (
        "sbatch --partition=gpu --account=hematology --gpus-per-node=a100:1 --cpus-per-task=8 --mem-per-cpu=4096M "
        "--time=4:00:00 --wrap '.venv/bin/python -m leukemia.final --best first'"
    )
    assert deliver({}, "--device", "cpu") == " --device cpu"
    assert deliver(SLURM | {"SLURM_JOB_ACCOUNT": ""}, "--device", "cpu").count("gpu") == 1, "of the partition"
    assert deliver({}, "--runs", "r", "--plugin", "lion.py") == " --runs r --plugin lion.py"


@pytest.mark.parametrize(
    ("environment", "job", "options"),
    [
        ({"SLURM_GPUS_PER_NODE": "4"}, JOB, " --gpus-per-node=1"),
        ({"SLURM_GPUS": "a100:8"}, A100, " --gpus-per-node=a100:1"),
        ({"SLURM_GPUS_PER_TASK": "a100:1"}, A100, " --gpus-per-node=a100:1"),
        ({}, JOB, " --gres=gpu:1"),
        ({}, A100, " --gres=gpu:a100:1"),
        ({"SLURM_MEM_PER_NODE": "65536"}, JOB, " --gres=gpu:1 --mem=65536M"),
        ({"SLURM_MEM_PER_GPU": "32768"}, JOB, " --gres=gpu:1 --mem-per-gpu=32768M"),
    ],
)
def test_the_winner_is_delivered_on_one_gpu(environment: dict[str, str], job: Job, options: str) -> None:
    assert deliver({"CUDA_VISIBLE_DEVICES": "0,1,2,3"} | environment, job=job) == options
