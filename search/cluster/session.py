"""A Ray of our own or a cluster's: joined, started, looked after."""

from __future__ import annotations

import atexit
import contextlib
import logging
import os
import re
import socket
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import ray
from ray.exceptions import AuthenticationError

from leukemia.base.errors import FAILURE, UserError, first_line
from search.cluster import ray_private

log = logging.getLogger("search")

CONNECT_SECONDS = 10
"""How long a Ray cluster's head may take to answer."""

KNOCK_SECONDS = 2.0
"""Head and raylet of a joined cluster are knocked at, and processes of our own looked at, so often."""

NOTICE_SECONDS = 10.0
"""After the death of Ray the search has so long to notice; a call of Ray's may be waiting."""

MAX_SILENT = 5
"""So many knocks in a row without an answer, and a joined cluster is dead. Ray itself waits for a minute, and then ends
the process."""


@contextlib.contextmanager
def ray_session(address: str | None) -> Iterator[bool]:
    """Join a cluster, or start a Ray of our own that listens on loopback only; yields whether it is our own.

    Without an address that is the cluster this machine belongs to (``RAY_ADDRESS``, or where ``ray start`` was run).

    Raises:
        UserError: no Ray answers at the address.
        RayNotStarted: one of our own does not start.
    """
    logging.getLogger("ray").setLevel(logging.ERROR)
    # The search says itself what became of trials.
    logging.getLogger("ray.tune").setLevel(logging.CRITICAL)
    ray_private.log_workers_output()
    common = {"log_to_driver": False, "logging_level": logging.CRITICAL, "configure_logging": False}
    try:
        if address not in (None, "auto", "local") and not re.fullmatch(r"[^:].*:\d{1,5}", address):
            raise ValueError("expected HOST:PORT, auto or local")
        joining = None if address == "local" else ray_private.cluster_address(address)
        if joining is not None:
            _require_welcome(joining)
            ray.init(address=joining, **common)
    except Exception as error:
        asked = os.environ.get("RAY_ADDRESS", "local") if address is None else address
        raise UserError(f"--address {asked}: {_why_not(error)}") from None
    if joining is None:
        try:
            with ray_private.loopback_only(), _key_kept_here(), _token_kept_private():
                ray.init(address="local", include_dashboard=False, _node_ip_address="127.0.0.1", **common)
        except Exception as error:
            ray.shutdown()
            raise RayNotStarted(
                f"Ray did not start ({first_line(error)}); try again when the machine is less busy, or look why in "
                "Ray's own logs (by default /tmp/ray/session_latest/logs)"
            ) from None
    knocks = {} if joining is None else _knocks_at(joining, ray_private.raylet_socket())
    try:
        with _pulse.felt(knocks):
            yield joining is None
    finally:
        if joining is None or _pulse.dead is None:
            ray.shutdown()
        else:
            # Of a dead cluster Ray would take leave for a minute, now or at the end of the process, or crash there.
            ray_private.skip_shutdown_at_exit()
            atexit.register(_end_now)


def _why_not(error: Exception) -> str:
    """Why a cluster cannot be joined, and what to do."""
    if isinstance(error, AuthenticationError):
        return (
            "this cluster lets nobody in without its token; run the search on its head, or put the token into "
            "~/.ray/auth_token (mode 0600) and set RAY_AUTH_MODE=token"
        )
    # The cluster's versions come first, then those of this process.
    versions = re.findall(r"^ *(Ray|Python): (\S+)$", str(error), re.MULTILINE)
    if str(error).startswith("Version mismatch") and len(versions) == 4:
        there, here = (", ".join(" ".join(pair) for pair in half) for half in (versions[:2], versions[2:]))
        return f"the cluster has {there}, this environment {here}; install the cluster's here, or run on its head"
    return f"no Ray there ({first_line(error)}); start one with `ray start --head` or `ray up`, or use --address local"


def _end_now() -> None:
    """End the process as failed, without asking its libraries."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(FAILURE)


@contextlib.contextmanager
def _key_kept_here() -> Iterator[None]:
    """Keep the W&B key out of the environment of Ray's processes: the driver alone speaks to W&B."""
    key = os.environ.pop("WANDB_API_KEY", None)
    try:
        yield
    finally:
        if key is not None:
            os.environ["WANDB_API_KEY"] = key


@contextlib.contextmanager
def _token_kept_private() -> Iterator[None]:
    """Let nobody else on this machine read the token that Ray makes at its first start: whoever has it runs code."""
    token = Path.home() / ".ray" / "auth_token"
    is_there = token.exists()
    try:
        yield
    finally:
        if not is_there and token.exists():
            token.chmod(0o600)


def _require_welcome(address: str) -> None:
    """Knock first: without an answer, or without the token, ``ray.init`` tries again for half a minute or more."""
    _require_answer(address)
    _require_http2(address)
    ray_private.require_token(address)


