"""The lease of a mirrored study: an object in the storage that keeps two machines from running it at once."""

from __future__ import annotations

import contextlib
import json
import os
import random
import secrets
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from leukemia.base.errors import UserError
from leukemia.base.files import parse_json
from search.storage.filesystem import Storage, StorageFailed

LEASE = "driver.json"
"""Name of the object: ``{host, machine, pid, token}``."""

BID = ".driver-"
"""Start of the names of objects like it, one by each driver that is about to take the lease."""

FIELDS = {"host": str, "pid": int, "token": str}
"""Of a lease or a bid. Those of newer versions have ``machine``, too."""

LARGEST_PID = 2**31 - 1
"""The largest process ID of any operating system."""

REFRESH_SECONDS = 30.0
LEASE_SECONDS = 120.0
"""A lease that has not been refreshed for this long belongs to a crashed driver."""

ATTEMPTS, LONGEST_PAUSE_SECONDS = 10, 2.0
"""How often drivers that claim a study at the same moment try again, and the longest pause in between."""

Holder = dict[str, Any]
"""The content of a lease or a bid."""


class TakenOver(UserError):
    """Another driver runs the study now."""


def read_holder(storage: Storage, name: str = LEASE) -> Holder | None:
    """Who has the lease, or whose bid it is; None if the file is absent or something else.

    Raises:
        StorageFailed: it cannot be read.
    """
    content = storage.read(name)
    try:
        holder = parse_json(content or b"null")
    except ValueError:
        return None
    if not isinstance(holder, dict) or any(type(holder.get(key)) is not kind for key, kind in FIELDS.items()):
        return None
    return holder if holder["host"].isprintable() and 0 < holder["pid"] <= LARGEST_PID else None


def is_lease_file(storage: Storage, name: str) -> bool:
    """Whether a file of a mirrored study is the lease or a bid for it.

    Raises:
        StorageFailed: it cannot be read.
    """
    return (name == LEASE or name.startswith(BID)) and read_holder(storage, name) is not None


def _machine() -> str:
    """Identifies the processes that this one sees: containers with one hostname number theirs independently.

    Empty where the system does not tell, as on macOS.
    """
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot} {Path('/proc/self/ns/pid').readlink()}"
    except OSError:
        return ""


def _seconds() -> float:
    """A clock that also counts while the machine sleeps, when a lease expires; Linux's ``monotonic`` stops then."""
    return time.clock_gettime(time.CLOCK_BOOTTIME) if hasattr(time, "CLOCK_BOOTTIME") else time.monotonic()


class Lease:
    """The right to run a study. Times are the storage's, so that the machines' clocks do not matter.

    Not every storage has a conditional write, so drivers exclude each other with bids: a driver writes its own, and
    reads and writes the lease only while it sees no other bid; then it withdraws its own. Of two drivers, the one whose
    bid is written later sees the other's bid or, if that is withdrawn, the other's lease. This needs a storage that
    lists what was written before, as folders, S3 and Google Cloud do.
    """

    def __init__(self, storage: Storage) -> None:
        self._storage = storage
        self._own: Holder = {
            "host": socket.gethostname(),
            "machine": _machine(),
            "pid": os.getpid(),
            "token": secrets.token_hex(8),
        }
        self._bid = BID + self._own["token"]
        self._refreshed = -LEASE_SECONDS

    def claim(self) -> None:
        """Take the lease.

        Raises:
            UserError: another driver has it, had it until recently, or is taking it; names its host, process and the
                time to wait.
            StorageFailed: the lease cannot be read or written.
        """
        for _ in range(ATTEMPTS):
            started = _seconds()
            with self._bidding() as others:
                if not others:
                    self._require_free()
                    if _seconds() - started > LEASE_SECONDS / 4:
                        # Our bid might have expired before the lease is written.
                        raise StorageFailed("responds too slowly to claim the study")
                    self._write()
                    return
            # Of several, one is likely to be alone after pauses of random length.
            time.sleep(random.uniform(0, LONGEST_PAUSE_SECONDS))
        raise self._taken(others[0], LEASE_SECONDS)

    def check(self) -> None:
        """Check that the lease can be taken, without taking it.

        Raises:
            UserError: as in ``claim``.
            StorageFailed: the lease cannot be read.
        """
        if read_holder(self._storage) is not None:
            with self._bidding():
                self._require_free()

    def _require_free(self) -> None:
        holder = read_holder(self._storage)
        if holder is None or self._has_ended(holder):
            return
        left = LEASE_SECONDS - self._age(LEASE)
        if left > LEASE_SECONDS:
            # That time is not from this storage's clock: written again, the lease expires like any other.
            self._storage.write(json.dumps(holder).encode(), LEASE)
            left = LEASE_SECONDS
        if left > 0:
            raise self._taken(holder, left)

    def _taken(self, holder: Holder, left: float) -> UserError:
        return UserError(
            f"the study in {self._storage} is being run by process {holder['pid']} on {holder['host']}; stop it there, "
            f"or, if that machine is gone, try again in {left:.0f} s"
        )

    @contextlib.contextmanager
    def _bidding(self) -> Iterator[list[Holder]]:
        """Have a bid in the storage; yields the others' bids that were there after it was written."""
        self._storage.write(json.dumps(self._own).encode(), self._bid)
        try:
            found = [name for name in self._storage.names(deep=False) if name.startswith(BID) and name != self._bid]
            yield [bid for name in found if (bid := read_holder(self._storage, name)) and self._is_current(bid, name)]
        finally:
            self._storage.remove(self._bid)

    def _is_current(self, bid: Holder, name: str) -> bool:
        """Whether a bid's driver may still take the lease; the bid of a driver that crashed is removed."""
        if not self._has_ended(bid) and self._age(name) < LEASE_SECONDS:
            return True
        self._storage.remove(name)
        return False

    def refresh(self) -> bool:
        """Renew the lease if the last renewal is some time ago; returns whether it was renewed.

        Raises:
            TakenOver: another driver has the lease.
            StorageFailed: the lease cannot be read or written.
        """
        if _seconds() - self._refreshed < REFRESH_SECONDS:
            return False
        holder = read_holder(self._storage)
        if holder is not None and holder["token"] != self._own["token"]:
            raise TakenOver(
                f"the study in {self._storage} is now run by process {holder['pid']} on {holder['host']}, which took "
                "it over after the lease of this search expired; this search has ended"
            )
        self._write()
        return True

    def release(self) -> None:
        """Release the lease, if it is still ours.

        Raises:
            StorageFailed: the lease expires by itself then.
        """
        holder = read_holder(self._storage)
        if holder is not None and holder["token"] == self._own["token"]:
            self._storage.remove(LEASE)

    def _write(self) -> None:
        self._storage.write(json.dumps(self._own).encode(), LEASE)
        self._refreshed = _seconds()

    def _has_ended(self, holder: Holder) -> bool:
        """Whether the holder is known to have ended: a process of this machine that no longer exists."""
        if any(holder.get(key, self._own[key]) != self._own[key] for key in ("host", "machine")):
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

    def _age(self, name: str) -> float:
        """Seconds since a file was written, until our bid was; 0 if it has been removed."""
        written, bid = self._storage.modified(name), self._storage.modified(self._bid)
        return 0.0 if written is None or bid is None else (bid - written).total_seconds()
