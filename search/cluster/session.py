"""Join a Ray cluster, or start our own Ray on this machine."""

from __future__ import annotations

import atexit
import contextlib
import logging
import os
import re
import socket
from collections.abc import Iterator
from pathlib import Path

import ray
from ray.exceptions import AuthenticationError

from leukemia.base import interrupts
from leukemia.base.cpus import available_cpus
from leukemia.base.errors import UserError, first_line
from search.cluster import heartbeat, ray_private, requirements


class RayNotStarted(RuntimeError):
    """Our own Ray did not start; ``ray.init`` may raise anything."""


@contextlib.contextmanager
def ray_session(address: str | None) -> Iterator[bool]:
    """Join a cluster, or start our own Ray that listens on loopback only; yields whether it is our own.

    Args:
        address: HOST:PORT, ``auto`` or ``local``. None: the cluster that this machine belongs to (``RAY_ADDRESS``, or
            where ``ray start`` was run), else our own Ray.

    Raises:
        UserError: there is no Ray cluster at the address, or it cannot be joined; or this machine lacks what Ray needs.
        RayNotStarted: our own Ray did not start.
    """
    logging.getLogger("ray").setLevel(logging.ERROR)
    # The search itself reports how trials ended.
    logging.getLogger("ray.tune").setLevel(logging.CRITICAL)
    ray_private.log_workers_output()
    common = {"log_to_driver": False, "logging_level": logging.CRITICAL, "configure_logging": False}
    joining = cluster_to_join(address)
    if joining is not None:
        with _naming(address):
            ray.init(address=joining, **common)
    else:
        try:
            with ray_private.loopback_only(), _without_wandb_key(), _private_token():
                ray.init(
                    address="local",
                    # Ray itself would count all CPUs of the machine.
                    num_cpus=available_cpus(),
                    include_dashboard=False,
                    _node_ip_address="127.0.0.1",
                    **common,
                )
        except Exception as error:
            ray.shutdown()
            interrupts.check()
            advice = requirements.likely_cause() or (
                "try again when the machine is less busy, or look for the reason in Ray's logs "
                f"({ray_private.temporary_folder()}/session_latest/logs)"
            )
            raise RayNotStarted(f"Ray did not start ({first_line(error)}); {advice}") from None
    pings = {} if joining is None else heartbeat.pings_of(joining, ray_private.raylet_socket())
    try:
        with heartbeat.watching(pings):
            yield joining is None
    finally:
        if joining is None or not heartbeat.has_crashed():
            ray.shutdown()
        else:
            # Disconnecting from a crashed cluster, now or when the process exits, takes a minute or crashes.
            ray_private.skip_shutdown_at_exit()
            atexit.register(heartbeat.exit_now)


def cluster_to_join(address: str | None) -> str | None:
    """The head of the cluster that ``ray_session`` joins, None if it starts our own Ray; nothing is joined or started.

    Raises:
        UserError: there is no Ray cluster at the address, it cannot be joined, or our own Ray cannot start here.
    """
    with _naming(address):
        if address not in (None, "auto", "local") and not re.fullmatch(r"[^:].*:\d{1,5}", address):
            raise ValueError("expected HOST:PORT, auto or local")
        joining = None if address == "local" else ray_private.cluster_address(address)
        if joining is not None:
            _require_access(joining)
    if joining is None:
        requirements.check_machine()
    return joining


@contextlib.contextmanager
def _naming(address: str | None) -> Iterator[None]:
    """Turn any error into one that names the address, and the option or variable that gave it."""
    try:
        yield
    except Exception as error:
        interrupts.check()
        given = f"--address {'local' if address is None else address}"
        if address is None and "RAY_ADDRESS" in os.environ:
            given = f"RAY_ADDRESS={os.environ['RAY_ADDRESS']}"
        raise UserError(f"{given}: {_why_not_joined(error)}") from None


def _why_not_joined(error: Exception) -> str:
    """Why a cluster cannot be joined, and what to do."""
    if isinstance(error, AuthenticationError):
        return (
            "this cluster requires its token; run the search on its head, or copy the token to ~/.ray/auth_token "
            "(mode 0600) and set RAY_AUTH_MODE=token"
        )
    # The cluster's versions come first, then those of this process.
    versions = re.findall(r"^ *(Ray|Python): (\S+)$", str(error), re.MULTILINE)
    if str(error).startswith("Version mismatch") and len(versions) == 4:
        there, here = (", ".join(" ".join(pair) for pair in half) for half in (versions[:2], versions[2:]))
        return f"the cluster has {there}, this environment {here}; install the cluster's here, or run on its head"
    return (
        f"no Ray cluster found there ({first_line(error)}); start one with `ray start --head` or `ray up`, or use "
        "--address local"
    )


@contextlib.contextmanager
def _without_wandb_key() -> Iterator[None]:
    """Keep the W&B key out of the environment of Ray's processes: only the driver talks to W&B."""
    key = os.environ.pop("WANDB_API_KEY", None)
    try:
        yield
    finally:
        if key is not None:
            os.environ["WANDB_API_KEY"] = key


@contextlib.contextmanager
def _private_token() -> Iterator[None]:
    """Make the token that Ray creates at its first start unreadable for other users: anyone who has it runs code."""
    token = Path.home() / ".ray" / "auth_token"
    existed = token.exists()
    try:
        yield
    finally:
        if not existed and token.exists():
            token.chmod(0o600)


def _require_access(address: str) -> None:
    """Check the address first: if it is not Ray or denies access, ``ray.init`` retries for half a minute or more."""
    heartbeat.ping_address(address)
    _require_http2(address)
    ray_private.require_token(address)
    ray_private.require_version(address)


def _require_http2(address: str) -> None:
    """Ray's head uses gRPC, hence HTTP/2 (RFC 9113), and responds to SETTINGS with SETTINGS. Others may not respond."""
    if os.environ.get("RAY_USE_TLS", "0") != "0":
        return
    host, _, port = address.rpartition(":")
    with socket.create_connection((host.strip("[]"), int(port)), timeout=heartbeat.TIMEOUT_SECONDS) as connection:
        # A frame begins with its length (3 bytes), type (4: settings), flags (1) and stream (4).
        connection.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes([0, 0, 0, 4, 0, 0, 0, 0, 0]))
        response = connection.makefile("rb").read(9)
    if len(response) < 9 or response[3] != 4:
        raise ConnectionError("the service at that address is not Ray")
