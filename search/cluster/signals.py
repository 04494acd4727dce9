"""Ctrl-C and SIGTERM while a search runs: an interrupt that a library swallowed is raised again."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from typing import Any

_requested = threading.Event()


@contextlib.contextmanager
def handled() -> Iterator[None]:
    """Turn both signals into a request to stop until the end of the block; for the main thread."""
    _requested.clear()
    before = {number: signal.signal(number, _interrupt) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _interrupt(signum: int, frame: Any) -> None:
    _requested.set()
    raise KeyboardInterrupt


def check() -> None:
    """Raise a swallowed interrupt; to be called regularly.

    An exception that a signal handler raises within a callback from compiled code is printed or dropped there.

    Raises:
        KeyboardInterrupt: a stop was requested since ``handled`` was entered.
    """
    if _requested.is_set():
        raise KeyboardInterrupt
