"""Work on several items at once, in threads that the exit of the process does not wait for."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterable
from typing import Any

NUM_PARALLEL = 8
"""Files transferred in parallel."""


def for_each(items: Iterable[Any], work: Callable[[Any], object]) -> None:
    """Call ``work`` with each item; after an error, no further item is begun.

    The threads of ``concurrent.futures`` are joined when the interpreter exits, so that one stuck transfer would keep
    the process from ending.

    Raises:
        BaseException: the first one that ``work`` raised, after all calls have ended; an interrupt of this thread at
            once.
    """
    waiting: queue.SimpleQueue[Any] = queue.SimpleQueue()
    for item in items:
        waiting.put(item)
    errors: list[BaseException] = []

    def run() -> None:
        while not errors:
            try:
                item = waiting.get_nowait()
            except queue.Empty:
                return
            try:
                work(item)
            except BaseException as error:
                # Raised again in the calling thread.
                errors.append(error)

    threads = [threading.Thread(target=run, daemon=True) for _ in range(min(NUM_PARALLEL, waiting.qsize()))]
    for thread in threads:
        thread.start()
    try:
        for thread in threads:
            thread.join()
    except BaseException as interrupt:
        errors.append(interrupt)
        raise
    if errors:
        raise errors[0]
