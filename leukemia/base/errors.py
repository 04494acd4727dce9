"""User errors, and how commands report them: one line on stderr and an exit status."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Callable, Iterable
from typing import NoReturn

from leukemia.base.logs import StderrHandler, logging_to

SUCCESS, FAILURE, USER_ERROR, NO_WINNER, INTERRUPTED = 0, 1, 2, 3, 130
"""Exit statuses: success, internal error, user error, search without a winner, Ctrl-C."""


class UserError(ValueError):
    """An error caused by the user's input; the message says what was expected, what came, where, and what to do."""


class MissingFile(UserError, FileNotFoundError):
    """A file or folder named by the user does not exist."""

    def __str__(self) -> str:
        return str(self.args[0])


def listed(items: Iterable[str], limit: int = 20) -> str:
    """The items, indented, one per line; those beyond ``limit`` are only counted."""
    items = list(items)
    lines = [f"  {item}" for item in items[:limit]]
    if len(items) > limit:
        lines.append(f"  ... and {len(items) - limit} more")
    return "\n".join(lines)


def first_line(error: BaseException) -> str:
    """The first line of an error message, or the name of the error's type if the message is empty.

    >>> first_line(ValueError("too high\\nand more")), first_line(KeyboardInterrupt())
    ('too high', 'KeyboardInterrupt')
    """
    return next(iter(str(error).splitlines()), type(error).__name__)


def run_command(main: Callable[[list[str] | None], int]) -> NoReturn:
    """Run a command's ``main`` and exit with its status; user errors, warnings and Ctrl-C print one line."""
    try:
        with logging_to(StderrHandler()):
            status = main(None)
        sys.stdout.flush()
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        status = USER_ERROR
    except BrokenPipeError:
        # The reader of the output (`| head`) has closed the pipe, which is fine. Discard what is still buffered.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        status = SUCCESS
    except OSError as error:
        if error.errno == errno.ENAMETOOLONG:
            print(f"error: {str(error.filename)[:80]}...: {error.strerror}; give a shorter path", file=sys.stderr)
            sys.exit(USER_ERROR)
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        print(
            f"error: the disk is full ({error.strerror}); "
            "free some space, or set LEUKEMIA_CACHE or --runs to another disk",
            file=sys.stderr,
        )
        status = USER_ERROR
    except KeyboardInterrupt:
        print("\ninterrupted", file=sys.stderr)
        status = INTERRUPTED
    sys.exit(status)
