"""The trainable: its reports, its checkpoints, and how it ends."""

from __future__ import annotations

import dataclasses
import io
import logging
import os
import re
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import numpy as np
import pytest
import ray
import torch
from helpers.clock import clock_of_checkpoints
from helpers.full_disk import full_disk
from rich.console import Console

from leukemia.config.recipe import Recipe
from leukemia.config.results import Epoch, FoldResult
from leukemia.config.sections import Train
from leukemia.study.job import Job
from leukemia.study.layout import LOG
from leukemia.training import device, train
from leukemia.training.checkpoint import epochs_in, save_checkpoint
from search.cluster import trainable
from search.cluster.disks import Disks
from search.cluster.fleet import Fleet
from search.cluster.nodes import Nodes
from search.cluster.resources import Resources
from search.cluster.trainable import NOTES, REPORT, EndWorker, TrialData, checkpoints_of, run_trial
from search.cluster.tune_config import Placement, config_of
from search.cluster.tuner import _FleetCallback
from search.policy.health import Rescheduled
from search.policy.task import Task
from search.storage import checkpoints as checkpoints_module
from search.storage.address import KEYS, keys_of
from search.storage.checkpoints import Checkpoints, folder_of
from search.storage.filesystem import Storage, StorageFailed, open_storage
from search.trials.assignment import Assignment, Failure
from search.trials.study_log import study_log


