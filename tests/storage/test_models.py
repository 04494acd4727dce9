"""Delivered models in the mirror: the stored folder has the files of the local one, and no other model is lost."""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from helpers.mirrors import NAME, files_of, worlds_in

from leukemia.base.errors import UserError
from leukemia.data.catalog import Catalog
from leukemia.study import layout
from leukemia.study.folder import Study
from leukemia.study.models import EvaluationRecord, ModelRecord, delivered_models
from search.storage.filesystem import Storage, StorageFailed, open_storage
from search.storage.leftovers import ASIDE
from search.storage.retrieval import fetch_study
from search.storage.upload import Upload

FILES = (layout.WEIGHTS, layout.RECIPE, layout.EPOCHS, layout.METRICS)
TESTED = (layout.PREDICTIONS, layout.CONFUSION)


def deliver(folder: Path, model: str, *, test: str | None = None, earlier: tuple[str, ...] = ()) -> None:
    """A model with the files of a training and of a test, whose contents are texts."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    for name in (*FILES, *(TESTED if test else ())):
        (folder / name).write_text(f"{name} of {model}" + (f" on {test}" if name in (layout.METRICS, *TESTED) else ""))
    for each in earlier:
        (folder / layout.TESTS / each).mkdir(parents=True)
        (folder / layout.TESTS / each / layout.METRICS).write_text(f"metrics on {each}")
    evaluation = None if test is None else EvaluationRecord(fingerprint=4 * test, command="", created="")
    ModelRecord(
        study=NAME,
        study_uid="abcd1234",
        trial="0000",
        num_training_images=1,
        fingerprint="0" * 64,
        splits_sha256="0" * 64,
        device="cpu",
        commit="unknown",
        command=model,
        created="",
        versions={},
        evaluation=evaluation,
    ).write(folder)


@pytest.fixture
def study(tmp_path: Path, tiny_catalog: Catalog) -> Study:
    return worlds_in(tmp_path, tiny_catalog)("head").study


@pytest.fixture
def stored(tmp_path: Path) -> Storage:
    return open_storage(str(tmp_path / "storage")).folder(NAME)


def upload(study: Study, storage: Storage) -> None:
    """As when a search ends."""
    Upload(storage, lambda: None).store(study, None, ending=True, finished=False)


def there(storage: Storage, name: str = layout.FINAL) -> dict[str, bytes]:
    return files_of(Path(str(storage)) / name)


TESTS = "0123456789abcdef", "fedcba9876543210"


@pytest.mark.parametrize(
    "changes",
    [
        lambda folder: (shutil.move(folder, f"{folder}.1"), deliver(folder, "two")),
        lambda folder: deliver(folder, "one", test=TESTS[1], earlier=TESTS[:1]),
        lambda folder: (shutil.move(folder, f"{folder}.1"), deliver(folder, "two", test=TESTS[0])),
    ],
    ids=["another model", "another test", "another model, tested"],
)
def test_a_replaced_model_leaves_no_file_behind(
    study: Study, stored: Storage, caplog: pytest.LogCaptureFixture, changes: Callable[[Path], object]
) -> None:
    folder = study.folder / layout.FINAL
    deliver(folder, "one", test=TESTS[0])
    same = Upload(stored, lambda: None)
    same.store(study, None, ending=False, finished=False)
    assert there(stored) == files_of(folder)
    changes(folder)
    if "final.1" in delivered_models(study):
        (folder / layout.CONFUSION).unlink(missing_ok=True)
    same.store(study, None, ending=True, finished=False)
    upload(study, stored)
    assert there(stored) == files_of(folder)
    assert stored.names(ASIDE) == []
    assert caplog.records == []


def test_an_upload_that_breaks_off_leaves_no_mixed_model(
    study: Study, stored: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = study.folder / layout.FINAL
    for number in range(40):
        for path in (Path(f"{folder}.1"), Path(str(stored))):
            shutil.rmtree(path, ignore_errors=True)
        deliver(folder, "one", test=TESTS[0])
        upload(study, stored)
        shutil.move(folder, f"{folder}.1")
        deliver(folder, "two")
        steps = iter(range(number))
        with monkeypatch.context() as patch:
            for name in ("put", "write", "remove"):
                patch.setattr(Storage, name, until_broken(getattr(Storage, name), steps))
            try:
                upload(study, stored)
                break
            except StorageFailed:
                pass
        found = Path(str(stored)) / layout.FINAL
        record = ModelRecord.read(found)
        if record is not None and (found / layout.METRICS).is_file():
            record.check_files(found)
        upload(study, stored)
        assert there(stored) == files_of(folder)
        assert stored.names(ASIDE) == []
    assert number > 10


def until_broken(change: Callable[..., None], steps: object) -> Callable[..., None]:
    def call(*arguments: object) -> None:
        if next(steps, None) is None:
            raise StorageFailed("no route")
        change(*arguments)

    return call


@pytest.mark.parametrize(
    ("theirs", "theirs_tested", "record"),
    [("one", None, True), ("one", TESTS[0], True), ("two", TESTS[1], True), ("one", None, False)],
    ids=["another training", "tested", "another test of the same training", "of an earlier version"],
)
def test_a_model_of_another_machine_is_moved_aside(
    study: Study,
    stored: Storage,
    caplog: pytest.LogCaptureFixture,
    theirs: str,
    theirs_tested: str | None,
    record: bool,
) -> None:
    folder = study.folder / layout.FINAL
    deliver(folder, theirs, test=theirs_tested)
    if not record:
        (folder / layout.MODEL).unlink()
    upload(study, stored)
    kept = there(stored)
    deliver(folder, "two", test=TESTS[0])
    with caplog.at_level(logging.WARNING):
        upload(study, stored)
    assert there(stored) == files_of(folder)
    assert {name.split("/", 3)[3]: stored.read(name) for name in stored.names(ASIDE)} == kept
    assert "the model final, which the local study lacks, was uploaded from elsewhere; it was moved to" in caplog.text


def test_a_model_that_only_the_mirror_has_is_left_alone(study: Study, stored: Storage, tmp_path: Path) -> None:
    deliver(study.folder / layout.FINAL, "one", test=TESTS[0])
    upload(study, stored)
    kept = there(stored)
    shutil.rmtree(study.folder / layout.FINAL)
    upload(study, stored)
    assert there(stored) == kept
    fetch_study(stored, tmp_path / "new" / NAME)
    assert files_of(tmp_path / "new" / NAME / layout.FINAL) == kept


def test_a_linked_folder_is_no_delivered_model(study: Study, stored: Storage, tmp_path: Path) -> None:
    deliver(tmp_path / "elsewhere", "one", test=TESTS[0])
    (study.folder / "reference").symlink_to(tmp_path / "elsewhere")
    upload(study, stored)
    assert delivered_models(study) == []
    assert stored.names("reference") == []


@pytest.mark.parametrize("name", [layout.PREDICTIONS, layout.METRICS])
def test_results_that_the_record_does_not_list_are_refused(study: Study, name: str) -> None:
    folder = study.folder / layout.FINAL
    deliver(folder, "one")
    (folder / name).unlink(missing_ok=True)
    record = ModelRecord.read(folder)
    assert record is not None
    record.write(folder)
    (folder / name).write_text("of another model")
    written = ModelRecord.read(folder)
    assert written is not None
    with pytest.raises(UserError, match=rf"final/{name}: model.json does not list it, so it belongs to another model;"):
        written.check_files(folder)
    assert json.loads((folder / layout.MODEL).read_text())["files"]
