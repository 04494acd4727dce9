"""The mirror of a study: after a crash at any time, the stored study can be resumed and reaches the same results."""

from __future__ import annotations

import json
import os
import shutil
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.mirrors import NAME, files_of, mirrored, worlds_in
from helpers.s3_server import S3Server
from helpers.studies import change_info
from helpers.worlds import EPOCHS, KILLED, STEPS, Killed, World, everything

from leukemia.base.errors import MissingFile, UserError
from leukemia.config.results import Epoch
from leukemia.data.catalog import Catalog
from leukemia.study.folder import Study
from leukemia.study.job import Job
from leukemia.study.layout import JOURNAL
from search.sampling.entry import PLACE
from search.storage import lease as lease_module
from search.storage import mirror as mirror_module
from search.storage.checkpoints import folder_of
from search.storage.filesystem import Storage, StorageFailed, open_storage
from search.storage.lease import LEASE, Lease, TakenOver
from search.storage.leftovers import ASIDE
from search.storage.mirror import Mirror, StudyLost
from search.storage.retrieval import compare, describe_studies, fetch_study
from search.trials.assignment import Assignment
from search.trials.driver import Driver


@pytest.fixture
def storage(tmp_path: Path) -> Storage:
    return open_storage(str(tmp_path / "storage"))


@pytest.fixture
def world_in(tmp_path: Path, tiny_catalog: Catalog) -> Callable[..., World]:
    return worlds_in(tmp_path, tiny_catalog)


@pytest.fixture
def without_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    """The mirror's thread does nothing: the test decides when it uploads."""
    monkeypatch.setattr(Mirror, "_work", lambda self: None)


