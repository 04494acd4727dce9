"""Ctrl-C, SIGTERM and SIGHUP: each interrupts a command, and is raised again if it was swallowed."""

from __future__ import annotations

import contextlib
import functools
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
"""Ctrl-C, the usual request to end, and a closed terminal."""

_requested = threading.Event()
_conclusion: str | None = None
_ignored: frozenset[int] | None = None
"""Signals that were ignored when the outermost ``handled`` was entered; None outside of it."""


class Interrupted(KeyboardInterrupt):
    """A command was interrupted; the message says how to resume it."""


@contextlib.contextmanager
def handled() -> Iterator[None]:
    """Turn the signals into ``KeyboardInterrupt`` until the end of the block; for the main thread.

    Signals that are ignored stay ignored: ``nohup`` and background jobs of scripts rely on it. A nested block installs
    the handlers again, after a library has replaced them.
    """
    global _ignored, _conclusion
    if is_outermost := _ignored is None:
        _ignored = _ignored_now()
    before = {number: signal.getsignal(number) for number in SIGNALS}
    hook = sys.unraisablehook
    sys.unraisablehook = functools.partial(_drop_interrupt, hook)
    _install(_interrupt, _ignored)
    try:
        yield
    finally:
        sys.unraisablehook = hook
        for number, handler in before.items():
            # None: installed by compiled code.
            if handler is not None:
                signal.signal(number, handler)
        if is_outermost:
            _ignored = _conclusion = None
            _requested.clear()


def conclude(how: str) -> None:
    """State this until the outermost ``handled`` ends, whatever is interrupted: only cleaning up is left.

    Args:
        how: as for ``resumable``.
    """
    global _conclusion
    if _ignored is not None:
        _conclusion = how


def exit_at_once() -> None:
    """From now on a signal ends the process: nothing is left to interrupt but its exit, which may hang in a library.

    Python's own handlers would wait for that library, and print a traceback. Shells show the end by Ctrl-C as 130.
    """
    _install(signal.SIG_DFL, _ignored_now())


def leave_to_parent() -> None:
    """Print no traceback in a forked worker process when a signal reaches the whole process group."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:
        signal.signal(signal.SIGHUP, signal.SIG_DFL)


def requested() -> bool:
    """Whether a signal has arrived since the outermost block was entered."""
    return _requested.is_set()


def check() -> None:
    """Raise a swallowed interrupt; to be called regularly.

    An exception that a signal handler raises within a callback from compiled code is dropped there.

    Raises:
        KeyboardInterrupt: a signal has arrived since the outermost block was entered.
    """
    if _requested.is_set():
        raise KeyboardInterrupt


@contextlib.contextmanager
def resumable(how: str) -> Iterator[None]:
    """State how to resume what the block does.

    Args:
        how: follows "interrupted; " on the terminal. That of the innermost block is printed, or the conclusion.

    Raises:
        Interrupted: instead of ``KeyboardInterrupt``, and of any exception into which a library has turned it: an
            import that is interrupted within compiled code may raise ImportError.
    """
    try:
        yield
    except Interrupted:
        raise
    except KeyboardInterrupt as interrupt:
        raise Interrupted(_conclusion or how) from interrupt
    except Exception as error:
        if not requested():
            raise
        raise Interrupted(_conclusion or how) from error


def _drop_interrupt(hook: Callable[[Any], Any], unraisable: Any) -> None:
    """Print no traceback of an interrupt that compiled code swallows: ``check`` raises it again."""
    if not (_requested.is_set() and issubclass(unraisable.exc_type, KeyboardInterrupt)):
        hook(unraisable)


def _interrupt(signum: int, frame: Any) -> None:
    _requested.set()
    raise KeyboardInterrupt


def _ignored_now() -> frozenset[int]:
    return frozenset(number for number in SIGNALS if signal.getsignal(number) == signal.SIG_IGN)


def _install(handler: Any, ignored: frozenset[int]) -> None:
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN if number in ignored else handler)
