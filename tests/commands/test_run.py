"""``search.run``: invalid numbers, leftovers of an interrupted start, and a failure to start Ray."""

from __future__ import annotations

import contextlib
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from helpers.studies import change_info

from leukemia.base.errors import FAILURE, UserError
from leukemia.study.folder import Study
from search import run
from search.cluster import session as cluster
from search.launch.arguments import parse, request_of
from search.launch.study_folder import created
from search.planning.plan import Plan, plan_new
from search.planning.resumption import study_to_resume

WORDS = ["--preset", "debug", "--folds", "2", "--set", "data.size_px=32", "--set", "model.depth=18"]
"""With one small network, since a search requires disk space for checkpoints of the largest."""


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


def test_an_interrupted_start_leaves_nothing(
    earlier: Study, tiny_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    warm = plan_of(tiny_folder, tmp_path, "--warm-start", "old")

    def interrupt(*given: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Study, "create", interrupt)
        with pytest.raises(KeyboardInterrupt), created(warm):
            pass
    assert [path.name for path in tmp_path.iterdir()] == ["old"]
    with created(warm) as study:
        assert study.trials() == [0, 1]
        with pytest.raises(UserError, match="study new is being run by process"), Study(warm.folder).lock():
            pass
    assert earlier.trials() == [0, 1]


def test_what_a_killed_start_or_download_leaves_is_no_study(earlier: Study, tiny_folder: Path, tmp_path: Path) -> None:
    killed = tmp_path / ".new.0a1b2c3d.tmp"
    shutil.copytree(earlier.folder, killed)
    change_info(Study(killed), created="2999-01-01T00:00:00Z")
    for study in (tmp_path / "old", killed):
        (study / "best.json").write_text("{}")
    assert study_to_resume(request_of(parse(["--resume", "--runs", str(tmp_path)]))).name == "old"
    assert Study.find(tmp_path, None).name == "old"


def content(folder: Path) -> dict[str, Any]:
    return {str(path.relative_to(folder)): path.is_file() and path.read_bytes() for path in folder.rglob("*")}


@pytest.mark.parametrize(
    ("names", "found"),
    [
        (["trials/scan.dcm", "checkpoints/best.pt"], "checkpoints, trials;"),
        (["a.png", "b.png", "c.png", "d.png"], "a.png, b.png, c.png and 1 more;"),
        (["driver.lock"], "driver.lock;"),
        (["trials/0007/recipe.json"], "trials;"),
    ],
)
def test_a_folder_that_is_not_empty_and_not_a_study_is_refused_and_unchanged(
    tiny_folder: Path, tmp_path: Path, names: list[str], found: str
) -> None:
    plan = plan_of(tiny_folder, tmp_path)
    for name in names:
        (plan.folder / name).parent.mkdir(parents=True, exist_ok=True)
        (plan.folder / name).write_text("mine")
    before = content(tmp_path)
    message = rf"new is not empty and not a study: it contains {found} move that away, or choose another --study or"
    arguments = ["--data", str(tiny_folder), "--runs", str(tmp_path), "--study", "new", *WORDS]
    for more in ([], ["--dry-run"]):
        with pytest.raises(UserError, match=message):
            run.main([*arguments, *more])
    # It may also have appeared since the study was planned.
    with pytest.raises(UserError, match=message), created(plan):
        pass
    assert content(tmp_path) == before


def test_a_file_or_a_broken_link_instead_of_the_study_folder_is_refused(tiny_folder: Path, tmp_path: Path) -> None:
    plan = plan_of(tiny_folder, tmp_path)
    plan.folder.write_text("mine")
    for _ in range(2):
        with pytest.raises(UserError, match=r"new: expected an empty folder or nothing \(.*\); choose another --study"):
            plan_of(tiny_folder, tmp_path)
        plan.folder.unlink()
        plan.folder.symlink_to("nowhere")
    assert plan.folder.is_symlink()


def test_python_without_docstrings_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """With ``-OO``, Ray's imports fail."""
    monkeypatch.setattr(sys, "flags", SimpleNamespace(optimize=2))
    with pytest.raises(UserError, match=r"^Ray cannot run without docstrings: leave out -OO, or set PYTHONOPTIMIZE"):
        run.main([])


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="needs a folder where nobody can create files")
def test_a_dry_run_refuses_runs_where_nothing_can_be_created(tiny_folder: Path) -> None:
    with pytest.raises(UserError, match=r"^cannot write to the folder /proc; choose another folder with --runs$"):
        run.main(["--data", str(tiny_folder), "--runs", "/proc/runs", "--dry-run", *WORDS])


def test_an_empty_folder_or_a_link_to_one_becomes_the_study(tiny_folder: Path, tmp_path: Path) -> None:
    plan = plan_of(tiny_folder, tmp_path)
    (tmp_path / "elsewhere").mkdir()
    plan.folder.symlink_to("elsewhere")
    with created(plan) as study:
        assert study.name == "new"
    assert plan.folder.is_symlink()
    assert (tmp_path / "elsewhere" / "study.json").is_file()


def test_existing_study_loses_nothing(earlier: Study, tiny_folder: Path, tmp_path: Path) -> None:
    plan = plan_of(tiny_folder, tmp_path)
    with created(plan) as study:
        study.begin_trial(0, plan.space.start)
    # Two commands with the same study name: the second was planned before the first wrote.
    with pytest.raises(UserError, match=r"study new already exists in .*; resume it"), created(plan):
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
