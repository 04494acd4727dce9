"""A search that is ended in order: workers store their last finished epochs first."""

from __future__ import annotations

import logging
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest
from helpers.command import Command
from helpers.searches import ONE_AT_A_TIME, RECIPE, ROOT
from helpers.worlds import epoch_of

from leukemia.study.job import Job
from search.cluster import end_notice, ray_private
from search.cluster.end_notice import EndNotice, answering
from search.policy.health import Rescheduled
from search.policy.task import Task

FIRST, SECOND = Task(Job(7, 2), 0), Task(Job(7, 2), 1)
EPOCH = epoch_of(0, 1, seed=2)


@pytest.fixture
def keys(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """The store of the head of a cluster."""
    found: set[str] = set()
    monkeypatch.setattr(ray_private, "put_key", found.add)
    monkeypatch.setattr(ray_private, "has_key", found.__contains__)
    monkeypatch.setattr(end_notice, "POLL_SECONDS", 0.01)
    monkeypatch.setattr(end_notice, "ANSWER_SECONDS", 30.0)
    return found


def test_the_driver_waits_until_every_worker_has_stored_its_epoch(keys: set[str]) -> None:
    notice, stored = EndNotice(), list[Task]()
    for task in (FIRST, SECOND):
        notice.note(task, EPOCH, goes_on=True)
    with (
        answering(notice.key, FIRST, lambda: stored.append(FIRST)),
        answering(notice.key, SECOND, lambda: time.sleep(0.1) or stored.append(SECOND)),  # type: ignore[func-returns-value]
    ):
        time.sleep(0.05)
        assert stored == [], "without a notice nothing is stored"
        notice.give()
        assert set(stored) == {FIRST, SECOND}
    # Another search on this cluster.
    assert keys == {notice.key, f"{notice.key}/7-2-0", f"{notice.key}/7-2-1"}
    assert EndNotice().key not in keys


def test_only_tasks_in_the_middle_of_a_fold_are_waited_for(keys: set[str]) -> None:
    notice = EndNotice()
    notice.give()
    notice.note(FIRST, EPOCH, goes_on=False)
    notice.give()
    notice.note(FIRST, EPOCH, goes_on=True)
    notice.note(FIRST, Rescheduled(message="disk full"), goes_on=False)
    notice.give()
    notice.note(FIRST, EPOCH, goes_on=True)
    notice.forget(FIRST)
    notice.give()
    assert keys == set()


def test_a_worker_that_does_not_answer_is_not_awaited_for_long(
    keys: set[str], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(end_notice, "ANSWER_SECONDS", 0.05)
    notice = EndNotice()
    notice.note(FIRST, EPOCH, goes_on=True)
    with caplog.at_level(logging.INFO):
        notice.give()
    assert caplog.messages == ["trial 0007, fold 1: its last epoch was not stored in time"]


def test_a_head_that_is_gone_does_not_keep_the_search_from_ending(monkeypatch: pytest.MonkeyPatch) -> None:
    def gone(key: str) -> bool:
        raise ConnectionError("no head")

    monkeypatch.setattr(ray_private, "put_key", gone)
    notice = EndNotice()
    notice.note(FIRST, EPOCH, goes_on=True)
    notice.give()


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path
    # The last search has ended; nothing of it may be left in the cache.
    assert not list((tmp_path / "cache" / "checkpoints").glob("*"))


def search(folder: Path, *arguments: str) -> Command:
    environment = {name: value for name, value in os.environ.items() if name not in ("WANDB_API_KEY", "COLUMNS")}
    return Command(
        "search.run",
        [*arguments, *ONE_AT_A_TIME],
        folder,
        environment
        | {
            "LEUKEMIA_CACHE": str(folder / "cache"),
            "WANDB_MODE": "disabled",
            "RAY_ADDRESS": "local",
            "PYTHONPATH": str(ROOT),
        },
    )


@pytest.mark.slow
def test_no_finished_epoch_is_trained_again_after_an_orderly_end(folder: Path, tiny_folder: Path) -> None:
    study = folder / "runs" / "ended"
    epochs = study / "trials" / "0000" / "epochs.csv"

    def num_epochs() -> int:
        return len(epochs.read_text().splitlines()) - 1 if epochs.exists() else 0

    settings = [
        f"--set={key}={value}" for key, value in (RECIPE | {"train.epochs": 5, "model.shortcut": "add"}).items()
    ]
    shape = ["--trials=1", "--folds=2", "--repeats=0", *settings]
    command = search(folder, "--data", str(tiny_folder), "--study", "ended", *shape)
    command.wait_until(lambda: num_epochs() >= 2)
    command.process.send_signal(signal.SIGTERM)
    assert command.wait() == 130
    before = num_epochs()
    assert 2 <= before < 5, "within a fold"
    assert search(folder, "--resume", "--study", "ended").wait() == 0
    rows = pd.read_csv(epochs)
    assert list(rows["epoch"]) == [*range(1, 6)] * 2
    assert not (study / "trials" / "0000" / "repeated.csv").exists()
