"""The folder of a delivered model: nothing in it is lost, whatever is asked for next, and whenever a process ends."""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import json
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from helpers.cells import draw_cells
from helpers.deliveries import deliver, hidden, metrics_of
from helpers.wandb_server import WandbServer

from leukemia.base.errors import UserError
from leukemia.base.locks import locked
from leukemia.base.record import write_record
from leukemia.config.recipe import Recipe
from leukemia.data.catalog import read_catalog
from leukemia.delivery import final_training, model_page
from leukemia.delivery.loading import load_delivered
from leukemia.delivery.replacement import claimed, replacing
from leukemia.delivery.results import RESULT_FILES, TEST_FILES, make_way
from leukemia.study import layout
from leukemia.study.folder import Study
from leukemia.study.models import EvaluationRecord, ModelRecord, delivered_models, unnamed_results
from leukemia.tracking.final_run import FinalRun
from leukemia.tracking.publish import publish

pytestmark = pytest.mark.usefixtures("without_wandb")


def with_results_on(fingerprint: str, record: ModelRecord) -> ModelRecord:
    """The record of a model with results on the test set of this fingerprint."""
    return dataclasses.replace(
        record, evaluation=EvaluationRecord(fingerprint=fingerprint, command="command", created="")
    )


@pytest.fixture
def without_wandb(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_MODE", "disabled")


@pytest.fixture(scope="module")
def others(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """8 labelled images of other subjects than ``patients``."""
    return draw_cells(tmp_path_factory.mktemp("others") / "others", seed=8, subjects=range(21, 23), per_subject=2)


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_the_same_model_is_not_trained_again(
    delivered: Study, untrained: list[Recipe], capsys: pytest.CaptureFixture[str]
) -> None:
    before = contents(delivered.folder / "final")
    capsys.readouterr()
    assert deliver(delivered) == 0
    assert deliver(delivered, "--replace") == 0
    assert untrained == []
    assert contents(delivered.folder / "final") == before
    assert delivered_models(delivered) == ["final"]
    output = capsys.readouterr().out
    assert output.count(f"already delivered: {delivered.folder / 'final'} has ResNet-18 add, color, adamw 3.0e-04") == 2
    assert f"model: {delivered.folder / 'final'}" in output


def test_model_that_exists_is_uploaded_by_the_same_command(
    delivered: Study, wandb_server: WandbServer, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The first upload may have been interrupted, or have been offline."""
    monkeypatch.setenv("WANDB_MODE", "online")
    assert deliver(delivered) == 0
    assert capsys.readouterr().out.rstrip().splitlines()[-1].startswith("W&B: model and run uploaded")
    assert [each.state for each in wandb_server.artifacts.values() if each.type == "model"] == ["COMMITTED"]


def test_option_for_names_is_stored_without_training_and_without_wandb(
    delivered: Study, untrained: list[Recipe]
) -> None:
    for flag, stored in (("--wandb-ids", True), ("--no-wandb-ids", False)):
        assert deliver(delivered, flag) == 0
        assert Study.open(delivered.folder).info.wandb_ids is stored
    with delivered.lock(), pytest.raises(UserError, match=f"is being run by process {os.getpid()}"):
        deliver(delivered, "--wandb-ids")
    assert not Study.open(delivered.folder).info.wandb_ids
    assert untrained == []


def test_new_test_data_are_scored_without_training(
    delivered: Study, patients: Path, others: Path, untrained: list[Recipe], capsys: pytest.CaptureFixture[str]
) -> None:
    folder = delivered.folder / "final"
    (folder / "notes.txt").write_text("mine")
    curves = (folder / "curves.png").read_bytes()
    (folder / "curves.png").unlink()
    model = (folder / "model.safetensors").read_bytes()
    assert deliver(delivered, "--test", patients) == 0
    first = contents(folder)
    assert metrics_of(delivered)["test"]["n"] == 12
    assert json.loads(first["model.json"])["evaluation"]["fingerprint"] == read_catalog(patients).fingerprint
    assert "12 test images" in first["MODEL_CARD.md"].decode()
    assert first["curves.png"] == curves, "drawn again"
    capsys.readouterr()
    assert deliver(delivered, "--test", others) == 0
    assert untrained == []
    output = capsys.readouterr().out
    assert f"test accuracy: {metrics_of(delivered)['test']['accuracy']['value']:.4f} (" in output
    last = contents(folder)
    assert metrics_of(delivered)["test"]["n"] == len(pd.read_csv(folder / "predictions.csv")) == 8
    assert (last["model.safetensors"], last["notes.txt"]) == (model, b"mine")
    # Each has its own folder, and the card names both.
    earlier, latest = folder / "tests" / "patients", folder / "tests" / "others"
    assert set(contents(earlier)) == set(contents(latest)) == {*RESULT_FILES, layout.MODEL}
    for kept, whole in ((earlier, first), (latest, last)):
        assert all(whole[name] == content for name, content in contents(kept).items() if name != layout.MODEL)
    rows = [line.split(" | ")[0] for line in last["MODEL_CARD.md"].decode().splitlines() if "Z | " in line]
    assert sorted(rows) == ["| others", "| patients"]
    # Both are known now.
    for test, results in ((patients, earlier), (others, folder)):
        assert deliver(delivered, "--test", test) == 0
        assert f"already tested on these data: {results / 'metrics.json'}\n" in capsys.readouterr().out
    assert contents(folder) == last
    assert hidden(delivered) == []


def test_other_scores_of_the_same_test_data_are_added(
    delivered: Study, others: Path, tmp_path: Path, untrained: list[Recipe], capsys: pytest.CaptureFixture[str]
) -> None:
    table = read_catalog(others).table
    stages = [("Benign", ("Early", "Pre")[row % 2])[label] for row, label in enumerate(table["label"])]
    rows = zip(table["path"], table["label"], table["subject"], stages, strict=True)
    lines = [",".join(map(str, row)) for row in [("Path", "label", "subject", "stage"), *rows]]
    (tmp_path / "list.csv").write_text("\n".join(lines) + "\n")
    test = ("--test", tmp_path / "list.csv", "--test-base", others)
    assert deliver(delivered, *test) == 0
    assert metrics_of(delivered)["test"]["subclasses"] == []
    capsys.readouterr()
    for times in range(2):
        assert deliver(delivered, *test, "--label-column", "stage") == 0
        assert ("already tested on these data" in capsys.readouterr().out) == (times == 1)
        assert {each["name"] for each in metrics_of(delivered)["test"]["subclasses"]} == {"Early", "Pre"}
    assert untrained == []


@pytest.mark.parametrize("content", [None, "seed,fold,epoch\n"])
def test_epochs_that_cannot_be_drawn_again_are_reported_before_a_test(
    delivered: Study, patients: Path, monkeypatch: pytest.MonkeyPatch, content: str | None
) -> None:
    monkeypatch.delattr(final_training, "evaluate")
    path = delivered.folder / "final" / "epochs.csv"
    path.unlink() if content is None else path.write_text(content)
    with pytest.raises(UserError, match=rf"{path}: not the file that model.json was written for; restore the file"):
        deliver(delivered, "--test", patients)
    # Earlier versions had no checksum of it.
    record = ModelRecord.read(path.parent)
    assert record is not None
    dataclasses.replace(record, files={}).keep(path.parent)
    with pytest.raises(UserError, match=rf"{path}: expected .*; restore the file"):
        deliver(delivered, "--test", patients)


@pytest.mark.usefixtures("untrained")
@pytest.mark.parametrize("name", ["metrics.json", "predictions.csv"])
def test_results_that_were_changed_are_not_called_known(delivered: Study, patients: Path, name: str) -> None:
    deliver(delivered, "--test", patients)
    path = delivered.folder / "final" / name
    path.write_text(path.read_text().replace("0.", "1.", 1))
    with pytest.raises(UserError, match=rf"{name}: not the file that model.json was written for; restore the file"):
        deliver(delivered, "--test", patients)


@pytest.mark.usefixtures("untrained")
def test_changed_results_of_an_earlier_test_are_not_called_known(
    delivered: Study, patients: Path, others: Path
) -> None:
    for test in (patients, others):
        deliver(delivered, "--test", test)
    earlier = delivered.folder / "final" / "tests" / "patients"
    for path in (earlier / "metrics.json", earlier / "predictions.csv"):
        whole = path.read_text()
        path.write_text(whole.replace("0.", "1.", 1))
        with pytest.raises(UserError, match=rf"{path.name}: not the file that model.json was written for; restore"):
            deliver(delivered, "--test", patients)
        path.write_text(whole)
    # As earlier versions kept them.
    (earlier / "model.json").unlink()
    earlier = earlier.rename(earlier.with_name(read_catalog(patients).fingerprint[:16]))
    assert deliver(delivered, "--test", patients) == 0
    for content, expected in (("[]", "a JSON object, got list"), ("{}", "a field 'test', found none")):
        (earlier / "metrics.json").write_text(content)
        for options in ([], ["--against-start"]):
            with pytest.raises(UserError, match=rf"{earlier}/metrics.json: expected {expected}; restore the file"):
                deliver(delivered, "--test", patients, *options)


def test_a_comparison_is_added_to_test_data_that_are_known(
    delivered: Study, patients: Path, others: Path, untrained: list[Recipe]
) -> None:
    for test in (patients, others):
        deliver(delivered, "--test", test)
    for _ in range(2):
        deliver(delivered, "--test", patients, "--against-start")
        assert len(untrained) == 1, "the start alone, once"
    assert metrics_of(delivered)["difference"]["against"] == "the starting recipe (trial 0000) retrained"
    kept = [path.name for path in (delivered.folder / "final" / "tests").iterdir()]
    assert sorted(kept) == ["others", "patients"]


def test_files_of_the_user_beside_the_results_of_an_earlier_test_are_kept(delivered: Study) -> None:
    folder = delivered.folder / "final"
    record = ModelRecord.read(folder)
    assert record is not None
    first, second = "a" * 64, "b" * 64
    replaced, kept = (unnamed_results(folder, fingerprint) for fingerprint in (first, second))
    for each in (replaced, kept):
        (each / "more").mkdir(parents=True)
        (each / "notes.txt").write_text("mine")
    for name in TEST_FILES:
        (replaced / name).write_text("first")
        (folder / name).write_text("second")
    make_way(folder, with_results_on(second, record), first)
    assert set(contents(replaced)) == {"notes.txt"}
    assert set(contents(kept)) == {"notes.txt", layout.MODEL, *TEST_FILES}
    assert (replaced / "more").is_dir()
    assert not any((folder / name).exists() for name in TEST_FILES)


def test_another_model_is_not_overwritten(delivered: Study, untrained: list[Recipe]) -> None:
    before = contents(delivered.folder / "final")
    with pytest.raises(
        UserError,
        match=r"final does not have the model asked for; choose another --out, or add --replace, which moves it to "
        r"final.1:\n  optimizer.restart_epochs: 1, not 2\n  train.epochs: 1, not 2\n  train.seed: 0, not 5$",
    ):
        deliver(delivered, "--set", "train.seed=5", "--set", "train.epochs=2", "--set", "optimizer.restart_epochs=2")
    assert untrained == []
    assert contents(delivered.folder / "final") == before


def test_other_data_and_versions_are_another_model(
    delivered: Study, untrained: list[Recipe], monkeypatch: pytest.MonkeyPatch
) -> None:
    versions = {"torch": "9.9", "wandb": "8.8"}
    monkeypatch.setattr("leukemia.base.provenance.versions", lambda: versions)
    with pytest.raises(UserError, match=r"\n  version of torch: 2[^\n]*, not 9.9") as raised:
        deliver(delivered)
    assert "wandb" not in str(raised.value), "it does not change a model"
    record = ModelRecord.read(delivered.folder / "final")
    assert record is not None
    other = dataclasses.replace(record, fingerprint="0" * 64)
    assert record.differences(other) == [f"training data fingerprint: {record.fingerprint}, not {'0' * 64}"]
    assert untrained == []


def test_the_model_of_another_study_is_not_this_ones(delivered: Study, untrained: list[Recipe]) -> None:
    """As after ``final/`` was copied from a study with the same data and winner."""
    path = delivered.folder / "final" / "model.json"
    write_record(path, {**json.loads(path.read_text()), "study": "other", "study_uid": "00000001"})
    with pytest.raises(UserError, match=r"or add --replace, .*:\n  study_uid: 00000001, not abcd1234$"):
        deliver(delivered)
    assert untrained == []
    with pytest.raises(UserError, match=r"final: the model is of study other \(00000001\), not of one \(abcd1234\); m"):
        FinalRun(delivered, "final").write("offline")


def test_replaced_models_are_kept_under_free_names(
    delivered: Study, untrained: list[Recipe], capsys: pytest.CaptureFixture[str]
) -> None:
    first = contents(delivered.folder / "final")
    for seed in (5, 6):
        deliver(delivered, "--replace", "--set", f"train.seed={seed}")
    assert f"earlier model: {delivered.folder / 'final.2'}" in capsys.readouterr().out
    assert contents(delivered.folder / "final.1") == first
    seeds = {name: load_delivered(delivered.folder / name)[1].train.seed for name in delivered_models(delivered)}
    assert seeds == {"final": 6, "final.1": 0, "final.2": 5}
    assert hidden(delivered) == []


@pytest.mark.parametrize("name", ["a/b", "..", "", "trials", "WandB", "best.json", ".final-new"])
def test_names_that_are_no_folder_for_a_model(study: Study, no_training: None, name: str) -> None:
    before = contents(study.folder)
    with pytest.raises(
        UserError, match=r"^--out: (expected letters, digits|'.*' is a name that the study uses itself)"
    ):
        deliver(study, "--out", name)
    assert contents(study.folder) == before


def test_a_folder_of_the_user_is_not_touched(study: Study, untrained: list[Recipe], tmp_path: Path) -> None:
    folder = study.folder / "final"
    folder.mkdir()
    (folder / "notes.txt").write_text("mine")
    message = r"final exists and is no delivered model; move it away, or choose another --out$"
    for options in ([], ["--replace"]):
        with pytest.raises(UserError, match=message):
            deliver(study, *options)
    assert contents(folder) == {"notes.txt": b"mine"}
    shutil.rmtree(folder)
    folder.symlink_to(tmp_path)
    with pytest.raises(UserError, match=message):
        deliver(study)
    folder.unlink()
    folder.mkdir()
    assert deliver(study) == 0, "an empty folder is free"
    assert len(untrained) == 1


def test_a_model_of_an_earlier_version_is_another_one(delivered: Study, untrained: list[Recipe]) -> None:
    (delivered.folder / "final" / "model.json").unlink()
    with pytest.raises(UserError, match=r"\n  data and versions: unknown, an earlier version wrote no model.json$"):
        deliver(delivered)
    deliver(delivered, "--replace")
    assert delivered_models(delivered) == ["final.1", "final"]


def test_a_damaged_model_is_not_called_delivered(delivered: Study, untrained: list[Recipe]) -> None:
    for name in ("recipe.json", "model.safetensors"):
        path = delivered.folder / "final" / name
        content = path.read_bytes()
        damaged = content[:-8] + bytes([content[-8] ^ 1]) + content[-7:]
        path.write_bytes(damaged)
        with pytest.raises(UserError, match=rf"final does not have the model asked for;.*\n  .*{name}.* backup"):
            deliver(delivered)
        path.write_bytes(content)
    path.write_bytes(damaged)
    deliver(delivered, "--replace")
    assert (delivered.folder / "final.1" / "model.safetensors").read_bytes() == damaged
    load_delivered(delivered.folder / "final")


@pytest.mark.usefixtures("untrained")
@pytest.mark.parametrize("options", [["--set", "train.seed=5", "--replace"], ["--test"]])
def test_a_failed_write_changes_nothing(
    delivered: Study, patients: Path, options: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    before = contents(delivered.folder / "final")
    options = [*options, str(patients)] if options == ["--test"] else options

    def fail(*arguments: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(model_page, "write_page", fail)
    with pytest.raises(OSError, match=r"^disk full$"):
        deliver(delivered, *options)
    assert contents(delivered.folder / "final") == before
    assert hidden(delivered) == []


class Killed(BaseException):
    """Stands for the end of a process."""


def killed_at(step: int, folder: Path, *, keep: bool, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Replace a model, of which nothing reaches the disk from the n-th step on; returns whether a step was left out."""
    steps = iter(range(step))

    def until_killed(function: Callable[..., Any]) -> Callable[..., Any]:
        def run(*arguments: Any, **options: Any) -> Any:
            # Killed processes clean up nothing: later steps fail, too.
            if next(steps, None) is None:
                raise Killed
            return function(*arguments, **options)

        return run

    with monkeypatch.context() as patch, contextlib.suppress(Killed):
        for owner, name in ((Path, "rename"), (Path, "mkdir"), (shutil, "rmtree"), (os, "link"), (Path, "write_text")):
            patch.setattr(owner, name, until_killed(getattr(owner, name)))
        with claimed(folder), replacing(folder, keep=keep) as new:
            (new / "which").unlink(missing_ok=True)
            (new / "which").write_text("new")
            (new / layout.MODEL).write_text("{}")
        return False
    return True


@pytest.mark.parametrize("keep", [True, False])
def test_killed_at_any_step_the_old_or_the_new_model_is_there(
    tmp_path: Path, keep: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    found, step, killed = [], 0, True
    while killed:
        folder = tmp_path / str(step) / "final"
        folder.mkdir(parents=True)
        for name in ("which", layout.MODEL):
            (folder / name).write_text("old")
        killed = killed_at(step, folder, keep=keep, monkeypatch=monkeypatch)
        assert any((path / layout.MODEL).is_file() for path in folder.parent.iterdir())
        with claimed(folder):
            found.append((folder / "which").read_text())
        names = {path.name for path in folder.parent.iterdir()} - {".final.lock"}
        assert names == ({"final", "final.1"} if not keep and found[-1] == "new" else {"final"})
        step += 1
    assert found == sorted(found, reverse=True), "old, until it is new"
    assert found.count("old") >= 4
    assert found.count("new") >= 2, "killed between the renames"


@pytest.mark.parametrize("fingerprint", ["../../../other", "", "F" * 64])
def test_a_fingerprint_names_no_folder_elsewhere(delivered: Study, patients: Path, fingerprint: str) -> None:
    """Results on the test set of this fingerprint would be moved to a folder of its name."""
    record = ModelRecord.read(delivered.folder / "final")
    assert record is not None
    with_results_on(fingerprint, record).write(delivered.folder / "final")
    before = contents(delivered.folder.parent)
    with pytest.raises(UserError, match=r"model.json: field 'evaluation.fingerprint': expected text that matches"):
        deliver(delivered, "--test", patients)
    assert contents(delivered.folder.parent) == before


@pytest.mark.parametrize("name", [".final-new", ".final-old"])
@pytest.mark.parametrize("kind", ["file", "link", "folder"])
def test_what_a_killed_process_left_is_removed_before_training(tmp_path: Path, name: str, kind: str) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "notes.txt").write_text("mine")
    leftover = tmp_path / "study" / name
    leftover.parent.mkdir()
    (tmp_path / "study" / "final").mkdir()
    if kind == "file":
        leftover.write_text("")
    elif kind == "link":
        leftover.symlink_to(tmp_path / "elsewhere")
    else:
        shutil.copytree(tmp_path / "elsewhere", leftover)
    with claimed(tmp_path / "study" / "final"):
        assert not os.path.lexists(leftover)
    assert (tmp_path / "elsewhere" / "notes.txt").read_text() == "mine"


@pytest.mark.parametrize("name", [".final-new", ".final-old"])
def test_leftovers_that_cannot_be_removed_are_refused_before_training(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for folder in (name, "final"):
        (tmp_path / folder).mkdir()

    def refuse(*arguments: object, **options: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(shutil, "rmtree", refuse)
    with (
        pytest.raises(UserError, match=rf"{name}: left by a process that was killed, and cannot be removed; remove it"),
        claimed(tmp_path / "final"),
    ):
        pass


def test_a_model_that_was_complete_is_not_trained_again(delivered: Study, untrained: list[Recipe]) -> None:
    (delivered.folder / "final").rename(delivered.folder / ".final-new")
    assert deliver(delivered) == 0
    assert untrained == []
    load_delivered(delivered.folder / "final")


def test_what_an_earlier_version_left_between_the_renames_is_restored(tmp_path: Path) -> None:
    for name in (".final-new", ".final-old"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "which").write_text(name)
    with claimed(tmp_path / "final"):
        assert (tmp_path / "final" / "which").read_text() == ".final-old"
    assert sorted(path.name for path in tmp_path.iterdir()) == [".final.lock", "final"]


def test_a_second_process_is_refused(study: Study, no_training: None) -> None:
    with (
        locked(study.folder / ".final.lock"),
        pytest.raises(UserError, match=r"^another process is writing .*final; wait for it, or choose another --out$"),
    ):
        deliver(study)


@pytest.mark.parametrize("error", [errno.EROFS, errno.EACCES])
def test_a_study_that_cannot_be_written_is_refused_before_training(
    study: Study, no_training: None, error: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*arguments: object, **options: object) -> None:
        raise OSError(error, os.strerror(error))

    message = (
        rf"^cannot write to .*one \({os.strerror(error)}\); make it writable, or copy it to a place where you can w"
    )
    monkeypatch.setattr(tempfile, "TemporaryFile", refuse)
    with pytest.raises(UserError, match=message):
        deliver(study)


def test_models_of_several_names_are_uploaded(
    delivered: Study, wandb_server: WandbServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WANDB_MODE", "disabled")
    deliver(delivered, "--out", "seed-5", "--set", "train.seed=5")
    assert delivered_models(delivered) == ["seed-5", "final"]
    assert load_delivered(delivered.folder / "seed-5")[1].train.seed == 5
    monkeypatch.setenv("WANDB_MODE", "online")
    printed: list[str] = []
    publish(delivered, printed.append)
    assert {"model final: uploading", "model seed-5: uploading"} <= set(printed)
    finals = [run for run in wandb_server.runs.values() if run.job_type == "final"]
    assert sorted(run.config["train"]["seed"] for run in finals) == [0, 5]
    aliases = [set(version.aliases) for name, version in wandb_server.artifacts.items() if name.startswith("model-")]
    assert sorted(map(sorted, aliases)) == [["best", "latest", "one"], ["seed-5"]]


def test_changed_files_are_not_uploaded(delivered: Study) -> None:
    path = delivered.folder / "final" / "epochs.csv"
    path.write_text(path.read_text().replace("0.5", "0.6", 1))
    with pytest.raises(UserError, match=r"epochs.csv: not the file that model.json was written for; restore the file"):
        FinalRun(delivered, "final").write("offline")
