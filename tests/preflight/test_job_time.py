"""The time limit of a job against the estimate of ``--dry-run``."""

from __future__ import annotations

from pathlib import Path

import pytest

from search.launch.arguments import parse, request_of
from search.planning.estimate import Timing, describe_cost
from search.planning.plan import plan_new
from search.preflight.__main__ import main
from search.preflight.job_time import Estimate, compare, failed

OPTIONS = {"nodes": "1", "gpus-per-node": "1", "signal": "B:TERM@120"}


def compared(limit: str, hours: float, epoch_seconds: float = 30.0, **options: str) -> tuple[list[str], list[str]]:
    """Problems and notes."""
    notes: list[str] = []
    estimate = Estimate(hours=hours, epoch_seconds=epoch_seconds)
    return list(compare(OPTIONS | options, limit, estimate, notes)), notes


def timing(seconds: float, device: str = "cpu") -> Timing:
    """All depths take as long, per image; the slowest counts for an epoch."""
    return Timing(seconds={18: seconds, 50: seconds}, device=device, num_devices=1)


def test_the_estimate_is_that_of_a_dry_run(tmp_path: Path, tiny_folder: Path) -> None:
    given = ["--data", str(tiny_folder), "--runs", str(tmp_path), "--trials=10", "--folds=2", "--set=train.epochs=5"]
    plan = plan_new(request_of(parse(given)), "python -m search.run")
    # 10 trials x 2 folds x 24 images x 5 epochs x 3 s.
    assert Estimate.read(describe_cost(plan, timing(3.0, "NVIDIA H200: fast"))) == Estimate(hours=2.0, epoch_seconds=72)
    assert Estimate.read(describe_cost(plan, timing(0.03))) == Estimate(hours=2 / 60, epoch_seconds=1)
    assert Estimate.read(describe_cost(plan, timing(0.01))) == Estimate(hours=1 / 60, epoch_seconds=1)
    limited = plan_new(request_of(parse([*given, "--budget-hours=1.5"])), "python -m search.run")
    assert Estimate.read(describe_cost(limited, timing(3.0))) == Estimate(hours=1.5, epoch_seconds=72)
    assert Estimate.read("srun: error") is None


def test_a_search_that_fits_into_one_job() -> None:
    assert compared("24:00:00", 12.3) == (
        [],
        [
            "estimate, by the starting recipe: 12.3 device hours, on 1 GPU within the time limit of one job, 24:00:00",
        ],
    )
    assert "within the time limit of one job, infinite" in compared("infinite", 9999.0)[1][0]


def test_a_search_that_takes_several_jobs_is_no_problem() -> None:
    # 100 h on 4 GPUs; a job has 23 h 57 min.
    problems, notes = compared("24:00:00", 100.0, nodes="2", **{"gpus-per-node": "a100:2"})
    assert problems == []
    assert notes == [
        "estimate, by the starting recipe: 100.0 device hours, on 4 GPUs about 2 jobs of 24:00:00: the job is requeued "
        "after each, and resumes; each waits in the queue"
    ]


def test_a_limit_in_which_no_epoch_ends_is_a_problem() -> None:
    assert compared("4", 2.0, 60.0)[0] == []
    problems, notes = compared("4", 2.0, 61.0)
    assert problems == [
        "--time=4: expected at least 5 minutes, for the start (60 s), the notice (120 s) and an epoch (61 s): "
        "each job would train the same epoch again; raise it"
    ]
    assert notes == []


def test_a_longer_search_needs_the_notice() -> None:
    notes: list[str] = []
    options = {"nodes": "1", "gpus-per-node": "1"}
    (problem,) = compare(options, "1:00:00", Estimate(hours=3.0, epoch_seconds=30), notes)
    assert problem == (
        "--time=1:00:00: estimate, by the starting recipe: 3.0 device hours, on 1 GPU more than the limit, and without "
        "`#SBATCH --signal=B:TERM@120` the job is killed then, and not requeued; add that line"
    )


@pytest.mark.parametrize(
    ("printed", "expected"),
    [
        ("12:00 data\nerror: --data: no such folder\n  /x\nsrun: error: n1", "error: --data: no such folder /x"),
        ("Traceback\n  line\nKeyError: 1\n", "KeyError: 1"),
        ("srun: error: n1", "no reason given"),
    ],
)
def test_why_an_estimate_fails(printed: str, expected: str) -> None:
    assert failed(printed) == f"the search would fail ({expected}); correct its arguments"


def test_other_cluster_files_take_no_arguments(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["cluster.yaml", "--trials", "5"])
    assert "--trials 5: expected nothing after a cluster file of Ray; remove it" in capsys.readouterr().err
