"""Writing checkpoints beside the training: when, one at a time, and how failures are raised."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Callable, Collection
from concurrent.futures import wait
from pathlib import Path

import pytest
from helpers.clock import Clock, clock_of_checkpoints
from helpers.full_disk import full_disk

from leukemia.config.recipe import Recipe
from leukemia.training import checkpoint_writer
from leukemia.training.checkpoint import epochs_in
from leukemia.training.checkpoint_writer import BY_TIME, CheckpointSchedule, CheckpointWriter
from leukemia.training.snapshot import Snapshot

RECIPE = Recipe.from_flat({"train.epochs": 9}).resolved([(32, 32)])


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return clock_of_checkpoints(monkeypatch)


def snapshot_after(epoch: int) -> Snapshot:
    return Snapshot({"epochs": [{}] * epoch, "model": "w" * 100_000}, None)


def run_epochs(writer: CheckpointWriter, clock: Clock, ends: Collection[float]) -> list[int]:
    """Run epochs that end at these times; returns those after which the state was copied."""
    copied: list[int] = []
    for epoch, end in enumerate(ends, 1):
        clock.seconds = end

        def take(epoch: int = epoch) -> Snapshot:
            copied.append(epoch)
            return snapshot_after(epoch)

        writer.after_epoch(epoch, take)
    return copied


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [
        (BY_TIME, [3, 6, 9]),
        (CheckpointSchedule(epochs=(1, 5)), [1, 4, 5, 9]),
        (CheckpointSchedule(seconds=0), list(range(1, 10))),
        (CheckpointSchedule(seconds=1000), [9]),
    ],
)
def test_checkpoints_are_due_by_time_after_named_epochs_and_the_last_one(
    clock: Clock, tmp_path: Path, schedule: CheckpointSchedule, expected: list[int]
) -> None:
    written: list[int] = []
    clock.seconds = 500.0
    path = tmp_path / "fold_2.pt"
    schedule = dataclasses.replace(schedule, written=lambda: written.append(epochs_in(path, RECIPE, 2)))
    writer = CheckpointWriter(path, RECIPE, 2, schedule)
    # After the fit has begun; the last one ends too early.
    ends = [clock.seconds + seconds for seconds in (20, 59.9, 60, 80, 119.9, 121, 160, 179, 182)]
    run_epochs(writer, clock, ends)
    writer.close()
    assert written == expected


@pytest.mark.parametrize("epoch", [3, 9])
def test_named_epochs_and_the_last_one_are_written_before_they_are_reported(
    clock: Clock, tmp_path: Path, epoch: int
) -> None:
    stored: list[bool] = []
    schedule = CheckpointSchedule(epochs=[3], written=lambda: stored.append(True))
    writer = CheckpointWriter(tmp_path / "fold_0.pt", RECIPE, 0, schedule)
    writer.after_epoch(epoch, lambda: snapshot_after(epoch))
    assert epochs_in(tmp_path / "fold_0.pt", RECIPE, 0) == epoch
    assert stored == [True], "also what follows the writing has ended"
    writer.close()


@pytest.fixture
def held(monkeypatch: pytest.MonkeyPatch) -> tuple[list[str], threading.Event]:
    """What happens, and an event that each writing waits for."""
    happened, release = list[str](), threading.Event()
    save: Callable[..., None] = checkpoint_writer.save_checkpoint

    def save_later(*arguments: object) -> None:
        happened.append("begin")
        release.wait(60)
        save(*arguments)
        happened.append("end")

    monkeypatch.setattr(checkpoint_writer, "save_checkpoint", save_later)
    return happened, release


def test_a_second_checkpoint_is_copied_once_the_first_is_written(
    held: tuple[list[str], threading.Event], tmp_path: Path
) -> None:
    happened, release = held

    def take() -> Snapshot:
        happened.append("copy")
        return snapshot_after(1)

    writer = CheckpointWriter(tmp_path / "fold_0.pt", RECIPE, 0, CheckpointSchedule(seconds=0))
    writer.after_epoch(1, take)
    assert "end" not in happened, "the first epoch does not wait"
    threading.Timer(0.2, release.set).start()
    writer.after_epoch(2, take)
    writer.close()
    assert happened == ["copy", "begin", "end"] * 2


def test_a_full_disk_is_raised_at_the_end_of_a_later_epoch(tmp_path: Path) -> None:
    path = tmp_path / "fold_0.pt"
    writer = CheckpointWriter(path, RECIPE, 0, CheckpointSchedule(seconds=0))
    with full_disk(10_000):
        writer.after_epoch(1, lambda: snapshot_after(1))
        with pytest.raises(OSError, match="File too large"):
            writer.after_epoch(2, lambda: snapshot_after(2))
    # It was raised; nothing remains to be logged.
    writer.close()
    assert list(tmp_path.iterdir()) == []


def test_a_failure_is_raised_by_the_next_epoch_although_no_checkpoint_is_due(clock: Clock, tmp_path: Path) -> None:
    writer = CheckpointWriter(tmp_path / "fold_0.pt", RECIPE, 0, BY_TIME)
    clock.seconds = 60.0
    with full_disk(10_000):
        writer.after_epoch(1, lambda: snapshot_after(1))
        assert writer._writing is not None
        wait([writer._writing])
    with pytest.raises(OSError, match="File too large"):
        writer.after_epoch(2, lambda: pytest.fail("no checkpoint is due"))
    writer.close()


def test_what_a_killed_process_was_writing_is_removed(tmp_path: Path) -> None:
    kept = [tmp_path / name for name in ("fold_2.pt", ".fold_1.pt.01234567.tmp")]
    left = tmp_path / ".fold_2.pt.01234567.tmp"
    for path in (*kept, left):
        path.write_bytes(b"0")
    CheckpointWriter(tmp_path / "fold_2.pt", RECIPE, 2, BY_TIME).close()
    assert sorted(tmp_path.iterdir()) == sorted(kept)


def test_a_failure_after_the_end_of_a_fit_is_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "fold_0.pt"
    writer = CheckpointWriter(path, RECIPE, 0, CheckpointSchedule(seconds=0))
    with full_disk(10_000):
        writer.after_epoch(1, lambda: snapshot_after(1))
        writer.close()
    assert caplog.messages == [f"checkpoint {path} could not be written (File too large: {path})"]
