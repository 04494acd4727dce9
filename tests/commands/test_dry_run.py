"""``search.run --dry-run`` refuses what the search refuses, with the same words; it writes and starts nothing."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import ray
import torch
from helpers.searches import SETTINGS
from helpers.studies import change_info

from leukemia.base.errors import SUCCESS, UserError
from leukemia.study.folder import Study
from search import run
from search.cluster import nodes, ray_private
from search.launch import search
from search.launch.arguments import parse, request_of
from search.launch.study_folder import created
from search.planning.plan import plan_new
from search.storage.filesystem import open_storage
from search.storage.lease import LEASE
from search.storage.mirror import Mirror

Paths = dict[str, Path]


@pytest.fixture(autouse=True)
def machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine of two CPUs without GPUs, on which neither Ray may be started nor images decoded."""
    monkeypatch.setattr(nodes, "available_cpus", lambda: 2)
    monkeypatch.setattr(ray_private, "own_gpus", lambda: 0.0)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    monkeypatch.setattr(ray, "init", lambda **_: pytest.fail("Ray was started"))
    monkeypatch.setattr(search, "open_images", lambda *_: pytest.fail("images were decoded"))


def arguments_for(data: Path, folder: Path, *more: str) -> list[str]:
    here = ["--data", str(data), "--runs", str(folder / "runs"), "--study", "one", "--address", "local"]
    return [*here, *SETTINGS, "--folds", "2", *more]


def mirrored_study(data: Path, folder: Path) -> Study:
    """A study ``one`` in ``runs``, mirrored in ``storage``."""
    arguments = arguments_for(data, folder, "--storage", str(folder / "storage"))
    with created(plan_new(request_of(parse(arguments)), "python -m search.run")) as study:
        mirror = Mirror(open_storage(str(folder / "storage")), "one")
        mirror.start(study)
        assert mirror.close(finished=False) == ""
        mirror.release()
    return study


def content(folder: Path) -> dict[str, Any]:
    return {str(path.relative_to(folder)): path.is_file() and path.read_bytes() for path in folder.rglob("*")}


def assert_refused(arguments: list[str], message: str, folder: Path) -> None:
    """A search and its dry run refuse these arguments alike, and change nothing in the folder."""
    before = content(folder)
    for more in (["--dry-run"], []):
        with pytest.raises(UserError, match=message) as refusal:
            run.main([*arguments, *more])
        assert "\n" not in str(refusal.value)
        assert content(folder) == before


def in_the_way(folder: Path) -> None:
    (folder / "file").write_text("mine")
    (folder / "storage" / "one").mkdir(parents=True)
    (folder / "storage" / "one" / "scan.png").write_text("mine")


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--device", "cuda"], r"^--device cuda: Ray sees no GPU; use --device auto or cpu"),
        (["--device", "mps"], r"^--device mps: not available on this machine; use --device auto or cpu"),
        (["--gpus-per-trial", "1"], r"^--gpus-per-trial has no effect on cpu; leave it out"),
        (["--cpus-per-trial", "3"], r"^a trial needs 3 CPUs and 0 GPUs, the cluster has 2 and 0; lower --cpus-per-tr"),
        (["--runs", "{0}/file"], r"^cannot create the folder .*file \(.*file is not a folder\); choose another"),
        (
            ["--runs", "{0}/file/runs"],
            r"^cannot create the folder .*file/runs \(.*file is not a folder\); choose",
        ),
        (["--storage", "{0}/file"], r"^--storage .*/file: not writable \(.*\); choose a folder that you can write to"),
        (["--storage", "ftp://x"], r"^--storage: expected a folder, s3://BUCKET/FOLDER or gs://BUCKET/FOLDER, got ftp"),
        (
            ["--storage", "{0}/storage"],
            r"storage/one is not empty and not a study: it contains scan.png; move that",
        ),
        (["--address", "127.0.0.1:1"], r"^--address 127.0.0.1:1: no Ray cluster found there \(.*\); start one with"),
        (["--address", "head"], r"^--address head: .*\(expected HOST:PORT, auto or local\)"),
        (["--resume"], r"^no study at .*runs/one; --runs and the study's name must point to a folder with study.json"),
        (["--resume", "--storage", "{0}/storage"], r"^no study one in .*runs or .*storage; it contains no study"),
        (["--set", "train.seed=2147483647"], r"^--repeats: 2 more seeds after 2147483647 exceed the highest seed"),
    ],
)
def test_what_a_new_search_refuses_its_dry_run_refuses(
    tiny_folder: Path, tmp_path: Path, more: list[str], message: str
) -> None:
    in_the_way(tmp_path)
    more = [argument.format(tmp_path) for argument in more]
    assert_refused(arguments_for(tiny_folder, tmp_path, *more), message, tmp_path)


