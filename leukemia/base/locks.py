"""Exclusive file locks, which the operating system releases when the process exits, even if it is killed."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from leukemia.base import errors, progress
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


@contextlib.contextmanager
def owned(path: Path, held: str, advice: str, *, dry_run: bool = False) -> Iterator[None]:
    """Hold the lock of the file ``path``, in which the host and the process of its owner are named.

    Args:
        held: for the message, such as ``study a is being run``; the owner follows.
        advice: what to do then.
        dry_run: only check that nobody holds the lock; write nothing.

    Raises:
        UserError: another process holds the lock, or the file system has no locks.
    """
    if dry_run and not path.exists():
        yield
        return
    with path.open("r" if dry_run else "a+") as stream:
        try:
            lock(stream, wait=False)
        except BlockingIOError:
            stream.seek(0)
            owner = stream.read().strip() or "another process"
            raise UserError(f"{held} by {owner}; {advice}") from None
        if not dry_run:
            stream.truncate(0)
            stream.write(f"process {os.getpid()} on {socket.gethostname()}\n")
            stream.flush()
        yield


def lock(stream: IO[str], *, wait: bool = True) -> None:
    """Lock an open file until it is closed.

    Raises:
        BlockingIOError: another process holds the lock, and ``wait`` is false.
        UserError: the file system has no locks.
    """
    try:
        fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        if not wait:
            raise
        with progress.bar("waiting for another command"):
            fcntl.flock(stream, fcntl.LOCK_EX)
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
    advice = errors.ADVICE[errno.ENAMETOOLONG] if error.errno == errno.ENAMETOOLONG else ADVICE
    raise UserError(f"cannot open the lock file {path} ({error.strerror}); {advice}")
