"""Work in threads: every item once, the first error, and nothing begun after it."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest

from leukemia.base import threads
from leukemia.base.threads import completed


def test_results_come_in_the_order_of_completion(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threads, "available_cpus", lambda: 2)
    second = threading.Event()

    def work(item: int) -> int:
        if item == 0:
            assert second.wait(timeout=60)
        return 10 * item

    results = completed(work, range(4), "working")
    found = []
    for result in results:
        found.append(result)
        second.set()
    # Any of those that the other thread has completed by then.
    assert found[0] in [(1, 10), (2, 20), (3, 30)]
    assert sorted(found) == [(0, 0), (1, 10), (2, 20), (3, 30)]


def test_as_many_calls_run_at_once_as_there_are_cpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threads, "available_cpus", lambda: 3)
    together = threading.Barrier(3, timeout=60)
    assert len(dict(completed(lambda item: together.wait(), range(3), "working"))) == 3


def test_after_an_error_nothing_is_begun(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threads, "available_cpus", lambda: 1)
    begun = []

    def work(item: int) -> None:
        begun.append(item)
        if item == 0:
            raise OSError("the disk is full")
        time.sleep(0.1)

    with pytest.raises(OSError, match="the disk is full"):
        next(completed(work, range(100), "working"))
    assert len(begun) < 100


def test_an_unfinished_iteration_ends_its_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threads, "available_cpus", lambda: 2)
    before = set(threading.enumerate())
    results = completed(Path, [f"{number}" for number in range(50)], "working")
    next(results)
    results.close()
    assert set(threading.enumerate()) == before
