"""A study's checkpoints on a machine belong to one search, also if the study's folder was copied."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from helpers.studies import info_of

from leukemia.base.errors import UserError
from search import run
from search.launch.arguments import parse, request_of
from search.launch.local_checkpoints import checkpoints_of, locked_checkpoints
from search.launch.study_folder import created
from search.planning.plan import plan_new

SMALL = ["--preset", "debug", "--folds", "2", "--set", "data.size_px=32", "--set", "model.depth=18"]


def test_a_copy_of_a_running_study_is_refused_before_anything_is_written(
    tiny_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LEUKEMIA_CACHE", str(tmp_path / "cache"))
    runs = tmp_path / "runs"
    plan = plan_new(
        request_of(parse(["--data", str(tiny_folder), "--runs", str(runs), "--study", "one", *SMALL])), "search"
    )
    with created(plan) as study:
        shutil.copytree(study.folder, runs / "two")
    before = (runs / "two" / "study.json").read_bytes()
    resumed = ["--resume", "--study", "two", "--runs", str(runs), "--address", "local", "--device", "cpu"]
    with (
        locked_checkpoints(plan.info) as folder,
        pytest.raises(
            UserError, match=rf"^another search of this study \(study_uid {plan.info.study_uid}\), .* {folder}; wait"
        ),
    ):
        run.main([*resumed, "--trials", "99"])
    assert (runs / "two" / "study.json").read_bytes() == before
    assert not (runs / "two" / "search.log").exists()


def test_checkpoints_are_kept_and_an_empty_folder_is_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LEUKEMIA_CACHE", str(tmp_path))
    info = info_of()
    with locked_checkpoints(info) as folder, locked_checkpoints(info_of(study_uid="ffff0000")):
        assert folder == checkpoints_of(info)
    assert list((tmp_path / "checkpoints").iterdir()) == []
    with locked_checkpoints(info) as folder:
        (folder / "fold_0.pt").touch()
    with locked_checkpoints(info):
        assert (folder / "fold_0.pt").is_file()
    with locked_checkpoints(info):
        shutil.rmtree(folder)
    assert not folder.exists()
