"""The driver's notice that a search is ended: each worker stores its last finished epoch before its process is ended.

Workers are in the middle of an epoch, and an actor that trains takes no call. Therefore they look for the notice from a
thread, in the key-value store of Ray's head, which both sides reach with the cluster's token.
"""

from __future__ import annotations

import contextlib
import logging
import secrets
import threading
import time
from collections.abc import Callable, Iterator

from leukemia.config.results import Epoch, fold_name
from search.cluster import ray_private
from search.policy.task import Task
from search.trials.assignment import Report

log = logging.getLogger(__name__)

POLL_SECONDS = 1.0
"""How often a worker looks for the notice."""

ANSWER_SECONDS = 40.0
"""How long workers may take to store their epochs; those that take longer resume from an earlier one."""


class EndNotice:
    """Knows which tasks have something to store, and gives them notice."""

    def __init__(self) -> None:
        self.key = f"leukemia-end-{secrets.token_hex(8)}"
        """Of this search, for ``answering``."""

        self._tasks: set[Task] = set()

    def note(self, task: Task, report: Report, *, goes_on: bool) -> None:
        """Record a report: a task that has finished an epoch, and trains on, has one to store."""
        if isinstance(report, Epoch) and goes_on:
            self._tasks.add(task)
        else:
            self.forget(task)

    def forget(self, task: Task) -> None:
        """Record that the process of a task has ended."""
        self._tasks.discard(task)

    def give(self) -> None:
        """Tell the workers, and wait until they have stored their epochs, within ``ANSWER_SECONDS``.

        Raises:
            KeyboardInterrupt: on a further signal; workers are then ended without waiting for them.
        """
        if not self._tasks:
            return
        try:
            ray_private.put_key(self.key)
            deadline = time.monotonic() + ANSWER_SECONDS
            while self._tasks and time.monotonic() < deadline:
                self._tasks = {task for task in self._tasks if not ray_private.has_key(_answer(self.key, task))}
                time.sleep(POLL_SECONDS / 10)
        except Exception as error:
            # The search ends in any case, and can be resumed.
            log.debug("no notice to the workers: %s", error)
            return
        for task in self._tasks:
            log.info("trial %s, %s: its last epoch was not stored in time", task.job.label, fold_name(task.fold))


@contextlib.contextmanager
def answering(key: str | None, task: Task, store: Callable[[], object]) -> Iterator[None]:
    """Look for the notice in the background until the end of the block, store the last epoch, and say so.

    Args:
        key: of ``EndNotice``; None outside a search.
        store: stores it.
    """
    if key is None:
        yield
        return
    done = threading.Event()

    def watch() -> None:
        while not done.wait(POLL_SECONDS):
            # Without an answer from Ray's head, this process has not long to live.
            with contextlib.suppress(Exception):
                if ray_private.has_key(key):
                    store()
                    ray_private.put_key(_answer(key, task))
                    return

    threading.Thread(target=watch, name="end-notice", daemon=True).start()
    try:
        yield
    finally:
        done.set()


def _answer(key: str, task: Task) -> str:
    return f"{key}/{task.job.number}-{task.job.seed}-{task.fold}"
