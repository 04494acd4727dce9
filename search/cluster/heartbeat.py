"""Whether Ray is still running, watched from a thread: Ray's own calls would wait for a crashed cluster."""

from __future__ import annotations

import contextlib
import logging
import os
import socket
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping

from leukemia.base.errors import FAILURE
from search.cluster import ray_private

log = logging.getLogger(__name__)

TIMEOUT_SECONDS = 10
"""How long a process of a cluster may take to accept a connection."""

PING_SECONDS = 2.0
"""How often the head and raylet of a joined cluster are pinged, or the processes of our own Ray checked."""

MAX_MISSED_PINGS = 5
"""Consecutive pings without a response after which a joined cluster counts as unreachable. Ray itself waits for a
minute, and then ends the process."""

NOTICE_SECONDS = 10.0
"""How long the search may take to notice a crash of Ray; a call to Ray may block it."""


class RayCrashed(BaseException):
    """Ray itself is gone: the running trials have not failed, but cannot continue here.

    Not an ``Exception``: Tune would respond to that by asking the crashed cluster for its resources, for minutes.
    """


class HeartbeatMonitor:
    """Watches Ray from a thread, and ends the process if the search itself is blocked in a call to Ray."""

    def __init__(self) -> None:
        self.crash: str | None = None
        """What crashed; None while Ray is running."""

        self.on_exit_message: Callable[[str], None] = log.error
        """Called by the thread with that message if it has to end the process."""

        self.noticed = threading.Event()
        """Set when the search has noticed the crash, or no longer depends on Ray."""

        self._pings: Mapping[str, Callable[[], None]] = {}

    @contextlib.contextmanager
    def watching(self, pings: Mapping[str, Callable[[], None]]) -> Iterator[None]:
        """Watch in the background.

        Args:
            pings: of ``pings_of``; empty for our own Ray.
        """
        self.crash, self.noticed, done = None, threading.Event(), threading.Event()
        self._pings = pings
        thread = threading.Thread(target=self._watch, args=(done,), name="heartbeat", daemon=True)
        thread.start()
        try:
            yield
        finally:
            done.set()
            self.noticed.set()
            thread.join()
            self._pings = {}

    def unresponsive(self) -> list[str]:
        """Names of the processes that do not respond at this moment."""
        found = []
        for name, ping in self._pings.items():
            try:
                ping()
            except OSError:
                found.append(name)
        return found

    def check(self) -> str | None:
        """What crashed, or None; checks the processes of our own Ray now."""
        self.crash = self.crash or _own_crash()
        return self.crash

    def _watch(self, done: threading.Event) -> None:
        missed: Counter[str] = Counter()
        while self.crash is None and not done.wait(PING_SECONDS):
            unresponsive = self.unresponsive()
            missed = Counter({name: missed[name] + 1 for name in unresponsive})
            gone = [name for name in unresponsive if missed[name] >= MAX_MISSED_PINGS]
            self.crash = f"the Ray cluster is unreachable: no response from {' and '.join(gone)}" if gone else None
            self.check()
        if self.crash is not None and not self.noticed.wait(NOTICE_SECONDS):
            # The search is blocked in Ray, which would end the process with its own message. All finished work is on
            # disk.
            self.on_exit_message(self.crash)
            ray_private.kill_processes()
            exit_now()


_monitor = HeartbeatMonitor()


def watching(pings: Mapping[str, Callable[[], None]]) -> contextlib.AbstractContextManager[None]:
    """Watch Ray in the background, as ``HeartbeatMonitor.watching``."""
    return _monitor.watching(pings)


def on_crash(message: Callable[[str], None]) -> None:
    """Set what prints the message if Ray crashes while the search is blocked in it."""
    _monitor.on_exit_message = message


def stop_watching() -> None:
    """The search no longer waits for Ray: a crash from now on does not end the process."""
    _monitor.noticed.set()


def has_crashed() -> bool:
    """Whether a crash has been found."""
    return _monitor.crash is not None


def require_ray(*, wait: bool = False) -> None:
    """Check that Ray is running: the processes of our own, or head and raylet of a joined cluster.

    Args:
        wait: while a joined cluster does not respond, wait until it does or counts as unreachable.

    Raises:
        RayCrashed: it is not.
    """
    while True:
        # Not only in the thread: a crash of our own Ray is noticed at once.
        crash = _monitor.check()
        if crash is not None:
            _monitor.noticed.set()
            raise RayCrashed(crash)
        if not wait or not _monitor.unresponsive():
            return
        time.sleep(PING_SECONDS / 4)


def pings_of(head: str, raylet: str) -> dict[str, Callable[[], None]]:
    """How to ping the head and raylet of a joined cluster, by name; a ping raises ``OSError`` without a response.

    Args:
        head: HOST:PORT.
        raylet: path of its socket on this machine.
    """
    return {
        f"its head at {head}": lambda: ping_address(head),
        "its raylet on this machine": lambda: _ping_socket(raylet),
    }


def ping_address(address: str) -> None:
    """Connect to HOST:PORT; ``OSError`` if nothing accepts the connection in time."""
    host, _, port = address.rpartition(":")
    with socket.create_connection((host.strip("[]"), int(port)), timeout=TIMEOUT_SECONDS):
        pass


def _ping_socket(path: str) -> None:
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(TIMEOUT_SECONDS)
        connection.connect(path.removeprefix("unix://"))


def _own_crash() -> str | None:
    """Which needed processes of our own Ray have ended, as a message; a joined cluster has none here."""
    dead = ray_private.dead_processes()
    return f"Ray crashed ({', '.join(dead)})" if dead else None


def exit_now() -> None:
    """End the process as failed, without the exit handlers of its libraries."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(FAILURE)
