"""Ray's private parts. Each may change with any release of Ray: they are in this file alone, and Ray is pinned."""

from __future__ import annotations

import atexit
import contextlib
import json
import logging
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import ray.autoscaler
from ray._private import ray_constants, worker
from ray._private.authentication.authentication_token_setup import maybe_enable_token_auth_if_token_available
from ray._private.services import canonicalize_bootstrap_address
from ray._raylet import GcsClient  # type: ignore[attr-defined]  # compiled
from ray.air.execution._internal.actor_manager import RayActorManager
from ray.air.execution._internal.tracked_actor_task import TrackedActorTask
from ray.autoscaler._private.util import prepare_config, validate_config
from ray.exceptions import AuthenticationError, OutOfMemoryError, RayActorError

log = logging.getLogger(__name__)

NEEDED_PROCESSES = (ray_constants.PROCESS_TYPE_RAYLET, ray_constants.PROCESS_TYPE_GCS_SERVER)
"""Of a Ray of our own; it goes on without its others."""


def log_workers_output() -> None:
    """Send what Ray's processes complain of to the log. Ray prints it to the terminal, and breaks the table there."""
    worker.print_to_stdstream = lambda data, **_: log.info("Ray: %s", " ".join(data["lines"]))


def cluster_address(address: str | None) -> str | None:
    """The head of the cluster that an address, ``RAY_ADDRESS`` or this machine names; None: there is none."""
    found: str | None = canonicalize_bootstrap_address(address)
    return found


def require_token(address: str) -> None:
    """Ask a cluster's head whether it lets this process in.

    Raises:
        AuthenticationError: it does not.
    """
    try:
        GcsClient(address=address)
    except AuthenticationError:
        # Ray guards what it starts once the user has a token, but shows that token to nobody unless it is told to.
        if not maybe_enable_token_auth_if_token_available(warn_if_disabled=False):
            raise
        GcsClient(address=address)


@contextlib.contextmanager
def loopback_only() -> Iterator[None]:
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


def raylet_socket() -> str:
    """Path of the socket of the raylet that this process is connected to."""
    return str(worker._global_node.raylet_socket_name)


def is_own() -> bool:
    """Whether this process has started the Ray that it is connected to."""
    return bool(worker._global_node.is_head())


def dead_processes() -> list[str]:
    """Needed processes of a Ray of our own that are gone; a joined cluster has none here."""
    return [name for name, _ in worker._global_node.dead_processes() if name in NEEDED_PROCESSES]


def kill_processes() -> None:
    """End all processes of a Ray of our own; a joined cluster has none here."""
    worker._global_node.kill_all_processes(check_alive=False, allow_graceful=True)


def skip_shutdown_at_exit() -> None:
    """Keep Ray from disconnecting when this process exits: from a dead cluster that takes a minute, or crashes."""
    atexit.unregister(worker.shutdown)


@contextlib.contextmanager
def treat_oom_as_crash() -> Iterator[None]:
    """Take a worker that Ray has ended for want of memory for one that died; it is then started again.

    Most ends of that kind Tune sees so by itself. Of one that comes while the worker starts it may hear in another
    way, which it does not expect, and would give up the whole search; nothing public tells it otherwise.
    """
    hear = RayActorManager._actor_task_failed

    def hear_of_death(self: RayActorManager, tracked_actor_task: TrackedActorTask, exception: Exception) -> None:
        if isinstance(exception, OutOfMemoryError):
            log.warning("a node is short of memory, and Ray ended a trial's process; --cpus-per-trial lets fewer run")
            exception = RayActorError(error_msg=str(exception))
        hear(self, tracked_actor_task=tracked_actor_task, exception=exception)

    RayActorManager._actor_task_failed = hear_of_death
    try:
        yield
    finally:
        RayActorManager._actor_task_failed = hear


def cluster_schema() -> dict[str, Any]:
    """The JSON schema of a cluster's file, as ``ray up`` uses it."""
    path = Path(ray.autoscaler.__file__).parent / "ray-schema.json"
    schema: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return schema


def checked_cluster_config(config: dict[str, Any]) -> dict[str, Any]:
    """A cluster's configuration as ``ray up`` fills it up and checks it; Ray publishes no check of its own.

    Raises:
        jsonschema.ValidationError: it does not follow the schema.
        Exception: whatever Ray raises where a field is not what it expects.
    """
    prepared: dict[str, Any] = prepare_config(config)
    validate_config(prepared)
    return prepared
