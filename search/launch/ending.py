"""The end of a search that has started: closing its listeners, and the message if it ends early."""

from __future__ import annotations

import contextlib
import errno
import functools
import logging
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path

from rich.console import Console

from leukemia.base.errors import FAILURE, INTERRUPTED, UserError
from leukemia.study.folder import Study
from leukemia.tracking.tracker import NoTracker, WandbTracker
from search.cluster import heartbeat
from search.storage.mirror import Mirror, NoMirror
from search.trials.display import print_line

log = logging.getLogger(__name__)


@contextlib.contextmanager
def closing(console: Console, listener: WandbTracker | NoTracker | Mirror | NoMirror) -> Iterator[None]:
    """Close the tracker or the mirror at the end, also after an error; then print its message."""
    try:
        yield
    except BaseException:
        listener.close(finished=False)
        raise
    message = listener.close(finished=True)
    if message:
        print_line(console, message)


@contextlib.contextmanager
def explained(console: Console, study: Study, log_file: Path) -> Iterator[None]:
    """Print in one line why a search ends early, and how to resume it.

    Args:
        log_file: contains the traceback of an internal error.

    Raises:
        SystemExit: on Ctrl-C, a crash of Ray or an internal error.
    """
    heartbeat.on_crash(functools.partial(_report_crash, study))
    try:
        yield
    except KeyboardInterrupt:
        console.print()
        print_line(console, f"interrupted; {_how_to_resume(study)}")
        sys.exit(INTERRUPTED)
    except heartbeat.RayCrashed as crash:
        _report_crash(study, str(crash))
        sys.exit(FAILURE)
    except UserError as error:
        log.error("%s", error)
        raise
    except Exception as error:
        log.critical("the search failed", exc_info=True)
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EPIPE):
            raise
        message = f"{type(error).__name__}: {error}".splitlines()[0]
        print(f"error: {message}; the traceback is in {log_file}", file=sys.stderr)
        sys.exit(FAILURE)


def _report_crash(study: Study, message: str) -> None:
    log.error("%s", message)
    print(f"error: {message}; {_how_to_resume(study)}", file=sys.stderr)


def _how_to_resume(study: Study) -> str:
    """What to do after a search that ended early."""
    options = f"--study {study.name} --runs {shlex.quote(str(study.folder.parent))}"
    return f"finished folds are kept. Resume with:\n  python -m search.run --resume {options}"
