"""The last finished epoch is stored when a fit is ended in the middle of the next one."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from helpers.cells import TinyImages
from helpers.clock import Clock, clock_of_checkpoints
from helpers.full_disk import full_disk

from leukemia.config.recipe import Recipe
from leukemia.training import checkpoint_writer, train
from leukemia.training.checkpoint import epochs_in
from leukemia.training.checkpoint_writer import BY_TIME, CheckpointSchedule, CheckpointWriter
from leukemia.training.snapshot import Snapshot
from leukemia.training.train import Split, fit

RECIPE = Recipe.from_flat(
    {
        "model.depth": 18,
        "optimizer.name": "adamw",
        "train.epochs": 4,
        "train.batch_size": 12,
        "train.precision": "float32",
    }
).resolved([(32, 32)])
CPU = torch.device("cpu")


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return clock_of_checkpoints(monkeypatch)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "fold_0.pt"


@pytest.fixture
def writer(clock: Clock, path: Path) -> Iterator[CheckpointWriter]:
    """Of a fit of 4 epochs."""
    with CheckpointWriter(path, RECIPE, 0, BY_TIME) as writer:
        yield writer


def snapshot_after(epoch: int) -> Snapshot:
    return Snapshot({"epochs": [{}] * epoch, "model": "w"}, None)


def finish(writer: CheckpointWriter, clock: Clock, epoch: int, seconds: float, copy_seconds: float = 0.0) -> bool:
    """Finish an epoch at a time; returns whether the state was copied."""
    clock.seconds, copied = seconds, list[int]()

    def take() -> Snapshot:
        clock.seconds += copy_seconds
        copied.append(epoch)
        return snapshot_after(epoch)

    writer.after_epoch(epoch, take)
    return bool(copied)


@pytest.mark.parametrize(
    ("copy_seconds", "ends", "expected"),
    [(0.0, (0.1, 0.9, 1.1), [True, False, True]), (1.0, (0.1, 21.0, 21.2), [True, False, True])],
)
def test_copying_takes_at_most_a_twentieth_of_the_training(
    copy_seconds: float, ends: tuple[float, ...], expected: list[bool], writer: CheckpointWriter, clock: Clock
) -> None:
    assert [finish(writer, clock, epoch, end, copy_seconds) for epoch, end in enumerate(ends, 1)] == expected


def test_an_epoch_that_was_copied_is_stored_at_once(writer: CheckpointWriter, clock: Clock, path: Path) -> None:
    assert finish(writer, clock, 1, 20)
    writer.store_last()
    assert epochs_in(path, RECIPE, 0) == 1
    # Epochs that end before the process does are stored as well.
    finish(writer, clock, 2, 21)
    assert epochs_in(path, RECIPE, 0) == 2


def test_nothing_is_stored_before_the_first_epoch(writer: CheckpointWriter, path: Path) -> None:
    writer.store_last()
    assert not path.exists()


def test_of_short_epochs_the_running_one_is_awaited(writer: CheckpointWriter, clock: Clock, path: Path) -> None:
    assert finish(writer, clock, 1, 4)
    assert not finish(writer, clock, 2, 4.5)
    writer.before_epoch()
    storing = threading.Thread(target=writer.store_last)
    storing.start()
    while not writer._is_ending:
        time.sleep(0.01)
    assert finish(writer, clock, 3, 5)
    storing.join(60)
    assert not storing.is_alive()
    assert epochs_in(path, RECIPE, 0) == 3


@pytest.mark.parametrize("how", ["notice", "interrupt"])
def test_an_epoch_whose_report_is_not_received_any_more_is_copied_now(
    how: str, writer: CheckpointWriter, clock: Clock, path: Path
) -> None:
    """The caller ends the search, and never asks for the next epoch."""
    assert finish(writer, clock, 1, 4)
    writer.before_epoch()
    assert not finish(writer, clock, 2, 4.5)
    if how == "notice":
        writer.store_last()
    else:
        writer.close(is_interrupted=True)
    assert epochs_in(path, RECIPE, 0) == 2


def test_an_epoch_that_takes_longer_than_expected_is_not_awaited_for_long(
    writer: CheckpointWriter, clock: Clock, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checkpoint_writer, "LAST_SECONDS", 0.05)
    assert finish(writer, clock, 1, 10)
    assert not finish(writer, clock, 2, 10.5)
    writer.before_epoch()
    writer.store_last()
    assert epochs_in(path, RECIPE, 0) == 1


def test_nobody_waits_for_a_fit_that_has_ended(clock: Clock, path: Path) -> None:
    writer = CheckpointWriter(path, RECIPE, 0, BY_TIME)
    assert [finish(writer, clock, 1, 4), finish(writer, clock, 2, 4.5)] == [True, False]
    writer.close()
    writer.store_last()
    assert not path.exists()


def test_there_is_one_copy_at_most(clock: Clock, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    release, save = threading.Event(), checkpoint_writer.save_checkpoint

    def save_later(*arguments: Any) -> None:
        release.wait(60)
        save(*arguments)

    monkeypatch.setattr(checkpoint_writer, "save_checkpoint", save_later)
    with CheckpointWriter(path, RECIPE, 0, BY_TIME) as writer:
        assert [finish(writer, clock, 1, 60), finish(writer, clock, 2, 80)] == [True, False], "one is being written"
        release.set()


def test_a_full_disk_at_the_end_is_logged(
    writer: CheckpointWriter, clock: Clock, path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    finish(writer, clock, 1, 20)
    with full_disk(10):
        writer.store_last()
    assert caplog.messages == [f"checkpoint {path} could not be written (File too large: {path})"]


@pytest.mark.parametrize("how", ["notice", "interrupt"])
def test_a_fit_that_is_ended_in_the_middle_of_an_epoch_repeats_that_one_only(
    how: str, tiny_images: TinyImages, path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    split = Split(
        images=tiny_images.images, labels=tiny_images.labels, training=np.arange(24), validation=np.arange(24, 32)
    )
    whole = [epoch.train_loss for epoch in fit(RECIPE, split, fold=0, device=CPU)]
    writers: list[CheckpointWriter] = []
    trained: list[int] = []
    run_epoch, step = train._Fit.run_epoch, train._Fit._step

    def run(self: Any, epoch: int) -> Any:
        trained.append(epoch)
        result = run_epoch(self, epoch)
        clock.seconds += 20
        return result

    def end(self: Any, epoch: int, number: int) -> None:
        step(self, epoch, number)
        if (epoch, number) == (3, 1):
            if how == "interrupt":
                raise KeyboardInterrupt
            storing = threading.Thread(target=writers[0].store_last)
            storing.start()
            storing.join()
            raise SystemExit

    monkeypatch.setattr(train._Fit, "run_epoch", run)
    with monkeypatch.context() as patch:
        patch.setattr(train._Fit, "_step", end)
        schedule = CheckpointSchedule(begun=writers.append)
        with pytest.raises(KeyboardInterrupt if how == "interrupt" else SystemExit):
            list(fit(RECIPE, split, fold=0, device=CPU, checkpoint=path, schedule=schedule))
    assert epochs_in(path, RECIPE, 0) == 2
    trained.clear()
    assert [epoch.train_loss for epoch in fit(RECIPE, split, fold=0, device=CPU, checkpoint=path)] == whole
    assert trained == [3, 4]
