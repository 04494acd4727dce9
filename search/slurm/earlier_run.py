"""What an earlier run of a requeued job may have left: the lock of its study, on a node that has failed."""

from __future__ import annotations

import argparse
import time

from leukemia.base.errors import UserError
from leukemia.base.locks import locked
from leukemia.base.printable import printable
from leukemia.study import layout

LOCK_SECONDS = 180
"""How long to wait for it. A server of NFS 4 keeps the lock of a node that it does not hear for a lease, mostly of 90
seconds (RFC 7530, 9.5); one of NFS 3 until the node has restarted."""

POLL_SECONDS = 5


def wait_for_lock(parsed: argparse.Namespace, resume: str) -> None:
    """Wait until nobody holds the lock of the study: the search itself would refuse to start, and so end the job.

    Args:
        parsed: the arguments of the search, with the study's name.
        resume: the command that resumes it.

    Raises:
        UserError: it is still held; the message says by whom.
    """
    path = parsed.runs / parsed.study / layout.LOCK
    deadline, is_told = time.monotonic() + LOCK_SECONDS, False
    while path.exists():
        try:
            with locked(path, wait=False):
                return
        except BlockingIOError:
            owner = path.read_text().strip() or "another process"
        except UserError:
            # No locks there: the study is elsewhere (`search/slurm/folders.py`).
            return
        if time.monotonic() > deadline:
            raise UserError(
                f"study {parsed.study} is still locked by {owner}, {LOCK_SECONDS} s after this job has started again; "
                f"if that node has failed, wait until it has restarted, then `{resume}`"
            )
        if not is_told:
            print(printable(f"study {parsed.study} is locked by {owner}: waiting up to {LOCK_SECONDS} s"), flush=True)
            is_told = True
        time.sleep(POLL_SECONDS)
