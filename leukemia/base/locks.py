"""Exclusive file locks, which the operating system releases when the process exits, even if it is killed."""

from __future__ import annotations

import contextlib
import fcntl
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from leukemia.base.errors import UserError

ADVICE = "set LEUKEMIA_CACHE or --runs to a folder of your own on a local disk"


@contextlib.contextmanager
def locked(path: Path, *, wait: bool = True) -> Iterator[None]:
    """Hold the lock of the file ``path``, created if absent.

    Raises:
        BlockingIOError: another process holds the lock, and ``wait`` is false.
        UserError: the file cannot be opened, or its file system has no locks.
    """
    with _opened(path) as stream:
        lock(stream, wait=wait)
        yield


def lock(stream: IO[str], *, wait: bool = True) -> None:
    """Lock an open file until it is closed.

    Raises:
        BlockingIOError: another process holds the lock, and ``wait`` is false.
        UserError: the file system has no locks.
    """
    try:
        fcntl.flock(stream, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise
    except OSError as error:
        raise UserError(
            f"{stream.name}: its file system does not support locks ({error.strerror}), as Lustre or NFS may be "
            f"mounted; {ADVICE}"
        ) from None


def _opened(path: Path) -> IO[str]:
    try:
        return path.open("a")
    except PermissionError as denied:
        # In a cache that several users share, the file may belong to another one; reading it is enough to lock it.
        with contextlib.suppress(OSError):
            return path.open()
        error: OSError = denied
    except OSError as other:
        error = other
    raise UserError(f"cannot open the lock file {path} ({error.strerror}); {ADVICE}")
