"""Progress bars on a terminal, for everything that takes over a second."""

from __future__ import annotations

import contextlib
import functools
import sys
import threading
from collections.abc import Callable, Iterator

from rich.console import Console
from rich.progress import Progress

DELAY_SECONDS = 1.0
"""A bar appears after this time, whatever the amount of work: it depends on the machine, the disk and the images."""

_terminal = threading.Lock()
"""Held by what is drawn on the terminal: two live displays would overwrite each other."""


@contextlib.contextmanager
def bar(what: str, total: int | None = None) -> Iterator[Callable[[], None]]:
    """A progress bar on stderr, from the second second of the block to its end; none if stderr is not a terminal.

    It also appears while the block waits for its first step.

    Args:
        what: short description of the work, such as ``reading images``.
        total: number of steps; None if unknown.

    Yields:
        A function to call after each step, from any thread.
    """
    if not sys.stderr.isatty():
        yield _nothing
        return
    with drawing() as is_free:
        if not is_free:
            yield _nothing
            return
        shown = Progress(console=Console(stderr=True), transient=True)
        task = shown.add_task(what, total=total)
        timer = threading.Timer(DELAY_SECONDS, shown.start)
        # The exit of the process does not wait for it.
        timer.daemon = True
        timer.start()
        try:
            yield functools.partial(shown.advance, task)
        finally:
            timer.cancel()
            # It may just be starting the bar.
            timer.join()
            if shown.live.is_started:
                shown.stop()


@contextlib.contextmanager
def drawing() -> Iterator[bool]:
    """Reserve the terminal for this block: bars within it are not shown. Yields whether it was free."""
    is_free = _terminal.acquire(blocking=False)
    try:
        yield is_free
    finally:
        if is_free:
            _terminal.release()


def _nothing() -> None:
    """Count a step of a bar that is not shown."""
