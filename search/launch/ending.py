"""How a search that has started comes to its end: what is closed, and what is said where it ends early."""

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
from search.trials.display import say

log = logging.getLogger(__name__)


@contextlib.contextmanager
def closing(console: Console, listener: WandbTracker | NoTracker | Mirror | NoMirror) -> Iterator[None]:
    """Close the tracker or the mirror at the end, however it comes; its words are the last."""
    try:
        yield
    except BaseException:
        listener.close(finished=False)
        raise
    for words in filter(None, [listener.close(finished=True)]):
        say(console, words)


@contextlib.contextmanager
def explained(console: Console, study: Study, log_file: Path) -> Iterator[None]:
    """Say why a search ends early and how it is resumed, in one line.

    Args:
        log_file: where the traceback of a failure of ours lies.

    Raises:
        SystemExit: on Ctrl-C, without Ray, or after a failure of ours.
    """
    heartbeat.on_crash(functools.partial(_report_crash, study))
    try:
        yield
    except KeyboardInterrupt:
        console.print()
        say(console, f"interrupted; {_going_on(study)}")
        sys.exit(INTERRUPTED)
    except heartbeat.RayCrashed as crash:
        _report_crash(study, str(crash))
        sys.exit(FAILURE)
    except UserError as mistake:
        log.error("%s", mistake)
        raise
    except Exception as error:
        log.critical("the search failed", exc_info=True)
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EPIPE):
            raise
        words = f"{type(error).__name__}: {error}".splitlines()[0]
        print(f"error: {words}; the traceback is in {log_file}", file=sys.stderr)
        sys.exit(FAILURE)


def _report_crash(study: Study, words: str) -> None:
    log.error("%s", words)
    print(f"error: {words}; {_going_on(study)}", file=sys.stderr)


def _going_on(study: Study) -> str:
    """What to do after a search that ended too early."""
    place = f"--study {study.name} --runs {shlex.quote(str(study.folder.parent))}"
    return f"finished folds are kept. Go on with:\n  python -m search.run --resume {place}"
