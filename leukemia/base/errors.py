"""What goes wrong at the user's end, and how a command says so: one line, a status, nothing half-written."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Callable, Iterable
from typing import NoReturn

from leukemia.base.logs import StderrHandler, logging_to

SUCCESS, FAILURE, USER_ERROR, NO_WINNER, INTERRUPTED = 0, 1, 2, 3, 130
"""Exit statuses: done; a failure of ours; a user's mistake; a search without a winner; Ctrl-C."""


class UserError(ValueError):
    """A user's mistake: the message says what was expected, what came, where, and what to do."""


class MissingFile(UserError, FileNotFoundError):
    """A file or folder that the user named and that is not there."""

    def __str__(self) -> str:
        return str(self.args[0])


def listed(items: Iterable[str], limit: int = 20) -> str:
    """The items, one a line and indented; past ``limit`` the rest is counted, so that a terminal survives it."""
    items = list(items)
    lines = [f"  {item}" for item in items[:limit]]
    if len(items) > limit:
        lines.append(f"  ... and {len(items) - limit} more")
    return "\n".join(lines)


def first_line(error: BaseException) -> str:
    """What an error says first; its type where it says nothing.

    >>> first_line(ValueError("too high\\nand more")), first_line(KeyboardInterrupt())
    ('too high', 'KeyboardInterrupt')
    """
    return next(iter(str(error).splitlines()), type(error).__name__)


def run_command(main: Callable[[list[str] | None], int]) -> NoReturn:
    """Run a command's ``main`` and exit with its status; mistakes, warnings and Ctrl-C become a line."""
    try:
        with logging_to(StderrHandler()):
            status = main(None)
        sys.stdout.flush()
    except UserError as mistake:
        print(f"error: {mistake}", file=sys.stderr)
        status = USER_ERROR
    except BrokenPipeError:
        # The reader of our output (`| head`) left: nothing is wrong. What is still buffered has to go somewhere.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        status = SUCCESS
    except OSError as error:
        if error.errno == errno.ENAMETOOLONG:
            print(f"error: {str(error.filename)[:80]}...: {error.strerror}; give a shorter path", file=sys.stderr)
            sys.exit(USER_ERROR)
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        print(
            f"error: the disk is full ({error.strerror}); make room, or set LEUKEMIA_CACHE or --runs to another disk",
            file=sys.stderr,
        )
        status = USER_ERROR
    except KeyboardInterrupt:
        print("\ninterrupted", file=sys.stderr)
        status = INTERRUPTED
    sys.exit(status)
