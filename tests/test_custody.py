"""Which storage a search uses, and who may use it: named, remembered, moved, refused."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path

import pytest

from leukemia.mistakes import MissingFile, Mistake
from leukemia.study import Study
from search.arguments import parse, request_of
from search.custody import claimed, claimed_new, remembered_by, storage_of
from search.lease import LEASE
from search.mirror import SilentMirror
from search.plan import NO_STORAGE, Request, plan_new, plan_resumed
from search.storage import open_storage


def request_for(data: Path, runs: Path, *more: str) -> Request:
    words = ["--preset", "debug", "--folds", "2", "--set", "data.size_px=32"]
    return request_of(parse(["--data", str(data), "--runs", str(runs), "--study", "one", *words, *more]))


def begun(request: Request) -> Study:
    """Begin a study as the command does."""
    storage = storage_of(request, resume=False)
    if storage is not None:
        request = dataclasses.replace(request, storage=storage.uri)
    plan = plan_new(request, "python -m search.run")
    with claimed_new(storage, plan.folder) as mirror:
        plan.folder.mkdir(parents=True)
        plan.splits.save(plan.folder / "splits.json")
        study = Study.create(plan.folder, plan.info)
        mirror.begin(study)
        assert mirror.close(finished=False) == ""
    return study


def test_a_storage_is_remembered_moved_and_forgotten(tiny_folder: Path, tmp_path: Path) -> None:
    request = request_for(tiny_folder, tmp_path / "runs", "--storage", str(tmp_path / "storage"))
    study = begun(request)
    assert remembered_by(study) == str(tmp_path / "storage")
    bare = dataclasses.replace(request, storage=None)
    assert str(storage_of(bare, resume=True)) == str(tmp_path / "storage")
    assert plan_resumed(bare).info["storage"] == str(tmp_path / "storage")
    moved = dataclasses.replace(request, storage=str(tmp_path / "elsewhere"))
    assert str(storage_of(moved, resume=True)) == str(tmp_path / "elsewhere")
    assert plan_resumed(moved).info["storage"] == str(tmp_path / "elsewhere")
    forgotten = dataclasses.replace(request, storage=NO_STORAGE)
    assert storage_of(forgotten, resume=True) is None
    assert "storage" not in plan_resumed(forgotten).info


def test_without_a_storage_nothing_is_said_of_one(tiny_folder: Path, tmp_path: Path) -> None:
    request = request_for(tiny_folder, tmp_path / "runs")
    study = begun(request)
    assert "storage" not in study.info
    assert storage_of(request, resume=True) is None
    with claimed(request, None) as mirror:
        assert isinstance(mirror, SilentMirror)
        assert mirror.uri is None


def test_a_remembered_storage_that_is_gone_is_named_with_the_way_around(tiny_folder: Path, tmp_path: Path) -> None:
    request = request_for(tiny_folder, tmp_path / "runs", "--storage", str(tmp_path / "storage" / "place"))
    begun(request)
    shutil.rmtree(tmp_path / "storage")
    (tmp_path / "storage").write_text("in the way")
    with pytest.raises(Mistake, match=r"cannot be written .*study one is mirrored there; --storage none goes on"):
        storage_of(dataclasses.replace(request, storage=None), resume=True)


def test_a_study_of_the_same_name_is_not_begun_over(tiny_folder: Path, tmp_path: Path) -> None:
    begun(request_for(tiny_folder, tmp_path / "runs", "--storage", str(tmp_path / "storage")))
    with pytest.raises(Mistake, match=r"study one exists in .*storage; go on with --resume, or choose another"):
        begun(request_for(tiny_folder, tmp_path / "other runs", "--storage", str(tmp_path / "storage")))
    assert not (tmp_path / "other runs").exists()


def test_the_runs_themselves_are_no_storage(tiny_folder: Path, tmp_path: Path) -> None:
    (tmp_path / "runs").mkdir()
    with pytest.raises(Mistake, match=r"expected another folder than that of --runs"):
        begun(request_for(tiny_folder, tmp_path / "runs", "--storage", str(tmp_path / "runs")))


def test_a_study_is_fetched_where_it_is_absent(tiny_folder: Path, tmp_path: Path) -> None:
    request = request_for(tiny_folder, tmp_path / "runs", "--storage", str(tmp_path / "storage"))
    study = begun(request)
    storage = open_storage(str(tmp_path / "storage"))
    there = dataclasses.replace(request, runs=tmp_path / "new runs")
    with claimed(there, storage):
        assert Study.open(tmp_path / "new runs" / "one").info == study.info
        assert storage.read(f"one/{LEASE}") is not None
    assert storage.read(f"one/{LEASE}") is None
    with pytest.raises(MissingFile, match=r"no study two in .*new runs nor in .*storage; it holds one"):
        claimed(dataclasses.replace(there, study="two"), storage).__enter__()
    nowhere = dataclasses.replace(request, study=None, runs=tmp_path / "nowhere")
    with pytest.raises(Mistake, match=r"no study in .*or name a study of .*storage with --study: it holds one"):
        claimed(nowhere, storage).__enter__()
