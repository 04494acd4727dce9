"""Trials in a storage that the journal does not list: set aside after a crash, refused if the journal lost them."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from helpers.mirrors import NAME, files_of, mirrored, worlds_in
from helpers.s3_server import BUCKET, S3Server
from helpers.worlds import World

from leukemia.base.errors import UserError
from leukemia.data.catalog import Catalog
from leukemia.study.layout import JOURNAL
from search.storage.filesystem import Storage, open_storage
from search.storage.leftovers import ASIDE
from search.storage.mirror import Mirror
from search.storage.retrieval import fetch_study


@pytest.fixture
def world_in(tmp_path: Path, tiny_catalog: Catalog) -> Callable[..., World]:
    return worlds_in(tmp_path, tiny_catalog)


@pytest.fixture
def stored(world_in: Callable[..., World], tmp_path: Path) -> Storage:
    """A storage with a study of two trials that have ended."""
    storage = open_storage(str(tmp_path / "storage"))
    world = world_in("head", trials=2)
    world.run()
    mirrored(world, storage)
    backdate(Path(str(storage)) / NAME, "trials")
    return storage


def backdate(study: Path, name: str) -> None:
    """As if these files had been stored some time before the others."""
    for path in (study / name).rglob("*"):
        os.utime(path, (time.time() - 100,) * 2)


def lines(study: Path, keep: int) -> bytes:
    return b"".join((study / JOURNAL).read_bytes().splitlines(keepends=True)[:keep])


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (
            lambda study: (study / JOURNAL).unlink(),
            "is missing: no record of 2 stored trials with results, such as ",
        ),
        (lambda study: (study / JOURNAL).write_bytes(b""), "has lost lines: no record of 2 stored trials with results"),
        (lambda study: (study / JOURNAL).write_bytes(lines(study, 2)), "has lost lines: no record of 2 stored"),
        (
            lambda study: (study / JOURNAL).write_bytes(lines(study, 0) + b"\xff\x00x\n{}\n"),
            ": not an Optuna journal (JSONDecodeError",
        ),
        (lambda study: (study / JOURNAL).write_bytes(b"5\n[]\n"), ": not an Optuna journal"),
        (lambda study: (study / JOURNAL).write_bytes(b'{"a":1}\n{"b":2}\n'), ": not an Optuna journal"),
        (
            lambda study: (study / JOURNAL).write_bytes(b'{"op_code":99,"worker_id":"a"}\n'),
            ": not an Optuna journal (AssertionError",
        ),
        (
            lambda study: (study / JOURNAL).write_bytes(b"half a line"),
            "has lost lines: no record of 2 stored trials with results",
        ),
    ],
    ids=["missing", "empty", "cut", "garbage", "numbers", "objects", "operation", "torn"],
)
def test_a_journal_that_lost_trials_is_refused_and_nothing_is_lost(
    stored: Storage, tmp_path: Path, damage: Callable[[Path], object], message: str
) -> None:
    study = Path(str(stored)) / NAME
    damage(study)
    before = files_of(study)
    with pytest.raises(UserError) as refusal:
        fetch_study(stored.folder(NAME), tmp_path / "new" / NAME)
    assert str(refusal.value).startswith(f"{study}/{JOURNAL}")
    assert message in str(refusal.value)
    assert "restore it from a backup" in str(refusal.value)
    assert files_of(study) == before
    assert not (tmp_path / "new").exists()


def test_a_journal_that_lost_trials_in_a_bucket_is_refused(
    world_in: Callable[..., World],
    s3: S3Server,
    tmp_path: Path,
) -> None:
    storage = open_storage(s3.uri(tmp_path.name))
    world = world_in("head", trials=2)
    world.run()
    mirrored(world, storage)
    # The times of a bucket are whole seconds.
    time.sleep(1.1)
    key = f"{tmp_path.name}/{NAME}/{JOURNAL}"
    s3.client.put_object(Bucket=BUCKET, Key=key, Body=lines(world.study.folder, 2))
    before = s3.keys(tmp_path.name)
    with pytest.raises(
        UserError, match=rf"^s3://{BUCKET}/{tmp_path.name}/{NAME}/{JOURNAL} has lost lines: no record of 2"
    ):
        fetch_study(storage.folder(NAME), tmp_path / "new" / NAME)
    assert s3.keys(tmp_path.name) == before


@pytest.mark.parametrize("kind", ["folder", "s3"])
def test_results_that_a_crashed_head_stored_after_the_journal_are_set_aside(
    request: pytest.FixtureRequest,
    world_in: Callable[..., World],
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    kind: str,
) -> None:
    uri = str(tmp_path / "storage") if kind == "folder" else request.getfixturevalue("s3").uri(tmp_path.name)
    storage = open_storage(uri).folder(NAME)
    world = world_in("head", trials=2)
    world.run()
    mirrored(world, open_storage(uri))
    shutil.copytree(world.study.folder / "trials" / "0001", tmp_path / "0007")
    for path in (path for path in (tmp_path / "0007").rglob("*") if path.is_file()):
        storage.put(path, f"trials/0007/{path.relative_to(tmp_path / '0007')}")
    storage.write(b"begun", "trials/0008/recipe.json")
    fetch_study(storage, tmp_path / "new" / NAME)
    new = world_in("new", trials=2)
    assert new.study.trials() == [0, 1]
    mirror = Mirror(open_storage(uri), NAME)
    mirror.start(new.study)
    assert mirror.close(finished=False) == ""
    mirror.release()
    assert "results of 1 trials that the local study lacks" in caplog.text
    assert {name.split("/")[1] for name in storage.names("trials")} == {"0000", "0001"}
    aside = {name.split("/", 4)[4]: storage.read(name) for name in storage.names(ASIDE)}
    assert aside == files_of(tmp_path / "0007")
    fetch_study(storage, tmp_path / "newer" / NAME)
    assert not (tmp_path / "newer" / NAME / ASIDE).exists()


def test_trials_of_earlier_studies_need_no_journal(
    world_in: Callable[..., World],
    tmp_path: Path,
) -> None:
    """They are stored before the journal records them."""
    earlier = world_in("earlier", trials=2)
    earlier.run()
    world = world_in("head", trials=1, warm_start=[earlier.study])
    storage = open_storage(str(tmp_path / "storage"))
    (world.study.folder / JOURNAL).unlink(missing_ok=True)
    mirrored(world, storage)
    fetch_study(storage.folder(NAME), tmp_path / "new" / NAME)
    assert files_of(tmp_path / "new" / NAME) == files_of(world.study.folder)
