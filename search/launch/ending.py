"""The end of a search that has started: closing its listeners, and the message if it ends early."""

from __future__ import annotations

import contextlib
import functools
import logging
import sys
from collections.abc import Iterator, Sequence

from rich.console import Console

from leukemia.base import interrupts
from leukemia.base.errors import FAILURE, INTERRUPTED, UserError, print_error
from leukemia.base.faults import describe_fault, is_machine_fault
from leukemia.base.printable import printable
from leukemia.study import layout
from leukemia.study.folder import Study
from leukemia.tracking.tracker import NoTracker, WandbTracker
from search.cluster import heartbeat
from search.storage.mirror import Mirror, NoMirror
from search.trials.commands import resume_command
from search.trials.display import print_line
from search.trials.requests import Canceled

log = logging.getLogger(__name__)


@contextlib.contextmanager
def closing(console: Console, listener: WandbTracker | NoTracker | Mirror | NoMirror) -> Iterator[None]:
    """Close the tracker or the mirror at the end, also after an error; then print its message."""
    try:
        yield
    except BaseException as error:
        message = listener.close(finished=False)
        # The mirror's may be the error itself. The terminal may have been closed.
        if message and message != str(error):
            with contextlib.suppress(OSError):
                print_line(console, message)
        raise
    message = listener.close(finished=True)
    if message:
        print_line(console, message)


@contextlib.contextmanager
def explained(console: Console, study: Study, options: Sequence[str]) -> Iterator[None]:
    """Print in one line why a search ends early, and how to resume it.

    Args:
        options: given on the command line and needed again to resume, as the study does not remember them.

    Raises:
        SystemExit: on Ctrl-C, Cancel in W&B, a crash of Ray, a fault of this machine or an internal error.
    """
    how_to_resume = _how_to_resume(study, options)
    heartbeat.on_crash(functools.partial(_report_crash, how_to_resume))
    ending = how_to_resume
    try:
        with interrupts.resumable(how_to_resume):
            yield
        ending = f"the search had ended; its results are in {study.folder}"
    except KeyboardInterrupt as interrupt:
        log.info("interrupted; %s", interrupt)
        # The terminal may have been closed.
        with contextlib.suppress(OSError):
            console.print("\n" + printable(f"interrupted; {interrupt}"), markup=False, highlight=False, soft_wrap=True)
        sys.exit(INTERRUPTED)
    except Canceled as request:
        print_line(console, f"{request}; {how_to_resume}")
        sys.exit(INTERRUPTED)
    except heartbeat.RayCrashed as crash:
        _report_crash(how_to_resume, str(crash))
        sys.exit(FAILURE)
    except UserError as error:
        log.error("%s", error)
        raise
    except Exception as error:
        log.critical("the search failed", exc_info=True)
        if is_machine_fault(error):
            _report_crash(how_to_resume, describe_fault(error))
            sys.exit(FAILURE)
        message = f"{type(error).__name__}: {error}".splitlines()[0]
        print_error(f"{message}; the traceback is in {study.folder / layout.LOG}")
        sys.exit(FAILURE)
    finally:
        # Ray takes seconds to stop.
        interrupts.conclude(ending)


def _report_crash(how_to_resume: str, message: str) -> None:
    log.error("%s", message)
    print_error(f"{message}; {how_to_resume}")


def _how_to_resume(study: Study, options: Sequence[str]) -> str:
    """What to do after a search that ended early."""
    return f"finished folds are kept. Resume with:\n  {resume_command(study, options)}"
