"""Ctrl-C and SIGTERM while a search runs: an interrupt that a library has swallowed is raised again."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from typing import Any

_asked = threading.Event()


@contextlib.contextmanager
def listening() -> Iterator[None]:
    """Take both signals as the wish to stop, from the main thread, until the end of the block."""
    _asked.clear()
    before = {number: signal.signal(number, _interrupt) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _interrupt(signum: int, frame: Any) -> None:
    _asked.set()
    raise KeyboardInterrupt


def check() -> None:
    """To be called again and again.

    An exception that a signal's handler raises within a callback of compiled code is printed or dropped there.

    Raises:
        KeyboardInterrupt: somebody has asked to stop since ``listening`` began.
    """
    if _asked.is_set():
        raise KeyboardInterrupt
