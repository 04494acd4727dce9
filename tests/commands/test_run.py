"""The command of a search: numbers it refuses, what an earlier start left behind, a Ray that does not start."""

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
    ("words", "message"),
    [
        (["--margin", "inf"], r"--margin: expected a finite number, got inf; leave it out"),
        (["--margin", "1e500"], r"--margin: expected a finite number, got inf"),
        (["--margin", "nan"], r"--margin: expected at least 0, got nan"),
        (["--margin=-1"], r"--margin: expected at least 0, got -1"),
        (["--budget-hours", "inf"], r"--budget-hours: expected a finite number, got inf; leave it out for the default"),
        (["--budget-hours", "nan"], r"--budget-hours: expected at least 0, got nan"),
        (["--gpus-per-trial", "inf"], r"--gpus-per-trial: expected a finite number, got inf"),
        (["--gpus-per-trial", "nan"], r"--gpus-per-trial: expected at least 0.01, got nan"),
        (["--patience", "0"], r"--patience: expected at least 1, got 0"),
    ],
)
@pytest.mark.parametrize("more", [[], ["--dry-run"], ["--resume"]], ids=["new", "dry", "resumed"])
def test_numbers_out_of_range_are_refused_and_nothing_is_written(
    tmp_path: Path, words: list[str], message: str, more: list[str]
) -> None:
    with pytest.raises(UserError, match=message):
        run.main([*words, *more, "--runs", str(tmp_path / "runs")])
    assert list(tmp_path.iterdir()) == []


def test_numbers_within_range_are_taken() -> None:
    arguments = parse(["--margin", "0", "--budget-hours", "0.5", "--gpus-per-trial", "0.25"])
    assert (arguments.margin, arguments.budget_hours, arguments.gpus_per_trial) == (0, 0.5, 0.25)
    assert "racing" not in request_of(arguments).given


def plan_of(data: Path, runs: Path, *more: str) -> Plan:
    words = ["--data", str(data), "--runs", str(runs), "--study", "new", *WORDS]
    return plan_new(request_of(parse([*words, *more])), "python -m search.run")


@pytest.fixture
def earlier(tiny_folder: Path, tmp_path: Path) -> Study:
    """A study ``old`` with two trials that can be taken over."""
    plan = plan_of(tiny_folder, tmp_path, "--study", "old")
    with created(plan) as study:
        for number in range(2):
            study.begin_trial(number, plan.space.start.with_settings({"augment.rotate": number / 4}))
            study.end_trial(number, "stopped", "why", None)
    return study


def test_what_a_warm_start_that_died_left_behind_is_no_part_of_the_next_study(
    earlier: Study, tiny_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    warm = plan_of(tiny_folder, tmp_path, "--warm-start", "old")

    def die(*given: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Study, "create", die)
        with pytest.raises(KeyboardInterrupt), created(warm):
            pass
    assert Study(warm.folder).trials() == [0, 1]
    lock = (warm.folder / "driver.lock").stat().st_ino
    with created(plan_of(tiny_folder, tmp_path)) as study:
        assert study.trials() == []
    assert (warm.folder / "driver.lock").stat().st_ino == lock
    assert earlier.trials() == [0, 1]


def test_a_warm_start_takes_no_more_than_its_own_trials(earlier: Study, tiny_folder: Path, tmp_path: Path) -> None:
    warm = plan_of(tiny_folder, tmp_path, "--warm-start", "old")
    Study(warm.folder).begin_trial(7, warm.space.start)
    with created(warm) as study:
        assert study.trials() == [0, 1]


def test_a_link_in_the_place_of_trials_is_removed_and_not_followed(
    earlier: Study, tiny_folder: Path, tmp_path: Path
) -> None:
    plan = plan_of(tiny_folder, tmp_path)
    plan.folder.mkdir()
    (plan.folder / "trials").symlink_to(earlier.folder / "trials")
    with created(plan) as study:
        assert study.trials() == []
    assert earlier.trials() == [0, 1]


def test_a_study_that_is_there_loses_nothing(earlier: Study, tiny_folder: Path, tmp_path: Path) -> None:
    plan = plan_of(tiny_folder, tmp_path)
    with created(plan) as study:
        study.begin_trial(0, plan.space.start)
    # Of two commands with one name the second was planned before the first wrote.
    with pytest.raises(UserError, match=r"study new exists in .*; go on with --resume"), created(plan):
        pass
    assert study.trials() == [0]


def test_a_ray_that_does_not_start_is_one_line_status_1_and_leaves_nothing(
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