def _require_answer(address: str) -> None:
    host, _, port = address.rpartition(":")
    with socket.create_connection((host.strip("[]"), int(port)), timeout=CONNECT_SECONDS):
        pass


def _require_http2(address: str) -> None:
    """Ray's head speaks gRPC, and so HTTP/2 (RFC 9113): it answers settings with settings. Others may never answer."""
    if os.environ.get("RAY_USE_TLS", "0") != "0":
        return
    host, _, port = address.rpartition(":")
    with socket.create_connection((host.strip("[]"), int(port)), timeout=CONNECT_SECONDS) as connection:
        # Frames begin with their length (3 bytes), type (4: settings), flags (1) and stream (4).
        connection.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes([0, 0, 0, 4, 0, 0, 0, 0, 0]))
        answer = connection.makefile("rb").read(9)
    if len(answer) < 9 or answer[3] != 4:
        raise ConnectionError("what listens there does not speak Ray's protocol")


def _require_socket(path: str) -> None:
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(CONNECT_SECONDS)
        connection.connect(path.removeprefix("unix://"))


def _knocks_at(head: str, raylet: str) -> dict[str, Callable[[], None]]:
    """How head and raylet of a joined cluster are asked, by the words for each; ``OSError``: no answer."""
    return {
        f"its head at {head}": lambda: _require_answer(head),
        "its raylet on this machine": lambda: _require_socket(raylet),
    }


class RayNotStarted(RuntimeError):
    """A Ray of our own did not start: ``ray.init`` raises whatever it likes."""


class RayDied(BaseException):
    """Ray itself is gone: what was running has not failed, it only cannot go on here.

    No ``Exception``: Tune would answer that by asking the dead for its resources, and wait for minutes.
    """


def _died() -> str | None:
    """Which needed process of a Ray of our own is gone, in words; a joined cluster has none here."""
    dead = ray_private.dead_processes()
    return f"Ray died ({', '.join(dead)})" if dead else None


class _Pulse:
    """Whether Ray lives: felt by a thread, since Ray's own calls wait for the dead."""

    def __init__(self) -> None:
        self.dead: str | None = None
        """What has died, in words."""

        self.last_words: Callable[[str], None] = log.error
        """Told of a death by the thread, when the search itself cannot."""

        self.noticed = threading.Event()
        self._knocks: Mapping[str, Callable[[], None]] = {}

    @contextlib.contextmanager
    def felt(self, knocks: Mapping[str, Callable[[], None]]) -> Iterator[None]:
        """Feel it in the background.

        Args:
            knocks: as ``_knocks_at`` returns them; none for a Ray of our own.
        """
        self.dead, self.noticed, done = None, threading.Event(), threading.Event()
        self._knocks = knocks
        thread = threading.Thread(target=self._feel, args=(done,), name="pulse", daemon=True)
        thread.start()
        try:
            yield
        finally:
            done.set()
            self.noticed.set()
            thread.join()
            self._knocks = {}

    def silent(self) -> list[str]:
        """Who does not answer at this moment, in words."""
        found = []
        for who, knock in self._knocks.items():
            try:
                knock()
            except OSError:
                found.append(who)
        return found

    def _feel(self, done: threading.Event) -> None:
        times: Counter[str] = Counter()
        while self.dead is None and not done.wait(KNOCK_SECONDS):
            silent = self.silent()
            times = Counter({who: times[who] + 1 for who in silent})
            gone = [who for who in silent if times[who] >= MAX_SILENT]
            self.dead = f"the Ray cluster died: {' and '.join(gone)} does not answer" if gone else _died()
        if self.dead is not None and not self.noticed.wait(NOTICE_SECONDS):
            # The search waits within Ray, for the dead, and Ray would end the process in its own words. What is
            # finished is on the disk.
            self.last_words(self.dead)
            # Of a Ray of our own; a joined cluster has none here.
            ray_private.kill_processes()
            _end_now()


_pulse = _Pulse()


def on_death(last_words: Callable[[str], None]) -> None:
    """What to say when Ray dies while the search waits for it and cannot say it itself."""
    _pulse.last_words = last_words


def stop_watching() -> None:
    """Wait within Ray no more: should it die from now on, that cuts the end of the search no shorter."""
    _pulse.noticed.set()


def require_ray(*, surely: bool = False) -> None:
    """Look whether Ray lives: the processes of our own, or head and raylet of a joined cluster.

    Args:
        surely: of a joined cluster that does not answer at this moment, wait until it does or is known to be dead.

    Raises:
        RayDied: it does not.
    """
    while True:
        # Here, and not by the thread alone: of our own, what is gone is known at once.
        _pulse.dead = _pulse.dead or _died()
        if _pulse.dead is not None:
            _pulse.noticed.set()
            raise RayDied(_pulse.dead)
        if not surely or not _pulse.silent():
            return
        time.sleep(KNOCK_SECONDS / 4)


def is_own() -> bool:
    """Whether Ray is our own, on this machine alone; a cluster of one node may have more of them in a minute."""
    return ray_private.is_own()