@pytest.fixture
def reports(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What a trainable reports, received instead of Tune."""
    received: list[Any] = []
    monkeypatch.setattr(ray.tune, "report", lambda result: received.append(result[REPORT]))
    return received


@pytest.fixture
def data(tiny_images: Any, tmp_path: Path) -> TrialData:
    np.save(tmp_path / "images.npy", tiny_images.images)
    rows = np.arange(len(tiny_images.labels))
    return TrialData(
        images=tmp_path / "images.npy",
        labels=tiny_images.labels,
        folds=[(rows[:24], rows[24:]), (rows[24:], rows[:24])],
        checkpoints=tmp_path / "checkpoints",
    )


# AdamW has half of Ranger21's state: writing checkpoints takes much of the time of these tests.
RECIPE = (
    Recipe(train=Train(epochs=1, batch_size=8))
    .with_settings({"optimizer.name": "adamw", "evaluate.tta": "none"})
    .resolved([(32, 32)])
)
ONE_CPU = Resources(device="cpu", cpus=1, gpus=0.0, concurrent=1)


def assignment(recipe: Recipe = RECIPE, fold: int = 0) -> Assignment:
    return Assignment(task=Task(Job(7, recipe.train.seed), fold), recipe=recipe)


def run_folds(data: TrialData, recipe: Recipe = RECIPE) -> None:
    """All folds of a trial, one after the other."""
    for fold in range(len(data.folds)):
        run_trial(assignment(recipe, fold), data, ONE_CPU)


def checkpoints_in(folder: Path) -> list[str]:
    """Names of the checkpoints, whole or not, that a folder contains."""
    return [path.name for path in folder.rglob("*.pt*")]


def test_a_fold_is_reported_with_its_epochs_and_leaves_no_checkpoint(reports: list[Any], data: TrialData) -> None:
    run_folds(data)
    assert [type(report) for report in reports] == [Epoch, FoldResult, Epoch, FoldResult]
    assert [report.fold for report in reports] == [0, 0, 1, 1]
    assert checkpoints_in(data.checkpoints) == []


@pytest.fixture
def threads() -> Iterator[None]:
    """Restore torch's threads."""
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def test_the_studys_threads_give_the_same_numbers_on_any_number_of_cpus(
    reports: list[Any], data: TrialData, threads: None
) -> None:
    rows, found = np.arange(16), []
    data = dataclasses.replace(data, folds=[(rows[:8], rows[8:])])
    # Ray starts a worker with as many threads as it has reserved CPUs, unless OMP_NUM_THREADS is set.
    for cpus, at_start in ((1, 1), (2, 2)):
        torch.set_num_threads(at_start)
        run_trial(assignment(), data, dataclasses.replace(ONE_CPU, cpus=cpus, cpu_threads=2))
        assert torch.get_num_threads() == 2
        losses = [report.train_loss for report in reports if isinstance(report, Epoch)]
        found.append((losses, [report.probabilities.tolist() for report in reports if isinstance(report, FoldResult)]))
        reports.clear()
    assert found[0] == found[1]


def test_the_end_of_a_fold_removes_its_own_checkpoint_only(monkeypatch: pytest.MonkeyPatch, data: TrialData) -> None:
    """Other folds of the trial may be trained at the same time, or wait."""
    write_checkpoint(data.checkpoints / "0007-0" / "seed_0" / "fold_0.pt", RECIPE, 1)
    kept: list[list[str]] = []
    monkeypatch.setattr(ray.tune, "report", lambda result: kept.append(sorted(checkpoints_in(data.checkpoints))))
    run_trial(assignment(fold=1), data, ONE_CPU)
    assert kept == [["fold_0.pt", "fold_1.pt"]] * 2
    assert checkpoints_in(data.checkpoints) == ["fold_0.pt"]


def test_a_trial_and_its_repeat_keep_checkpoints_apart(monkeypatch: pytest.MonkeyPatch, data: TrialData) -> None:
    """They may run at the same time: the end of one must not remove the other's."""
    folders: list[Path] = []
    monkeypatch.setattr(
        trainable, "cross_validate", lambda *_, checkpoints, **__: iter(folders.append(checkpoints) or ())
    )
    for seed in (0, 1):
        recipe = RECIPE.with_settings({"train.seed": seed})
        run_trial(assignment(recipe), data, ONE_CPU)
    assert [folder.name for folder in folders] == ["0007-0", "0007-1"]


def test_a_diverging_trial_reports_message_location_and_traceback(
    reports: list[Any], data: TrialData, monkeypatch: pytest.MonkeyPatch
) -> None:
    loss = torch.nn.functional.cross_entropy
    monkeypatch.setattr(torch.nn.functional, "cross_entropy", lambda *args, **kwargs: loss(*args, **kwargs) * np.inf)
    run_trial(assignment(), data, ONE_CPU)
    (failure,) = reports
    assert failure.message.startswith("NonFiniteLoss: non-finite")
    assert "at fold 1, epoch 1, step 1" in failure.message
    assert "lower optimizer.learning_rate (train.py, line" in failure.message
    assert failure.traceback.startswith("Traceback (most recent call last):\n")
    assert "in run_trial" in failure.traceback
    assert failure.traceback.splitlines()[-1].endswith(failure.message.partition(" (train.py")[0])


@pytest.fixture
def node_a(monkeypatch: pytest.MonkeyPatch) -> None:
    """The node that the trainable runs on."""
    monkeypatch.setattr(ray, "get_runtime_context", lambda: SimpleNamespace(get_node_id=lambda: "a"))
    monkeypatch.setattr(ray.util, "get_node_ip_address", lambda: "10.0.0.7")


def rescheduled(reports: list[Any], data: TrialData, recipe: Recipe = RECIPE) -> Rescheduled:
    """Run a trial that a fault of its machine ends; returns its last report."""
    with pytest.raises(EndWorker):
        run_trial(assignment(recipe), data, ONE_CPU)
    report = reports[-1]
    assert isinstance(report, Rescheduled)
    assert (report.node_id, report.node) == ("a", "10.0.0.7")
    assert not report.may_repeat, "neither a failure of the trial nor suspected of being one"
    return report


@pytest.mark.usefixtures("node_a")
def test_a_full_disk_reschedules_a_trial_which_then_continues(reports: list[Any], data: TrialData) -> None:
    with full_disk(1_000_000):
        report = rescheduled(reports, data)
    path = data.checkpoints / "0007-0" / "seed_0" / "fold_0.pt"
    assert report.message == f"File too large: {path}"
    assert str(report.traceback).splitlines()[-1] == f"OSError: [Errno 27] File too large: '{path}'"
    assert not list(path.parent.iterdir())


@pytest.mark.usefixtures("node_a")
@pytest.mark.parametrize(
    ("error", "message"),
    [
        (MemoryError("cannot allocate 3 GB"), "out of memory (cannot allocate 3 GB)"),
        (PermissionError(13, "Permission denied", "/cache"), "Permission denied: /cache"),
        (RuntimeError("DataLoader worker (pid 7) is killed by signal: Bus error."), "DataLoader worker .*"),
        (RuntimeError("can't start new thread"), "can't start new thread"),
    ],
)
def test_other_faults_of_the_machine_reschedule_a_trial(
    reports: list[Any], data: TrialData, monkeypatch: pytest.MonkeyPatch, error: Exception, message: str
) -> None:
    def failing(*arguments: Any, **settings: Any) -> Iterator[Any]:
        raise error
        yield

    monkeypatch.setattr(trainable, "cross_validate", failing)
    kept = data.checkpoints / "0007-0" / "seed_0" / "other"
    kept.mkdir(parents=True)
    report = rescheduled(reports, data)
    assert report.message == message or re.fullmatch(message, report.message)
    assert kept.exists(), "the trial continues from its checkpoints"


@pytest.mark.usefixtures("node_a")
@pytest.mark.parametrize("damage", ["deleted", "truncated", "empty"])
def test_missing_or_damaged_images_reschedule_a_trial(reports: list[Any], data: TrialData, damage: str) -> None:
    assert isinstance(data.images, Path)
    content = data.images.read_bytes()
    data.images.unlink()
    if damage != "deleted":
        data.images.write_bytes(content[:-100] if damage == "truncated" else b"")
    message = rescheduled(reports, data).message
    assert re.match({"deleted": "No such file or directory: .*"}.get(damage, ".*images.npy is damaged "), message)


def test_an_internal_error_becomes_a_report_not_an_exception(
    reports: list[Any], data: TrialData, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(*arguments: Any, **settings: Any) -> Iterator[Any]:
        secret = "wandb-key"
        yield secret
        raise ValueError("internal bug")

    monkeypatch.setattr(trainable, "cross_validate", failing)
    (data.checkpoints / "0007-0" / "seed_0").mkdir(parents=True)
    run_trial(assignment(), data, ONE_CPU)
    assert reports[0] == "wandb-key"
    assert isinstance(reports[1], Failure)
    assert reports[1].message.startswith("ValueError: internal bug (test_trainable.py, line ")
    assert str(reports[1].traceback).splitlines()[-1] == "ValueError: internal bug"
    assert "wandb-key" not in str(reports[1].traceback), "no values of variables"
    assert checkpoints_in(data.checkpoints) == []


@pytest.mark.usefixtures("node_a")
def test_missing_or_other_pretrained_weights_on_a_machine_reschedule_a_trial(
    reports: list[Any], data: TrialData, tmp_path: Path
) -> None:
    weights = tmp_path / "resnet18.pt"
    weights.write_bytes(b"the study's")
    recipe = RECIPE.with_settings({"model.pretrained": str(weights)}).resolved([(32, 32)])
    weights.write_bytes(b"other weights")
    assert re.match(
        r"model.pretrained: .* but this recipe was run with .*; restore", rescheduled(reports, data, recipe).message
    )
    weights.unlink()
    assert rescheduled(reports, data, recipe).message.startswith(f"model.pretrained: no file at {weights}")


@pytest.mark.usefixtures("node_a")
def test_a_precision_that_a_device_lacks_reschedules_a_trial(
    reports: list[Any], data: TrialData, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(device, "_has_bfloat16", lambda _: False)
    message = rescheduled(reports, data, RECIPE.with_settings({"train.precision": "bfloat16"})).message
    assert message.startswith("train.precision: no native bfloat16 on cpu")


def test_characters_that_utf_8_cannot_encode_are_escaped_in_a_traceback(
    reports: list[Any], data: TrialData, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(*arguments: Any, **settings: Any) -> Iterator[Any]:
        raise ValueError("no \udcff.bmp")
        yield

    monkeypatch.setattr(trainable, "cross_validate", failing)
    run_trial(assignment(), data, ONE_CPU)
    assert reports[0].traceback.endswith("ValueError: no \\udcff.bmp\n")


LONGER = RECIPE.with_settings({"train.epochs": 3})


@pytest.fixture
def stored(data: TrialData, tmp_path: Path) -> TrialData:
    """The same data, and a storage that contains the study."""
    study = open_storage(str(tmp_path / "storage"))
    study.write(b"{}", "study.json")
    return dataclasses.replace(data, storage=study.uri)


def without_times(reports: list[Any]) -> list[Any]:
    """What must be bit-identical; epochs are reported again on resuming, and counted once."""
    plain = []
    for report in reports:
        values = {name: value for name, value in vars(report).items() if name not in ("seconds", "images_per_second")}
        values = {name: value.tolist() if isinstance(value, np.ndarray) else value for name, value in values.items()}
        if values not in plain:
            plain.append(values)
    return plain


class MachineCrashed(BaseException):
    """Stands for a crash of the worker's machine."""


def test_another_worker_resumes_bit_identically_from_the_last_checkpoint(
    data: TrialData, stored: TrialData, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, reports: list[Any]
) -> None:
    run_folds(data, LONGER)
    uninterrupted, first, second = list(reports), list[Any](), list[Any]()
    study, clock = open_storage(str(stored.storage)), clock_of_checkpoints(monkeypatch)

    def num_stored() -> int:
        """Epochs of the first fold in the storage."""
        assert study.fetch(f"checkpoints/{folder_of(Job(7, 0), LONGER)}/seed_0/fold_0.pt", tmp_path / "seen.pt")
        return epochs_in(tmp_path / "seen.pt", LONGER, 0)

    def until_the_second_epoch(result: dict[str, Any]) -> None:
        first.append(result[REPORT])
        if len(first) == 2:
            raise MachineCrashed

    trained, run_epoch = list[int](), train._Fit.run_epoch

    def one_minute_for_the_first(self: train._Fit, epoch: int) -> Epoch:
        trained.append(epoch)
        clock.seconds += 60.0 if epoch == 1 else 0.0
        return run_epoch(self, epoch)

    monkeypatch.setattr(train._Fit, "run_epoch", one_minute_for_the_first)
    monkeypatch.setattr(ray.tune, "report", until_the_second_epoch)
    with pytest.raises(MachineCrashed):
        run_trial(assignment(LONGER), stored, ONE_CPU)
    assert num_stored() == 1
    trained.clear()

    def ending_with_the_checkpoint(result: dict[str, Any]) -> None:
        second.append(result[REPORT])
        # The last epoch of a fold is reported once its checkpoint is stored.
        if (second[-1].fold, getattr(second[-1], "epoch", None)) == (0, 3):
            assert num_stored() == 3

    monkeypatch.setattr(ray.tune, "report", ending_with_the_checkpoint)
    run_folds(dataclasses.replace(stored, checkpoints=tmp_path / "other disk"), LONGER)
    assert trained == [2, 3, 1, 2, 3], "the epochs after the checkpoint of fold 0, then fold 1"
    assert [report.epoch for report in second if isinstance(report, Epoch)] == [1, 2, 3, 1, 2, 3]
    assert without_times([*first, *second]) == without_times(uninterrupted)
    assert checkpoints_in(tmp_path / "other disk") == []


def test_a_fold_that_waits_resumes_bit_identically_after_its_rung(
    data: TrialData, monkeypatch: pytest.MonkeyPatch, reports: list[Any]
) -> None:
    """The report of a rung may end the task, as Tune does it: its checkpoint is there before, and stays."""
    run_trial(assignment(LONGER), data, ONE_CPU)
    uninterrupted, parts = list(reports), list[Any]()
    path = data.checkpoints / "0007-0" / "seed_0" / "fold_0.pt"

    def stop_at_the_rung(result: dict[str, Any]) -> None:
        parts.append(result[REPORT])
        if len(parts) == 2:
            assert epochs_in(path, LONGER, 0) == 2
            raise SystemExit

    monkeypatch.setattr(ray.tune, "report", stop_at_the_rung)
    waiting = dataclasses.replace(assignment(LONGER), stops=(2,))
    with pytest.raises(SystemExit):
        run_trial(waiting, data, ONE_CPU)
    assert epochs_in(path, LONGER, 0) == 2
    run_trial(waiting, data, ONE_CPU)
    assert [report.epoch for report in parts if isinstance(report, Epoch)] == [1, 2, 1, 2, 3]
    assert without_times(parts) == without_times(uninterrupted)
    assert checkpoints_in(data.checkpoints) == []


def checkpoints_at(folder: Path, data: TrialData) -> Checkpoints:
    """The checkpoints of fold 0 on a worker's disk."""
    return Checkpoints(folder, LONGER, job=Job(7, 0), fold=0, study=str(data.storage))


def test_a_checkpoint_that_was_not_uploaded_is_uploaded_by_the_next_process(stored: TrialData, tmp_path: Path) -> None:
    checkpoints = checkpoints_at(tmp_path / "here", stored)
    write_checkpoint(checkpoints.local / "seed_0" / "fold_0.pt", LONGER, 2)
    write_checkpoint(checkpoints.local / "seed_0" / "fold_1.pt", LONGER, 1, fold=1)
    checkpoints.fetch()
    (copy,) = tmp_path.glob("storage/checkpoints/*/seed_0/*.pt")
    assert epochs_in(copy, LONGER, 0) == 2
    before = copy.stat().st_mtime_ns
    checkpoints.fetch()
    assert copy.stat().st_mtime_ns == before, "the storage has it"


def test_of_two_checkpoints_the_further_one_is_used(stored: TrialData, tmp_path: Path) -> None:
    """A trial may return to a machine with an old checkpoint of it."""
    old, new = [checkpoints_at(tmp_path / name, stored) for name in ("old", "new")]
    for checkpoints, epochs in ((old, 1), (new, 2)):
        write_checkpoint(checkpoints.local / "seed_0" / "fold_0.pt", LONGER, epochs)
    for checkpoints in (old, new):
        checkpoints.fetch()
        checkpoints.store()
    old.fetch()
    assert epochs_in(old.local / "seed_0" / "fold_0.pt", LONGER, 0) == 2
    write_checkpoint(old.local / "seed_0" / "fold_0.pt", LONGER, 3)
    old.fetch()
    assert epochs_in(old.local / "seed_0" / "fold_0.pt", LONGER, 0) == 3
    assert [path.name for path in old.local.rglob("*.pt*")] == ["fold_0.pt"]


@pytest.mark.parametrize("damaged", ["disk", "storage"])
def test_of_a_damaged_and_an_intact_checkpoint_the_intact_one_is_used(
    stored: TrialData, tmp_path: Path, damaged: str, caplog: pytest.LogCaptureFixture
) -> None:
    checkpoints = checkpoints_at(tmp_path / "here", stored)
    path = checkpoints.local / "seed_0" / "fold_0.pt"
    write_checkpoint(path, LONGER, 2)
    checkpoints.fetch()
    checkpoints.store()
    (copy,) = tmp_path.glob("storage/checkpoints/*/seed_0/fold_0.pt")
    wrong = {"disk": path, "storage": copy}[damaged]
    content = bytearray(wrong.read_bytes())
    content[len(content) // 2] ^= 1
    wrong.write_bytes(content)
    checkpoints.fetch()
    assert epochs_in(path, LONGER, 0) == 2
    expected = {
        "disk": f"checkpoint {path} is damaged or of another recipe; it is removed and not used",
        "storage": "has a checkpoint seed_0/fold_0.pt that is damaged or of another recipe; it is not used",
    }
    assert [message.endswith(expected[damaged]) for message in caplog.messages] == [True]


def write_checkpoint(path: Path, recipe: Recipe, epochs: int, fold: int = 0) -> None:
    save_checkpoint(path, recipe, fold, {"epochs": [{}] * epochs})


@pytest.mark.parametrize("where", ["disk", "storage"])
def test_a_checkpoint_of_another_recipe_does_not_fail_the_trial(
    stored: TrialData, reports: list[Any], where: str
) -> None:
    """A head that was lost had assigned the trial's number to another recipe."""
    other = LONGER.with_settings({"augment.rotate": 0.25})
    if where == "disk":
        write_checkpoint(stored.checkpoints / "0007-0" / "seed_0" / "fold_0.pt", other, 1)
    else:
        folder = open_storage(str(stored.storage)).folder(f"checkpoints/{folder_of(Job(7, 0), RECIPE)}")
        write_checkpoint(stored.checkpoints / "foreign.pt", other, 1)
        folder.put(stored.checkpoints / "foreign.pt", "seed_0/fold_0.pt")
    run_trial(assignment(), stored, ONE_CPU)
    assert [type(report) for report in reports] == [Epoch, FoldResult]


def test_a_failing_storage_causes_one_warning_and_the_trial_continues(
    stored: TrialData, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checkpoints_module, "PAUSES", (0.0, 0.0))
    attempts, results = list[str](), list[dict[str, Any]]()
    put = Storage.put

    def failing(self: Storage, local: Path, name: str) -> None:
        attempts.append(name)
        if len(attempts) <= 4:
            raise StorageFailed("no route")
        put(self, local, name)

    monkeypatch.setattr(Storage, "put", failing)
    monkeypatch.setattr(ray.tune, "report", lambda result: results.append(result))
    run_trial(assignment(LONGER), dataclasses.replace(stored, checkpoint_seconds=0.0), ONE_CPU)
    assert isinstance(results[-1][REPORT], FoldResult)
    notes = [note for result in results for note in result[NOTES]]
    storage = f"trial 0007 seed 0: storage {str(stored.storage).partition('?')[0]}"
    assert notes == [
        f"{storage} did not accept the checkpoint of fold 1; if the machine crashes, the fold is repeated (no route)",
        f"{storage} accepts checkpoints again, starting with fold 1",
    ]
    # Three attempts at the first epoch's checkpoint, then one at each.
    assert len(attempts) == 3 + 1 + 1


def test_an_unshared_folder_causes_a_warning(data: TrialData, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    results: list[dict[str, Any]] = []
    monkeypatch.setattr(ray.tune, "report", lambda result: results.append(result))
    run_trial(assignment(), dataclasses.replace(data, storage=str(tmp_path / "not shared")), ONE_CPU)
    (note,) = [note for result in results for note in result[NOTES]]
    assert "not shared does not contain the study when opened on " in note
    assert not (tmp_path / "not shared").exists()


def test_warnings_are_sent_once_with_the_next_report(data: TrialData, monkeypatch: pytest.MonkeyPatch) -> None:
    results: list[dict[str, Any]] = []

    def warning(*arguments: Any, **settings: Any) -> Iterator[Any]:
        for word in ("first", "second"):
            logging.getLogger("leukemia.training.train").warning("loss is high")
            logging.getLogger("leukemia.training.train").info("all is well")
            yield word
        logging.getLogger("leukemia.data.images").warning("memory is low")
        raise ValueError("internal bug")

    monkeypatch.setattr(trainable, "cross_validate", warning)
    monkeypatch.setattr(ray.tune, "report", lambda result: results.append(result))
    run_trial(assignment(), data, ONE_CPU)
    assert [result[NOTES] for result in results] == [
        ["trial 0007 seed 0: loss is high"],
        [],
        ["trial 0007 seed 0: memory is low"],
    ]
    assert results[2][REPORT].message.startswith("ValueError: internal bug")
    assert not logging.getLogger("leukemia").handlers


def test_warnings_of_a_trial_reach_the_log_of_the_study(
    data: TrialData, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    results: list[dict[str, Any]] = []
    monkeypatch.setattr(ray.tune, "report", lambda result: results.append(result))
    damaged = checkpoints_of(data, Job(7, 0)) / "seed_0" / "fold_1.pt"
    damaged.parent.mkdir(parents=True)
    damaged.write_bytes(b"damaged")
    run_trial(assignment(fold=1), data, ONE_CPU)
    again = [dict(result) for result in results]
    shown = io.StringIO()
    with study_log(tmp_path, Console(file=shown, width=40)):
        fleet, disks = Fleet(ONE_CPU, lambda: Nodes(now=())), Disks(data.checkpoints, tmp_path / "mark")
        callback: Any = _FleetCallback(fleet, disks, lambda task: None, list)
        # After a crash a worker may warn of the same again.
        for result in [*results, *again]:
            callback.on_trial_result(
                0, [], SimpleNamespace(config=config_of(assignment(), Placement(cpus=1, gpus=0.0))), result
            )
    line = f"trial 0007 seed 0: checkpoint {damaged} is damaged or of another recipe; it is removed and not used"
    assert shown.getvalue() == f"warning: {line}\n"
    assert (tmp_path / LOG).read_text().endswith(f"Z WARNING {line}\n")


@pytest.mark.parametrize("own", [{}, {"AWS_ACCESS_KEY_ID": "own", "AWS_SESSION_TOKEN": "own"}])
def test_a_node_uses_the_given_credentials_only_if_it_has_none(
    data: TrialData, reports: list[Any], own: dict[str, str]
) -> None:
    given = {"AWS_ACCESS_KEY_ID": "id", "AWS_SECRET_ACCESS_KEY": "secret"}
    data = dataclasses.replace(data, keys=given)
    assert "secret" not in repr(data)
    with patch.dict(os.environ):
        for name in KEYS:
            os.environ.pop(name, None)
        os.environ |= own
        run_trial(assignment(), dataclasses.replace(data, folds=[]), ONE_CPU)
        assert {name: os.environ[name] for name in KEYS if name in os.environ} == (own or given)


def test_only_s3_needs_the_keys_of_aws(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "id")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.delenv("AWS_SESSION_TOKEN", raising=False)
    assert keys_of("s3://bucket/folder") == {"AWS_ACCESS_KEY_ID": "id", "AWS_SECRET_ACCESS_KEY": "secret"}
    assert keys_of("gs://bucket/folder") == keys_of("/folder") == keys_of(None) == {}


@pytest.mark.parametrize(("pipeline", "expected"), [("batch", 0), ("reference", 3)])
def test_a_gpu_gets_loader_processes_where_they_load(
    pipeline: str, expected: int, data: TrialData, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []
    monkeypatch.setattr(trainable, "compute_dtype", lambda *arguments: None)
    monkeypatch.setattr(
        trainable, "cross_validate", lambda *arguments, num_workers, **options: asked.append(num_workers) or []
    )
    gpu = Resources(device="cuda", cpus=4, gpus=1.0, concurrent=1)
    run_trial(assignment(RECIPE.with_settings({"train.pipeline": pipeline})), data, gpu)
    assert asked == [expected]
