"""``search.run``: invalid numbers, leftovers of an interrupted start, and a failure to start Ray."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from leukemia.base.errors import FAILURE, UserError
from leukemia.study.folder import Study
from search import run
from search.cluster import session as cluster
from search.launch.arguments import parse, request_of
from search.launch.study_folder import created
from search.planning.plan import Plan, plan_new

WORDS = ["--preset", "debug", "--folds", "2", "--set", "data.size_px=32"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--margin", "inf"], r"--margin: expected a finite number, got inf; leave it out"),
        (["--margin", "1e500"], r"--margin: expected a finite number, got inf"),
        (["--margin", "nan"], r"--margin: expected at least 0, got nan"),
        (["--margin=-1"], r"--margin: expected at least 0, got -1"),
        (["--budget-hours", "inf"], r"--budget-hours: expected a finite number, got inf; leave it out for the default"),
        (["--budget-hours", "nan"], r"--budget-hours: expected at least 0, got nan"),
        (["--gpus-per-trial", "inf"], r"--gpus-per-trial: expected a finite number, got inf"),
        (["--gpus-per-trial", "nan"], r"--gpus-per-trial: expected at least 0.01, got nan"),
        (["--seed", "-" + 400 * "9"], r"--seed: expected at least 0, got -9{19}$"),
        (["--patience", "0"], r"--patience: expected at least 1, got 0"),
    ],
)
@pytest.mark.parametrize("more", [[], ["--dry-run"], ["--resume"]], ids=["new", "dry", "resumed"])
def test_numbers_out_of_range_are_rejected_and_nothing_is_written(
    tmp_path: Path, arguments: list[str], message: str, more: list[str]
) -> None:
    with pytest.raises(UserError, match=message):
        run.main([*arguments, *more, "--runs", str(tmp_path / "runs")])
    assert list(tmp_path.iterdir()) == []


def test_numbers_within_range_are_accepted() -> None:
    arguments = parse(["--margin", "0", "--budget-hours", "0.5", "--gpus-per-trial", "0.25"])
    assert (arguments.margin, arguments.budget_hours, arguments.gpus_per_trial) == (0, 0.5, 0.25)
    assert "racing" not in request_of(arguments).given


def plan_of(data: Path, runs: Path, *more: str) -> Plan:
    arguments = ["--data", str(data), "--runs", str(runs), "--study", "new", *WORDS]
    return plan_new(request_of(parse([*arguments, *more])), "python -m search.run")


@pytest.fixture
def earlier(tiny_folder: Path, tmp_path: Path) -> Study:
    """A study ``old`` with two trials that can be reused."""
    plan = plan_of(tiny_folder, tmp_path, "--study", "old")
    with created(plan) as study:
        for number in range(2):
            study.begin_trial(number, plan.space.start.with_settings({"augment.rotate": number / 4}))
            study.end_trial(number, "stopped", "why", None)
    return study


def test_leftovers_of_an_interrupted_warm_start_are_not_in_the_next_study(
    earlier: Study, tiny_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    warm = plan_of(tiny_folder, tmp_path, "--warm-start", "old")

    def interrupt(*given: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Study, "create", interrupt)
        with pytest.raises(KeyboardInterrupt), created(warm):
            pass
    assert Study(warm.folder).trials() == [0, 1]
    lock = (warm.folder / "driver.lock").stat().st_ino
    with created(plan_of(tiny_folder, tmp_path)) as study:
        assert study.trials() == []
    assert (warm.folder / "driver.lock").stat().st_ino == lock
    assert earlier.trials() == [0, 1]


def test_warm_start_reuses_only_its_own_trials(earlier: Study, tiny_folder: Path, tmp_path: Path) -> None:
    warm = plan_of(tiny_folder, tmp_path, "--warm-start", "old")
    Study(warm.folder).begin_trial(7, warm.space.start)
    with created(warm) as study:
        assert study.trials() == [0, 1]


def test_symlink_instead_of_trials_is_removed_and_not_followed(
    earlier: Study, tiny_folder: Path, tmp_path: Path
) -> None:
    plan = plan_of(tiny_folder, tmp_path)
    plan.folder.mkdir()
    (plan.folder / "trials").symlink_to(earlier.folder / "trials")
    with created(plan) as study:
        assert study.trials() == []
    assert earlier.trials() == [0, 1]


def test_existing_study_loses_nothing(earlier: Study, tiny_folder: Path, tmp_path: Path) -> None:
    plan = plan_of(tiny_folder, tmp_path)
    with created(plan) as study:
        study.begin_trial(0, plan.space.start)
    # Two commands with the same study name: the second was planned before the first wrote.
    with pytest.raises(UserError, match=r"study new already exists in .*; use --resume"), created(plan):
        pass
    assert study.trials() == [0]


def test_failure_to_start_ray_is_one_line_with_status_1_and_leaves_nothing(
    tiny_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    @contextlib.contextmanager
    def session(address: str | None) -> Iterator[bool]:
        raise cluster.RayNotStarted("Ray did not start (why)")
        yield True

    monkeypatch.setattr(cluster, "ray_session", session)
    assert run.main(["--data", str(tiny_folder), "--runs", str(tmp_path / "runs"), *WORDS]) == FAILURE
    assert capsys.readouterr() == ("", "error: Ray did not start (why)\n")
    assert not (tmp_path / "runs").exists()
