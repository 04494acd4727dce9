"""The lease of a mirrored study: an object in the storage that keeps two machines from running it at once."""

from __future__ import annotations

import json
import os
import secrets
import socket
import time
from typing import Any

from leukemia.base.errors import UserError
from search.storage.filesystem import Storage

LEASE = "driver.json"
"""Name of the object: ``{host, pid, token}``."""

LARGEST_PID = 2**31 - 1
"""The largest process ID of any operating system."""

REFRESH_SECONDS = 30.0
LEASE_SECONDS = 120.0
"""A lease that has not been refreshed for this long belongs to a crashed driver."""


class TakenOver(UserError):
    """Another driver runs the study now."""


class Lease:
    """The right to run a study. Times are the storage's, so that the machines' clocks do not matter."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage
        self._own = {"host": socket.gethostname(), "pid": os.getpid(), "token": secrets.token_hex(8)}
        self._refreshed = -LEASE_SECONDS

    def claim(self) -> None:
        """Take the lease.

        Raises:
            UserError: another driver has it, or had it until recently; names its host, process and the time to wait.
            StorageFailed: the lease cannot be read or written.
        """
        holder = self._holder()
        if holder is not None and not self._has_ended(holder):
            modified, now = self._storage.modified(LEASE), self._now()
            left = LEASE_SECONDS if modified is None else LEASE_SECONDS - (now - modified.timestamp())
            if left > LEASE_SECONDS:
                # That time is not from this storage's clock: written again, the lease expires like any other.
                self._storage.write(json.dumps(holder).encode(), LEASE)
                left = LEASE_SECONDS
            if left > 0:
                raise UserError(
                    f"the study in {self._storage} is being run by process {holder['pid']} on {holder['host']}; stop "
                    f"it there, or, if that machine is gone, try again in {left:.0f} s"
                )
        self._write()

    def refresh(self) -> None:
        """Renew the lease if the last renewal is some time ago.

        Raises:
            TakenOver: another driver has the lease.
            StorageFailed: the lease cannot be read or written.
        """
        if time.monotonic() - self._refreshed < REFRESH_SECONDS:
            return
        holder = self._holder()
        if holder is not None and holder["token"] != self._own["token"]:
            raise TakenOver(
                f"the study in {self._storage} is now run by process {holder['pid']} on {holder['host']}, which took "
                "it over after the lease of this search expired; this search has ended"
            )
        self._write()

    def release(self) -> None:
        """Release the lease, if it is still ours.

        Raises:
            StorageFailed: the lease expires by itself then.
        """
        holder = self._holder()
        if holder is not None and holder["token"] == self._own["token"]:
            self._storage.remove(LEASE)

    def _write(self) -> None:
        self._storage.write(json.dumps(self._own).encode(), LEASE)
        self._refreshed = time.monotonic()

    def _holder(self) -> dict[str, Any] | None:
        """Who has the lease; None if it is absent or damaged."""
        content = self._storage.read(LEASE)
        try:
            holder = json.loads(content or b"null")
        except (ValueError, RecursionError):
            return None
        if not isinstance(holder, dict) or not all(
            type(holder.get(name)) is type(self._own[name]) for name in self._own
        ):
            return None
        return holder if holder["host"].isprintable() and 0 < holder["pid"] <= LARGEST_PID else None

    def _has_ended(self, holder: dict[str, Any]) -> bool:
        """Whether the holder is known to have ended: a process of this machine that no longer exists."""
        if holder["host"] != self._own["host"]:
            return False
        if holder["pid"] == self._own["pid"]:
            return True
        try:
            os.kill(holder["pid"], 0)
        except ProcessLookupError:
            return True
        except PermissionError:
            return False
        return False

    def _now(self) -> float:
        """The storage's time, in seconds since 1970."""
        name = f".now-{self._own['token']}"
        self._storage.write(b"", name)
        modified = self._storage.modified(name)
        self._storage.remove(name)
        return time.time() if modified is None else modified.timestamp()
