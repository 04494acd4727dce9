"""The storage of a search: named, remembered, moved or refused; and which driver may use it."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from helpers.s3_server import BUCKET, S3Server

from leukemia.base.errors import MissingFile, UserError
from leukemia.base.record import write_record
from leukemia.study.folder import Study
from search.launch.arguments import parse, request_of
from search.planning.plan import plan_new
from search.planning.request import NO_STORAGE, Request
from search.planning.resumption import plan_resumed
from search.storage.claim import claimed, claimed_new, remembered_by, storage_of
from search.storage.filesystem import open_storage
from search.storage.lease import LEASE
from search.storage.mirror import NoMirror


def request_for(data: Path, runs: Path, *more: str) -> Request:
    small = ["--preset", "debug", "--folds", "2", "--set", "data.size_px=32"]
    return request_of(parse(["--data", str(data), "--runs", str(runs), "--study", "one", *small, *more]))


def start_study(request: Request) -> Study:
    """Start a study as the command does."""
    storage = storage_of(request, resume=False)
    if storage is not None:
        request = dataclasses.replace(request, storage=storage.uri)
    plan = plan_new(request, "python -m search.run")
    with claimed_new(storage, plan.folder) as mirror:
        plan.folder.mkdir(parents=True)
        plan.splits.save(plan.folder / "splits.json")
        study = Study.create(plan.folder, plan.info)
        mirror.start(study)
        assert mirror.close(finished=False) == ""
    return study


def test_a_storage_is_remembered_moved_and_disabled(tiny_folder: Path, tmp_path: Path) -> None:
    request = request_for(tiny_folder, tmp_path / "runs", "--storage", str(tmp_path / "storage"))
    study = start_study(request)
    assert remembered_by(study) == str(tmp_path / "storage")
    bare = dataclasses.replace(request, storage=None)
    assert str(storage_of(bare, resume=True)) == str(tmp_path / "storage")
    assert plan_resumed(bare).info.storage == str(tmp_path / "storage")
    moved = dataclasses.replace(request, storage=str(tmp_path / "elsewhere"))
    assert str(storage_of(moved, resume=True)) == str(tmp_path / "elsewhere")
    assert plan_resumed(moved).info.storage == str(tmp_path / "elsewhere")
    disabled = dataclasses.replace(request, storage=NO_STORAGE)
    assert storage_of(disabled, resume=True) is None
    assert plan_resumed(disabled).info.storage is None


def test_without_a_storage_none_is_recorded(tiny_folder: Path, tmp_path: Path) -> None:
    request = request_for(tiny_folder, tmp_path / "runs")
    study = start_study(request)
    assert study.info.storage is None
    assert "storage" not in json.loads((study.folder / "study.json").read_text())
    assert storage_of(request, resume=True) is None
    with claimed(request, None) as mirror:
        assert isinstance(mirror, NoMirror)
        assert mirror.uri is None


def test_error_about_a_lost_remembered_storage_names_the_workaround(tiny_folder: Path, tmp_path: Path) -> None:
    request = request_for(tiny_folder, tmp_path / "runs", "--storage", str(tmp_path / "storage" / "place"))
    start_study(request)
    shutil.rmtree(tmp_path / "storage")
    (tmp_path / "storage").write_text("in the way")
    with pytest.raises(UserError, match=r"not writable .*study one is mirrored there; --storage none runs without"):
        storage_of(dataclasses.replace(request, storage=None), resume=True)


@pytest.mark.parametrize("lost", ["storage", "storage/one/study.json"])
def test_a_remembered_storage_without_the_study_is_refused(tiny_folder: Path, tmp_path: Path, lost: str) -> None:
    """Its disk may not be mounted: the study would be mirrored below the mount point."""
    request = request_for(tiny_folder, tmp_path / "runs", "--storage", str(tmp_path / "storage"))
    start_study(request)
    (tmp_path / lost).rename(tmp_path / "away")
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(
        UserError,
        match=r"^--storage (.*/storage): expected the mirror of study one, which the study remembers, found none; "
        r"mount its disk, or name a storage to mirror it there from now on, such as --storage \1$",
    ):
        storage_of(dataclasses.replace(request, storage=None), resume=True)
    assert sorted(tmp_path.rglob("*")) == before
    assert str(storage_of(request, resume=True)) == str(tmp_path / "storage")


def test_a_study_of_the_same_name_is_not_overwritten(tiny_folder: Path, tmp_path: Path) -> None:
    start_study(request_for(tiny_folder, tmp_path / "runs", "--storage", str(tmp_path / "storage")))
    with pytest.raises(UserError, match=r"study one already exists in .*storage; resume it with --resume, or choose"):
        start_study(request_for(tiny_folder, tmp_path / "other runs", "--storage", str(tmp_path / "storage")))
    assert not (tmp_path / "other runs").exists()


@pytest.mark.parametrize(
    ("runs", "storage"),
    [("runs", "runs"), ("runs", "runs/one"), ("runs", "runs/one/deeper"), ("storage/one", "storage")],
    ids=["same", "in the study", "deeper in the study", "parent of the study"],
)
def test_a_mirror_inside_its_study_is_refused(tiny_folder: Path, tmp_path: Path, runs: str, storage: str) -> None:
    request = request_for(tiny_folder, tmp_path / runs, "--storage", str(tmp_path / storage))
    for resume in (False, True):
        with pytest.raises(UserError, match=r"^--storage .*: expected a folder other than --runs"):
            storage_of(request, resume=resume)
    assert list(tmp_path.iterdir()) == []


def test_a_study_is_not_resumed_in_its_own_mirror(tiny_folder: Path, tmp_path: Path) -> None:
    start_study(request_for(tiny_folder, tmp_path / "runs", "--storage", str(tmp_path / "storage")))
    inside = dataclasses.replace(request_for(tiny_folder, tmp_path / "storage"), data=None)
    with pytest.raises(UserError, match=r"^--storage .*: expected a folder other than --runs"):
        storage_of(inside, resume=True)


def test_a_runs_folder_that_is_a_symlink_loop_is_refused(tiny_folder: Path, tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(UserError, match=r"loop: not a valid path \(.*\); correct --runs, --storage or --data"):
        storage_of(request_for(tiny_folder, tmp_path / "loop", "--storage", str(tmp_path / "storage")), resume=False)


@pytest.mark.parametrize("linked", ["study", "mirror", "runs"])
def test_a_study_that_a_link_shares_with_its_mirror_is_refused(tiny_folder: Path, tmp_path: Path, linked: str) -> None:
    runs, storage = tmp_path / "runs", tmp_path / "storage"
    request = dataclasses.replace(request_for(tiny_folder, runs), storage=str(storage))
    start_study(request_for(tiny_folder, runs))
    here, there = {"study": (runs / "one", storage / "one"), "mirror": (storage / "one", runs / "one")}.get(
        linked, (runs, storage)
    )
    there.parent.mkdir(exist_ok=True)
    if not there.exists():
        shutil.move(here, there)
    here.parent.mkdir(exist_ok=True)
    here.symlink_to(there)
    for each in (request, dataclasses.replace(request, study=None)):
        with pytest.raises(UserError, match=r"^--storage .*: expected a folder other than --runs"):
            storage_of(each, resume=True)


def test_a_mirror_among_the_images_is_refused(tiny_folder: Path, tmp_path: Path) -> None:
    before = sorted(tiny_folder.rglob("*"))
    for folder in (tiny_folder, tiny_folder / "fold_0", tiny_folder / "new"):
        with pytest.raises(UserError, match=r"^--storage .*: expected a folder that does not overlap the images in"):
            storage_of(request_for(tiny_folder, tmp_path / "runs", "--storage", str(folder)), resume=False)
    # The remembered images, too.
    start_study(request_for(tiny_folder, tmp_path / "runs"))
    resumed = dataclasses.replace(
        request_for(tiny_folder, tmp_path / "runs", "--storage", str(tiny_folder / "new")), data=None
    )
    for request in (resumed, dataclasses.replace(resumed, study=None)):
        with pytest.raises(UserError, match=r"^--storage .*: expected a folder that does not overlap the images in"):
            storage_of(request, resume=True)
    assert sorted(tiny_folder.rglob("*")) == before
    # Their parent folder is allowed, whatever else it contains.
    unnamed = dataclasses.replace(request_for(tiny_folder, tmp_path / "runs"), study=None, storage=str(tmp_path))
    assert str(storage_of(unnamed, resume=False)) == str(tmp_path)


def test_a_stored_study_without_study_json_is_not_overwritten(tiny_folder: Path, tmp_path: Path) -> None:
    request = request_for(tiny_folder, tmp_path / "runs", "--storage", str(tmp_path / "storage"))
    (tmp_path / "storage" / "one" / "trials" / "0000").mkdir(parents=True)
    result = tmp_path / "storage" / "one" / "trials" / "0000" / "state.json"
    result.write_text("{}")
    with pytest.raises(UserError, match=r"contains the trials of a study whose study.json is missing; restore that"):
        start_study(request)
    assert result.is_file()


@pytest.mark.parametrize("kind", ["folder", "s3"])
@pytest.mark.parametrize(
    "name", ["trials/scan_1.png", "checkpoints/best.pt", "notes/a.txt", "driver.json", "splits.json", ".driver-mine"]
)
def test_a_folder_of_the_storage_with_foreign_files_is_refused_and_unchanged(
    request: pytest.FixtureRequest, tiny_folder: Path, tmp_path: Path, kind: str, name: str
) -> None:
    uri = str(tmp_path / "storage")
    if kind == "s3":
        uri = request.getfixturevalue("s3").uri(tmp_path.name)
    there = open_storage(uri).folder("one")
    there.write(b"mine", name)
    new = request_for(tiny_folder, tmp_path / "runs", "--storage", uri)
    with pytest.raises(
        UserError, match=rf"one is not empty and not a study: it contains {name}; move that away, or choose another "
    ):
        start_study(new)
    assert not (tmp_path / "runs").exists()
    start_study(request_for(tiny_folder, tmp_path / "runs"))
    with pytest.raises(UserError, match=rf"it contains {name}; move that away, or choose another --storage$"):
        claimed(new, storage_of(new, resume=True)).__enter__()
    assert there.names() == [name]
    assert there.read(name) == b"mine"


@pytest.mark.parametrize("kind", ["folder", "s3"])
def test_a_refused_start_leaves_nothing_in_the_storage(
    request: pytest.FixtureRequest, tiny_folder: Path, tmp_path: Path, kind: str
) -> None:
    uri = str(tmp_path / "storage")
    if kind == "s3":
        uri = request.getfixturevalue("s3").uri(tmp_path.name)
    storage = storage_of(request_for(tiny_folder, tmp_path / "runs", "--storage", uri), resume=False)
    with pytest.raises(UserError, match="no Ray"), claimed_new(storage, tmp_path / "runs" / "one"):
        raise UserError("no Ray")
    if kind == "s3":
        assert [key for key in request.getfixturevalue("s3").keys(tmp_path.name) if key] == []
    else:
        assert list((tmp_path / "storage").iterdir()) == []


def damaged_info(**fields: Any) -> Callable[[Path], object]:
    def damage(study: Path) -> None:
        info = json.loads((study / "study.json").read_text())
        write_record(study / "study.json", {**info, **fields})

    return damage


def replace_trials_by_file(study: Path) -> None:
    shutil.rmtree(study / "trials", ignore_errors=True)
    (study / "trials").write_text("")


@pytest.mark.parametrize(
    ("damage", "file", "message"),
    [
        (lambda study: (study / "study.json").write_text(""), "study.json", "expected JSON"),
        (lambda study: (study / "study.json").write_bytes(b"\xff\x00"), "study.json", "expected JSON"),
        (lambda study: (study / "study.json").write_text("[]"), "study.json", "expected a JSON object"),
        (damaged_info(schema=99), "study.json", "expected schema 1, got 99"),
        (damaged_info(trials="x"), "study.json", "field 'trials': expected an integer, got 'x'"),
        (damaged_info(data={}), "study.json", "expected a field 'data.uri'"),
        (
            damaged_info(data={"uri": 5, "fingerprint": "x", "base": None, "subjects_from": None}),
            "study.json",
            "field 'data.uri': expected text, got 5",
        ),
        (lambda study: (study / "splits.json").unlink(), "splits.json", "restore it from a backup"),
        (lambda study: (study / "splits.json").write_text("{"), "splits.json", "expected JSON"),
        (
            lambda study: (study / "splits.json").write_text("{}"),
            "splits.json",
            "expected a field 'protocol'",
        ),
        (replace_trials_by_file, "trials", "expected a folder, found something else with that name; move it away"),
    ],
    ids=["empty", "bytes", "list", "schema", "trials", "data", "uri", "no split", "split", "no folds", "file"],
)
def test_a_damaged_mirror_is_named_and_not_downloaded(
    tiny_folder: Path, tmp_path: Path, damage: Callable[[Path], object], file: str, message: str
) -> None:
    request = request_for(tiny_folder, tmp_path / "runs", "--storage", str(tmp_path / "storage"))
    start_study(request)
    damage(tmp_path / "storage" / "one")
    there = dataclasses.replace(request, runs=tmp_path / "new" / "runs")
    with pytest.raises(UserError, match=message) as refusal:
        claimed(there, storage_of(there, resume=True)).__enter__()
    assert f"{tmp_path}/storage/one/{file}" in str(refusal.value)
    assert ".tmp" not in str(refusal.value)
    assert not (tmp_path / "new").exists()


def test_names_that_are_both_file_and_folder_are_refused(tiny_folder: Path, tmp_path: Path, s3: S3Server) -> None:
    request = request_for(tiny_folder, tmp_path / "runs", "--storage", s3.uri(tmp_path.name))
    start_study(request)
    there = dataclasses.replace(request, runs=tmp_path / "new")
    storage = storage_of(request, resume=True)
    for name, message in (
        ("study.json/x", "study.json: expected a file"),
        ("splits.json/x", "splits.json: expected a file"),
        ("trials", "trials: expected a folder"),
    ):
        s3.client.put_object(Bucket=BUCKET, Key=f"{tmp_path.name}/one/{name}", Body=b"x")
        with pytest.raises(UserError, match=rf"^s3://{BUCKET}/.*/one/{message}"):
            claimed(there, storage).__enter__()
        s3.client.delete_object(Bucket=BUCKET, Key=f"{tmp_path.name}/one/{name}")
    assert not (tmp_path / "new").exists()


def test_a_runs_folder_that_cannot_be_written_is_named(tiny_folder: Path, tmp_path: Path) -> None:
    request = request_for(tiny_folder, tmp_path / "runs", "--storage", str(tmp_path / "storage"))
    start_study(request)
    storage = open_storage(str(tmp_path / "storage"))
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"cannot create the folder .*file .*; choose another folder with --runs"):
        claimed(dataclasses.replace(request, runs=tmp_path / "file"), storage).__enter__()
    long = dataclasses.replace(request, runs=tmp_path / "new", study="a" * 250)
    shutil.copytree(tmp_path / "storage" / "one", tmp_path / "storage" / ("a" * 250))
    with pytest.raises(UserError, match=r"the study cannot be written to .*new/a+ \(File name too long\)"):
        claimed(long, storage).__enter__()
    assert not (tmp_path / "new").exists()
    if os.geteuid() != 0:
        (tmp_path / "closed").mkdir(mode=0o500)
        with pytest.raises(UserError, match=r"cannot write to the folder .*closed; choose another folder with --runs"):
            claimed(dataclasses.replace(request, runs=tmp_path / "closed"), storage).__enter__()
        (tmp_path / "runs" / "one").chmod(0o500)
        with pytest.raises(UserError, match=r"cannot write to the folder .*one; make it writable"):
            claimed(request, storage).__enter__()
        (tmp_path / "runs" / "one").chmod(0o700)


def test_a_study_is_downloaded_if_absent(tiny_folder: Path, tmp_path: Path) -> None:
    request = request_for(tiny_folder, tmp_path / "runs", "--storage", str(tmp_path / "storage"))
    study = start_study(request)
    storage = open_storage(str(tmp_path / "storage"))
    there = dataclasses.replace(request, runs=tmp_path / "new runs")
    with claimed(there, storage):
        assert Study.open(tmp_path / "new runs" / "one").info == study.info
        assert storage.read(f"one/{LEASE}") is not None
    assert storage.read(f"one/{LEASE}") is None
    with pytest.raises(MissingFile, match=r"no study two in .*new runs or .*storage; it contains one"):
        claimed(dataclasses.replace(there, study="two"), storage).__enter__()
    nowhere = dataclasses.replace(request, study=None, runs=tmp_path / "nowhere")
    with pytest.raises(UserError, match=r"no study in .*or name a study of .*storage with --study: it contains one"):
        claimed(nowhere, storage).__enter__()