def other_study(folder: Path) -> None:
    change_info(Study(folder / "storage" / "one"), study_uid="ffff0000")


def other_head(folder: Path) -> None:
    (folder / "storage" / "one" / LEASE).write_text(json.dumps({"host": "there", "pid": 7, "token": "x"}))


def newer_result(folder: Path) -> None:
    result = folder / "storage" / "one" / "trials" / "0000" / "state.json"
    result.parent.mkdir(parents=True, exist_ok=True)
    result.write_text("{}")


@pytest.mark.parametrize(
    ("change", "more", "message"),
    [
        (other_study, [], r"storage/one contains another study of this name \(study_uid ffff0000, local"),
        (other_head, [], r"storage/one is being run by process 7 on there; stop it there, or, if that machine is gone"),
        (newer_result, [], r"storage/one contains 1 results that .*runs/one lacks, such as trials/0000/state.json"),
        (lambda folder: None, ["--device", "cuda"], r"^--device cuda: Ray sees no GPU"),
        (lambda folder: None, ["--folds", "3"], r"^--folds: the study was started with 2, got 3; leave it out to"),
        (lambda folder: None, ["--address", "127.0.0.1:1"], r"^--address 127.0.0.1:1: no Ray cluster found there"),
        (in_the_way, ["--storage", "{0}/file"], r"^--storage .*/file: not writable \(.*\); choose a folder that you c"),
    ],
    ids=["other study", "other head", "newer", "device", "folds", "address", "storage"],
)
def test_what_a_resumed_search_refuses_its_dry_run_refuses(
    tiny_folder: Path, tmp_path: Path, change: Callable[[Path], object], more: list[str], message: str
) -> None:
    mirrored_study(tiny_folder, tmp_path)
    if change is not in_the_way:
        change(tmp_path)
    else:
        (tmp_path / "file").write_text("mine")
    more = [argument.format(tmp_path) for argument in more]
    arguments = ["--resume", "--runs", str(tmp_path / "runs"), "--study", "one", "--address", "local", *more]
    assert_refused(arguments, message, tmp_path)


def test_a_study_that_is_being_run_is_refused(tiny_folder: Path, tmp_path: Path) -> None:
    study = mirrored_study(tiny_folder, tmp_path)
    arguments = ["--resume", "--runs", str(tmp_path / "runs"), "--address", "local"]
    with study.lock():
        assert_refused(arguments, r"^study one is being run by process \d+ on", tmp_path)


def test_a_download_into_a_folder_with_other_files_is_refused(tiny_folder: Path, tmp_path: Path) -> None:
    study = mirrored_study(tiny_folder, tmp_path)
    (study.folder / "study.json").unlink()
    arguments = arguments_for(tiny_folder, tmp_path, "--resume", "--storage", str(tmp_path / "storage"))
    held = "config.yaml, driver.lock, splits.json"
    assert_refused(arguments, rf"runs/one is not empty and not a study: it contains {held}", tmp_path)


@pytest.mark.parametrize("is_new", [True, False], ids=["new", "resumed"])
@pytest.mark.filterwarnings("ignore")
def test_a_dry_run_of_a_mirrored_study_writes_nothing(tiny_folder: Path, tmp_path: Path, is_new: bool) -> None:
    arguments = arguments_for(tiny_folder, tmp_path, "--storage", str(tmp_path / "storage"))
    if not is_new:
        # Only the storage has the study.
        mirrored_study(tiny_folder, tmp_path)
        shutil.rmtree(tmp_path / "runs")
        arguments = [*arguments, "--resume"]
    before = content(tmp_path)
    assert run.main([*arguments, "--dry-run"]) == SUCCESS
    assert content(tmp_path) == before
