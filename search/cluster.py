"""A Ray of our own or a cluster's: joined, started, looked after."""

from __future__ import annotations

import contextlib
import logging
import os
import socket
from collections.abc import Iterator

import ray
from ray._private import ray_constants, worker
from ray._private.services import canonicalize_bootstrap_address

from leukemia.mistakes import Mistake

log = logging.getLogger("search")

CONNECT_SECONDS = 10
"""How long a Ray cluster's head may take to answer."""

NEEDED_PROCESSES = (ray_constants.PROCESS_TYPE_RAYLET, ray_constants.PROCESS_TYPE_GCS_SERVER)
"""Of a Ray of our own; it goes on without its others."""


@contextlib.contextmanager
def ray_session(address: str | None) -> Iterator[bool]:
    """Join a cluster, or start a Ray of our own that listens on loopback only; yields whether it is our own.

    Without an address that is the cluster this machine belongs to (``RAY_ADDRESS``, or where ``ray start`` was run).

    Raises:
        Mistake: no Ray answers at the address.
        RayNotStarted: one of our own does not start.
    """
    logging.getLogger("ray").setLevel(logging.ERROR)
    # Else Ray prints to the terminal what its processes complain of, and breaks the table there.
    worker.print_to_stdstream = lambda data, **_: log.info("Ray: %s", " ".join(data["lines"]))
    common = {"log_to_driver": False, "logging_level": logging.CRITICAL, "configure_logging": False}
    try:
        joining = None if address == "local" else canonicalize_bootstrap_address(address)
        if joining is not None:
            _require_answer(joining)
            ray.init(address=joining, **common)
    except Exception as error:
        raise Mistake(
            f"--address {address or os.environ.get('RAY_ADDRESS', 'local')}: no Ray there ({_first_line(error)}); "
            "start one with `ray start --head` or `ray up`, or use --address local"
        ) from None
    if joining is None:
        try:
            with _loopback_only(), _key_kept_here():
                ray.init(address="local", include_dashboard=False, _node_ip_address="127.0.0.1", **common)
        except Exception as error:
            ray.shutdown()
            raise RayNotStarted(
                f"Ray did not start ({_first_line(error)}); try again when the machine is less busy, or look why in "
                "Ray's own logs (by default /tmp/ray/session_latest/logs)"
            ) from None
    try:
        yield joining is None
    finally:
        ray.shutdown()


def _first_line(error: Exception) -> str:
    return next(iter(str(error).splitlines()), type(error).__name__)


@contextlib.contextmanager
def _loopback_only() -> Iterator[None]:
    """Make a Ray that starts now keep to 127.0.0.1: whoever reaches its ports runs code here.

    Ray replaces that address by the machine's own and listens everywhere, unless told that it is part of no cluster.
    """
    name = ray_constants.ENABLE_RAY_CLUSTERS_ENV_VAR
    before = ray_constants.ENABLE_RAY_CLUSTER, os.environ.get(name)
    # The processes that Ray starts read the variable.
    ray_constants.ENABLE_RAY_CLUSTER, os.environ[name] = False, "0"
    try:
        yield
    finally:
        ray_constants.ENABLE_RAY_CLUSTER = before[0]
        del os.environ[name]
        os.environ |= {} if before[1] is None else {name: before[1]}


@contextlib.contextmanager
def _key_kept_here() -> Iterator[None]:
    """Keep the W&B key out of the environment of Ray's processes: the driver alone speaks to W&B."""
    key = os.environ.pop("WANDB_API_KEY", None)
    try:
        yield
    finally:
        if key is not None:
            os.environ["WANDB_API_KEY"] = key


def _require_answer(address: str) -> None:
    """Knock first: at an address without an answer ``ray.init`` tries again for minutes."""
    host, _, port = address.rpartition(":")
    with socket.create_connection((host.strip("[]"), int(port)), timeout=CONNECT_SECONDS):
        pass


class RayNotStarted(RuntimeError):
    """A Ray of our own did not start: ``ray.init`` raises whatever it likes."""


class RayDied(BaseException):
    """Ray itself is gone: what was running has not failed, it only cannot go on here.

    No ``Exception``: Tune would answer that by asking the dead for its resources, and wait for minutes.
    """


def require_ray() -> None:
    """Look whether all processes live without which a Ray of our own does nothing; of a cluster we have none here.

    Raises:
        RayDied: one is dead.
    """
    dead = [name for name, _ in worker._global_node.dead_processes() if name in NEEDED_PROCESSES]
    if dead:
        raise RayDied(f"Ray died ({', '.join(dead)})")


def num_nodes() -> int:
    """Nodes that are alive."""
    return sum(node["Alive"] for node in ray.nodes())
