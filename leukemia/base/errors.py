"""User errors, and how commands report them: one line on stderr and an exit status."""

from __future__ import annotations

import contextlib
import errno
import os
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NoReturn

from leukemia.base import interrupts, streams
from leukemia.base.logs import StderrHandler, logging_to
from leukemia.base.printable import INDENT, one_line, printable

SUCCESS, FAILURE, USER_ERROR, NO_WINNER, INTERRUPTED = 0, 1, 2, 3, 130
"""Exit statuses: success, internal error, user error, search without a winner, Ctrl-C."""


_OTHER_DISK = "set LEUKEMIA_CACHE or --runs to another disk"
_NETWORK = f"the network, or a disk on it, is not reached: check the connection and the mount, or {_OTHER_DISK}"

ADVICE = {
    errno.ENOENT: "check the path; it may have been removed meanwhile",
    errno.EEXIST: "another process has created it: choose another path, or remove it",
    errno.ENOTEMPTY: "another process has written to it: choose another path, or remove it",
    errno.EISDIR: "give the path of a file, not of a folder",
    errno.EACCES: "make it accessible, or choose another path",
    errno.EPERM: "make it accessible, or choose another path",
    errno.EROFS: "choose a path where you can write",
    errno.ENOSPC: f"free some space or files, or {_OTHER_DISK}",
    errno.EDQUOT: f"free some of your quota, or {_OTHER_DISK}",
    errno.EFBIG: "raise the limit of a file's size (`ulimit -f`)",
    errno.EIO: f"the disk or its connection fails: check it, or {_OTHER_DISK}",
    errno.ESTALE: f"the network file system has lost it: mount it again, or {_OTHER_DISK}",
    errno.ENOTCONN: _NETWORK,
    errno.ETIMEDOUT: _NETWORK,
    errno.ENETDOWN: _NETWORK,
    errno.ENETUNREACH: _NETWORK,
    errno.EHOSTDOWN: _NETWORK,
    errno.EHOSTUNREACH: _NETWORK,
    errno.ECONNREFUSED: _NETWORK,
    errno.ECONNRESET: _NETWORK,
    errno.ECONNABORTED: _NETWORK,
    errno.ENXIO: f"the disk is not connected: check it, or {_OTHER_DISK}",
    errno.ENODEV: f"the disk is not connected: check it, or {_OTHER_DISK}",
    errno.EBUSY: "another program uses it: close that, or choose another path",
    errno.ENAMETOOLONG: "give a shorter path",
    errno.ELOOP: "remove the circle of links",
    errno.ENOTDIR: "give a path whose parents are folders",
    errno.ENOMEM: "free some memory, or raise the limit (`ulimit -v`)",
    errno.EMFILE: "raise the limit of open files (`ulimit -n`)",
    errno.ENFILE: "close other programs: the system's limit of open files is reached",
    errno.EAGAIN: "raise the limit of processes (`ulimit -u`)",
}
"""What to do about an error of the operating system, by its number; others are internal errors."""


class UserError(ValueError):
    """An error caused by the user's input; the message says what was expected, what came, where, and what to do."""


class MissingFile(UserError, FileNotFoundError):
    """A file or folder named by the user does not exist."""

    def __str__(self) -> str:
        return str(self.args[0])


def with_line(error: UserError, line: str) -> UserError:
    """The error with a line before its last one, which says what to type; after it, if it has only one."""
    *lines, last = str(error).split("\n")
    return type(error)("\n".join([*lines, *((INDENT + line, last) if lines else (last, INDENT + line))]))


def listed(items: Iterable[str], limit: int = 10) -> str:
    """The items, indented, one per line, with escapes as in ``one_line``.

    If there are more than ``limit``, the last line has their number and the file in the cache that has all of them.
    """
    items = list(items)
    lines = [f"{INDENT}{one_line(item)}" for item in items[:limit]]
    if len(items) > limit:
        # Imported here, since it imports this module.
        from leukemia.base.whole_list import stored

        path = stored(items)
        where = f"; all {len(items)} are in {path}" if path else f" of {len(items)}"
        lines.append(f"{INDENT}... and {len(items) - limit} more{where}")
    return "\n".join(lines)


def first_line(error: BaseException) -> str:
    """The first line of an error message, or the name of the error's type if the message is empty.

    >>> first_line(ValueError("too high\\nand more")), first_line(KeyboardInterrupt())
    ('too high', 'KeyboardInterrupt')
    """
    return next(iter(str(error).splitlines()), type(error).__name__)


def print_error(message: object) -> None:
    """Print ``error: MESSAGE`` on stderr, made printable."""
    print(printable(f"error: {message}"), file=sys.stderr)


def run_command(main: Callable[[list[str] | None], int]) -> NoReturn:
    """Run a command's ``main`` and exit with its status; user errors, warnings and interrupts print one line."""
    streams.make_lasting()
    # Commands draw to files only, and matplotlib cannot be imported if a notebook's backend is not installed here.
    os.environ["MPLBACKEND"] = "agg"
    with interrupts.handled():
        status = _status_of(main)
    interrupts.exit_at_once()
    sys.exit(status)


def _require_working_directory() -> None:
    """Compiled libraries fail without one, some without a message."""
    try:
        Path.cwd()
    except OSError as error:
        raise UserError(f"the working directory cannot be used ({error.strerror}); change to another one") from None


def _status_of(main: Callable[[list[str] | None], int]) -> int:
    try:
        _require_working_directory()
        with logging_to(StderrHandler()), interrupts.resumable("run the same command again"):
            status = main(None)
        sys.stdout.flush()
    except SystemExit as end:
        # Of argparse, or of a search, which have printed their message.
        status = end.code if isinstance(end.code, int) else SUCCESS
    except UserError as error:
        print_error(error)
        status = USER_ERROR
    except OSError as error:
        advice = ADVICE.get(error.errno or 0)
        # Without a file's name, it is not known what is missing.
        if advice is None or (error.errno == errno.ENOENT and error.filename is None):
            raise
        where = "" if error.filename is None else f"{str(error.filename)[:80]}: "
        print_error(f"{where}{error.strerror}; {advice}")
        status = USER_ERROR
    except (MemoryError, RuntimeError) as error:
        # Imported here, since it imports this module.
        from leukemia.base.faults import advice_on, describe_fault

        advice = advice_on(error)
        if advice is None:
            raise
        print_error(f"{describe_fault(error).rstrip('.')}; {advice}")
        status = USER_ERROR
    except KeyboardInterrupt as interrupt:
        with contextlib.suppress(OSError):
            print("\n" + printable(f"interrupted; {interrupt}"), file=sys.stderr)
        status = INTERRUPTED
    try:
        sys.stdout.flush()
    except OSError:
        # A stream that a caller has put in place: discard what is buffered, which Python would write again at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    if lost := streams.failure():
        print_error(
            f"standard output: {lost.strerror}, so a part is missing; {ADVICE.get(lost.errno or 0, 'try again')}"
        )
        status = status or USER_ERROR
    return status