class PowerCut:
    """Counts the changes of a storage; the given change and all later ones fail as if the machine had crashed."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, at: int) -> None:
        self.at, self.count, self._lock = at, 0, threading.Lock()
        for name in ("put", "write", "remove"):
            monkeypatch.setattr(Storage, name, self.watched(getattr(Storage, name)))

    def watched(self, change: Callable[..., None]) -> Callable[..., None]:
        def call(*arguments: Any) -> None:
            with self._lock:
                self.count += 1
                if 0 <= self.at < self.count:
                    raise Killed
            change(*arguments)

        return call


class Head:
    """A driver with its mirror, which uploads after about every second step that changes files."""

    def __init__(self, world: World, storage: Storage, store: Callable[..., None]) -> None:
        self.world, self.store = world, store
        self.mirror = Mirror(storage, NAME)
        self.mirror.start(world.study)
        self.generator = np.random.default_rng(0)
        world.listeners.insert(1, self.mirror)
        for part in ("study", "journal", "tracker"):
            for name in STEPS[part]:
                setattr(getattr(world, part), name, self.uploading(getattr(getattr(world, part), name)))

    def uploading(self, step: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **options: Any) -> Any:
            result = step(*arguments, **options)
            if self.generator.random() < 0.5:
                self.mirror._round(ending=False)
            return result

        return call

    def run(self) -> None:
        driver = self.world.driver()
        while (assignment := driver.begin()) is not None:
            self.work(driver, assignment)
        self.mirror._finished = True
        self.mirror._round(ending=True)
        self.mirror.release()

    def work(self, driver: Driver, assignment: Assignment) -> None:
        """A worker that uploads a checkpoint before it reports the last epoch of a fold."""
        task, recipe = assignment.task, assignment.recipe
        job = task.job
        for report in self.world.reports(assignment):
            if isinstance(report, Epoch) and report.epoch == EPOCHS:
                self.store(f"{folder_of(job, recipe)}/seed_{job.seed}/fold_{report.fold}.pt")
            if not driver.receive(task, report):
                break
        driver.end(task, self.world.fate(job) == "crashed")


def checkpoint_writer(folder: Path) -> Callable[[str], None]:
    def store(name: str) -> None:
        path = folder / NAME / "checkpoints" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"weights")

    return store


def assert_no_fold_is_lost(before: Study, after: Study, checkpoints: Path) -> None:
    """A fold that the crashed head had and the stored study lacks can be resumed from its checkpoint."""
    for number in before.trials():
        recipe = before.recipe(number)
        for seed in before.seeds(number):
            job = Job(number, seed)
            for fold in set(before.folds_done(number, seed)) - set(after.folds_done(number, seed)):
                path = checkpoints / folder_of(job, recipe) / f"seed_{seed}" / f"fold_{fold}.pt"
                assert path.is_file(), f"neither fold {fold} nor its checkpoint of trial {number} seed {seed}"


def results(world: World) -> dict[str, Any]:
    """``everything`` but where trials have waited, which the journal only shows, and which may be lost with a head."""
    found = everything(world)
    for *_, attributes in found["journal"]:
        attributes.pop(PLACE, None)
    return found


@pytest.mark.usefixtures("without_thread")
@pytest.mark.parametrize(
    "stride", [29, pytest.param(5, marks=pytest.mark.slow), pytest.param(1, marks=pytest.mark.long)]
)
@pytest.mark.parametrize("search", KILLED)
def test_a_head_that_crashes_between_uploads_is_replaced_by_another(
    world_in: Callable[..., World], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, search: str, stride: int
) -> None:
    settings = KILLED[search]
    reliable = world_in("reliable", **settings)
    with monkeypatch.context() as patch:
        cut = PowerCut(patch, -1)
        folder = tmp_path / "reliable storage"
        Head(reliable, open_storage(str(folder)), checkpoint_writer(folder)).run()
    expected = results(reliable)
    assert files_of(folder / NAME) == files_of(reliable.study.folder)
    assert cut.count > 40
    # The first changes are the claim and the two files that every study has.
    for at in range(6, cut.count - 2, stride):
        folder, storage = tmp_path / f"storage {at}", open_storage(str(tmp_path / f"storage {at}"))
        crashed = world_in(f"crashed {at}", **settings)
        with monkeypatch.context() as patch:
            PowerCut(patch, at)
            with pytest.raises(Killed):
                Head(crashed, storage, checkpoint_writer(folder)).run()
        fetch_study(storage.folder(NAME), tmp_path / f"new {at}" / NAME)
        new = world_in(f"new {at}", **settings)
        assert_no_fold_is_lost(crashed.study, new.study, folder / NAME / "checkpoints")
        Head(new, storage, checkpoint_writer(folder)).run()
        assert results(new) == expected, f"crashed at change {at}"
        shutil.rmtree(folder / NAME / ASIDE, ignore_errors=True)
        assert files_of(folder / NAME) == files_of(new.study.folder), f"crashed at change {at}"


FOREIGN = (
    *("notes.txt", "photo.png", "checkpoints/mine.pt", "checkpoints/0000-0-abc/seed_0/fold_0.pt", "scans/a.png"),
    *("trials/notes.txt", "trials/mine/state.json", "trials/0000/scan.png", "trials/0000/seed_0/raw/fold_0.csv"),
    *("wandb/settings", "aside/mine.txt"),
)
"""Files beside those of a study, some with similar names."""


@pytest.mark.usefixtures("without_thread")
def test_foreign_files_are_neither_uploaded_nor_removed_nor_downloaded(
    world_in: Callable[..., World], storage: Storage, tmp_path: Path
) -> None:
    world, there = world_in("head", trials=2), Path(str(storage)) / NAME
    store = checkpoint_writer(Path(str(storage)))
    head = Head(world, storage, store)
    for folder, content in ((world.study.folder, "here"), (there, "there")):
        for name in FOREIGN:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(content)
    # Copies of plug-ins are the study's own.
    plugin = world.study.folder / "plugins" / "lion.py"
    plugin.parent.mkdir()
    plugin.write_text("import torch")
    head.run()
    head.mirror.start(world.study)
    assert {name: (there / name).read_text() for name in FOREIGN} == dict.fromkeys(FOREIGN, "there")
    assert {name: (world.study.folder / name).read_text() for name in FOREIGN} == dict.fromkeys(FOREIGN, "here")
    assert files_of(there).keys() == files_of(world.study.folder).keys()
    compare(storage.folder(NAME), world.study)
    fetch_study(storage.folder(NAME), tmp_path / "new" / NAME)
    assert files_of(tmp_path / "new" / NAME).keys() == files_of(there).keys() - set(FOREIGN)
    assert (tmp_path / "new" / NAME / "plugins" / "lion.py").read_text() == "import torch"


def wait_until(condition: Callable[[], bool], seconds: float = 300) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "timed out"
        time.sleep(0.02)


def test_a_running_search_is_mirrored_to_a_bucket(world_in: Callable[..., World], s3: S3Server, tmp_path: Path) -> None:
    world = world_in("head", trials=2)
    mirror = Mirror(open_storage(s3.uri(tmp_path.name)), NAME)
    mirror.start(world.study)
    world.listeners.insert(1, mirror)
    run = f"wandb/offline-run-1-{world.study.info.study_uid}-0000/file"
    (world.study.folder / run).parent.mkdir(parents=True)
    (world.study.folder / run).write_text("a run")
    (world.study.folder / "driver.lock").write_text("process 1 on here")
    world.run()
    wait_until(lambda: f"{NAME}/trials/0001/state.json" in s3.keys(tmp_path.name))
    assert f"{NAME}/{run}" not in s3.keys(tmp_path.name)
    assert f"{NAME}/{LEASE}" in s3.keys(tmp_path.name)
    assert mirror.close(finished=True) == ""
    mirror.release()
    # Folders of a bucket are empty objects with a trailing slash.
    stored = [key for key in s3.keys(tmp_path.name) if not key.endswith("/")]
    assert stored == sorted(f"{NAME}/{name}" for name in files_of(world.study.folder))
    fetch_study(mirror.storage, tmp_path / "back" / NAME)
    assert files_of(tmp_path / "back" / NAME) == files_of(world.study.folder)


@pytest.fixture
def unreliable(monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    """Storages that reject writes while the event is set."""
    unreachable = threading.Event()
    for name in ("put", "write"):
        change = getattr(Storage, name)

        def call(*arguments: Any, change: Callable[..., None] = change) -> None:
            if unreachable.is_set():
                raise StorageFailed("no route")
            change(*arguments)

        monkeypatch.setattr(Storage, name, call)
    yield unreachable
    unreachable.clear()


def test_an_unreachable_storage_is_logged_once_and_gets_the_rest_later(
    world_in: Callable[..., World],
    storage: Storage,
    unreliable: threading.Event,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(mirror_module, "LONGEST_PAUSE_SECONDS", 0.05)
    monkeypatch.setattr(mirror_module.log, "propagate", True)
    world = world_in("head", trials=1)
    mirror = Mirror(storage, NAME)
    mirror.start(world.study)
    wait_until(lambda: "trials" not in str(mirror._dirty) and "optuna.journal" in storage.folder(NAME).names())
    unreliable.set()
    world.listeners.insert(1, mirror)
    world.run()
    wait_until(lambda: bool(caplog.records))
    time.sleep(0.3)
    unreliable.clear()
    wait_until(lambda: len(caplog.records) == 2)
    assert [record.getMessage().partition(f"{storage}/{NAME} ")[2] for record in caplog.records] == [
        "is unreachable (no route); continuing, will upload later",
        "is reachable again; pending files uploaded",
    ]
    assert mirror.close(finished=True) == ""
    mirror.release()
    assert files_of(Path(str(storage)) / NAME) == files_of(world.study.folder)


def test_closing_gives_up_on_an_unreachable_storage_and_names_it(
    world_in: Callable[..., World], storage: Storage, unreliable: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mirror_module, "CLOSE_SECONDS", 0.5)
    world = world_in("head", trials=1)
    mirror = Mirror(storage, NAME)
    mirror.start(world.study)
    unreliable.set()
    world.run()
    assert mirror.close(finished=True) == (
        f"storage: the study is not completely uploaded to {storage}/{NAME} (no route); --resume uploads the rest"
    )
    mirror.release()


@pytest.mark.usefixtures("without_thread")
def test_a_later_upload_is_not_announced_at_the_end(
    storage: Storage, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(mirror_module.log, "propagate", True)
    mirror = Mirror(storage, NAME)
    message = mirror.close(finished=False)
    mirror._note_unreachable(StorageFailed("no route"))
    assert (message, caplog.records) == ("", [])
    assert "not completely uploaded" in mirror.close(finished=False)


@pytest.mark.usefixtures("without_thread")
def test_a_loss_is_logged_while_the_storage_is_unreachable(
    storage: Storage, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(mirror_module.log, "propagate", True)
    mirror = Mirror(storage, NAME)
    for error in (StorageFailed("no route"), StorageFailed("no route"), StudyLost("it has lost the study")):
        mirror._note_unreachable(error)
    assert [record.getMessage().partition(" (")[2].partition(")")[0] for record in caplog.records] == [
        "no route",
        "it has lost the study",
    ]
    mirror.close(finished=False)


def on_another_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "gethostname", lambda: "another-head")


def test_a_second_head_is_refused_until_the_lease_of_the_first_expires(
    storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = Lease(storage)
    first.claim()
    held = json.loads((Path(str(storage)) / LEASE).read_text())
    here = socket.gethostname()
    on_another_machine(monkeypatch)
    second = Lease(storage)
    with pytest.raises(UserError, match=rf"is being run by process {held['pid']} on {here}; .* try again in 1\d\d s"):
        second.claim()
    os.utime(Path(str(storage)) / LEASE, (time.time() - 200,) * 2)
    second.claim()
    first._refreshed = -1e9
    with pytest.raises(TakenOver, match=rf"is now run by process {held['pid']} on another-head.*this search has ended"):
        first.refresh()
    first.release()
    assert json.loads((Path(str(storage)) / LEASE).read_text())["host"] == "another-head"
    second.release()
    assert storage.names() == []


def test_the_lease_of_an_ended_process_of_this_machine_is_ignored(storage: Storage) -> None:
    storage.write(json.dumps({"host": socket.gethostname(), "pid": 2**22 + 1, "token": "x"}).encode(), LEASE)
    Lease(storage).claim()
    storage.write(json.dumps({"host": socket.gethostname(), "pid": 1, "token": "x"}).encode(), LEASE)
    with pytest.raises(UserError, match="is being run by process 1 on"):
        Lease(storage).claim()


@pytest.mark.parametrize(
    "content",
    [
        *(b"damaged", b"", b"[1]", b"[" * 100_000, b'{"host": "there", "pid": 7}'),
        *(b'{"host": "there", "pid": %d, "token": "x"}' % pid for pid in (-1, 0, 10**30)),
        b'{"host": "there", "pid": "7", "token": "x"}',
        b'{"host": "two\\nlines", "pid": 7, "token": "x"}',
    ],
)
def test_a_damaged_lease_is_ignored(storage: Storage, content: bytes) -> None:
    storage.write(content, LEASE)
    Lease(storage).claim()


def test_a_lease_from_the_future_expires_like_any_other(storage: Storage) -> None:
    storage.write(json.dumps({"host": "there", "pid": 7, "token": "x"}).encode(), LEASE)
    os.utime(Path(str(storage)) / LEASE, (time.time() + 86_400,) * 2)
    with pytest.raises(UserError, match=r"run by process 7 on there; .* try again in 120 s"):
        Lease(storage).claim()
    assert abs((Path(str(storage)) / LEASE).stat().st_mtime - time.time()) < 60
    with pytest.raises(UserError, match=r"run by process 7 on there; .* try again in 1[12]\d s"):
        Lease(storage).claim()


def test_a_search_that_was_taken_over_ends_and_uploads_nothing_more(
    world_in: Callable[..., World], storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mirror_module, "REFRESH_SECONDS", 0.05)
    monkeypatch.setattr(lease_module, "REFRESH_SECONDS", 0.0)
    world = world_in("head", trials=3)
    mirror = Mirror(storage, NAME)
    mirror.start(world.study)
    world.listeners.insert(1, mirror)
    wait_until(lambda: "optuna.journal" in storage.folder(NAME).names())
    storage.write(json.dumps({"host": "another-head", "pid": 5, "token": "x"}).encode(), f"{NAME}/{LEASE}")
    wait_until(lambda: mirror._lost is not None)
    with pytest.raises(TakenOver, match="is now run by process 5 on another-head"):
        world.run()
    mirror.close(finished=False)
    mirror.release()
    assert not [name for name in storage.folder(NAME).names("trials") if name.endswith(".json")]
    assert b"another-head" in (storage.read(f"{NAME}/{LEASE}") or b"")


def test_a_mirror_that_is_ahead_or_another_study_is_refused(
    world_in: Callable[..., World], storage: Storage, tmp_path: Path
) -> None:
    world = world_in("head", trials=2)
    world.run()
    mirrored(world, storage)
    compare(storage.folder(NAME), world.study)
    behind = tmp_path / "old" / NAME
    shutil.copytree(world.study.folder, behind)
    (behind / "trials" / "0001" / "state.json").unlink()
    with pytest.raises(
        UserError, match=r"contains 1 results that .* lacks, such as trials/0001/state.json.*; move .* away"
    ):
        compare(storage.folder(NAME), Study(behind))
    shutil.copy(world.study.folder / "trials" / "0001" / "state.json", behind / "trials" / "0001")
    (behind / JOURNAL).write_bytes((behind / JOURNAL).read_bytes()[:-50])
    with pytest.raises(UserError, match=rf"{JOURNAL} is longer than .*{JOURNAL}: the local one has lost lines, or"):
        compare(storage.folder(NAME), Study(behind))
    other = change_info(world.study, study_uid="ffff0000")
    with pytest.raises(UserError, match=r"contains another study of this name \(study_uid abcd1234, local ffff0000\)"):
        compare(storage.folder(NAME), other)


def test_a_study_that_was_continued_in_two_places_is_refused_and_both_are_kept(
    world_in: Callable[..., World], storage: Storage, tmp_path: Path
) -> None:
    world_in("head", trials=2).run()
    shutil.copytree(tmp_path / "head", tmp_path / "other")
    elsewhere, here = world_in("other", trials=3), world_in("head", trials=4)
    elsewhere.run()
    here.run()
    mirrored(elsewhere, storage)
    stored = files_of(tmp_path / "storage")
    with pytest.raises(
        UserError,
        match=rf"storage/{NAME}/{JOURNAL} and .*head/{NAME}/{JOURNAL} record different trials: .*; move .* away, then "
        r"--resume --study study downloads the stored one, or choose another --storage",
    ):
        compare(storage.folder(NAME), here.study)
    assert files_of(tmp_path / "storage") == stored
    mirrored(elsewhere, storage)
    compare(storage.folder(NAME), elsewhere.study)


def test_a_failed_download_leaves_nothing(
    world_in: Callable[..., World], storage: Storage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = world_in("head", trials=2)
    world.run()
    mirrored(world, storage)
    fetch = Storage.fetch

    def failing(self: Storage, name: str, local: Path) -> bool:
        if name == "trials/0001/epochs.csv":
            raise StorageFailed("connection lost")
        return fetch(self, name, local)

    with monkeypatch.context() as patch:
        patch.setattr(Storage, "fetch", failing)
        with pytest.raises(StorageFailed, match="connection lost"):
            fetch_study(storage.folder(NAME), tmp_path / "new" / NAME)
    assert not (tmp_path / "new").exists()
    (tmp_path / "new" / NAME).mkdir(parents=True)
    fetch_study(storage.folder(NAME), tmp_path / "new" / NAME)
    with pytest.raises(
        UserError, match=r"the study cannot be written to .* \(Directory not empty\); move it away, or choose"
    ):
        fetch_study(storage.folder(NAME), tmp_path / "new" / NAME)


def test_the_studies_of_a_storage_are_listed(world_in: Callable[..., World], storage: Storage, tmp_path: Path) -> None:
    assert describe_studies(storage) == "it contains no study"
    mirrored(world_in("head"), storage)
    assert describe_studies(storage) == "it contains study"
    with pytest.raises(MissingFile, match=r"no study at .*absent; correct --storage or --study"):
        fetch_study(storage.folder("absent"), tmp_path / "absent")


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    """The mirror's thread renews its lease in every round, pauses briefly and gives up soon."""
    monkeypatch.setattr(mirror_module.log, "propagate", True)
    monkeypatch.setattr(lease_module, "REFRESH_SECONDS", 0.0)
    for name, seconds in (("REFRESH_SECONDS", 0.05), ("LONGEST_PAUSE_SECONDS", 0.05), ("CLOSE_SECONDS", 0.5)):
        monkeypatch.setattr(mirror_module, name, seconds)
    return caplog


@pytest.mark.parametrize("returns", [True, False])
def test_a_storage_whose_disk_is_unmounted_is_not_created_again(
    world_in: Callable[..., World], storage: Storage, tmp_path: Path, quick: pytest.LogCaptureFixture, returns: bool
) -> None:
    world = world_in("head", trials=1)
    mirror = Mirror(storage, NAME)
    mirror.start(world.study)
    wait_until(lambda: JOURNAL in storage.folder(NAME).names())
    (tmp_path / "storage").rename(tmp_path / "unmounted")
    world.listeners.insert(1, mirror)
    world.run()
    wait_until(lambda: bool(quick.records))
    assert f"storage {storage}/{NAME} is unreachable (" in quick.text
    if returns:
        (tmp_path / "unmounted").rename(tmp_path / "storage")
    message = mirror.close(finished=True)
    mirror.release()
    if returns:
        assert message == ""
        assert files_of(tmp_path / "storage" / NAME) == files_of(world.study.folder)
    else:
        assert message.startswith(f"storage: the study is not completely uploaded to {storage}/{NAME} (the folder is")
        assert not (tmp_path / "storage").exists()


@pytest.mark.parametrize("kind", ["folder", "s3"])
def test_a_storage_that_lost_the_study_gets_it_again(
    request: pytest.FixtureRequest,
    world_in: Callable[..., World],
    tmp_path: Path,
    quick: pytest.LogCaptureFixture,
    kind: str,
) -> None:
    uri = str(tmp_path / "storage") if kind == "folder" else request.getfixturevalue("s3").uri(tmp_path.name)
    world = world_in("head", trials=1)
    world.run()
    mirror = Mirror(open_storage(uri), NAME)
    mirror.start(world.study)
    there = open_storage(uri).folder(NAME)
    wait_until(lambda: JOURNAL in there.names())
    for name in reversed(there.names()):
        there.remove(name)
    wait_until(lambda: JOURNAL in there.names(), seconds=20)
    assert "it has lost the study, which is uploaded again" in quick.text
    assert mirror.close(finished=True) == ""
    mirror.release()
    assert {name: there.read(name) for name in there.names()} == files_of(world.study.folder)
