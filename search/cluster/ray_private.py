"""Ray's private APIs. Any release of Ray may change them: they are used in this file only, and Ray is pinned."""

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
from ray._common.usage.usage_lib import get_cluster_metadata
from ray._common.utils import get_default_ray_temp_dir
from ray._private import ray_constants, worker
from ray._private.authentication.authentication_token_setup import maybe_enable_token_auth_if_token_available
from ray._private.resource_and_label_spec import ResourceAndLabelSpec
from ray._private.services import canonicalize_bootstrap_address
from ray._private.utils import check_version_info
from ray._raylet import GcsClient  # type: ignore[attr-defined]  # compiled
from ray.air.execution._internal.actor_manager import RayActorManager
from ray.air.execution._internal.tracked_actor_task import TrackedActorTask
from ray.autoscaler._private.util import prepare_config, validate_config
from ray.core.generated.gcs_pb2 import GcsNodeInfo
from ray.exceptions import AuthenticationError, OutOfMemoryError, RayActorError
from ray.tune.execution import class_cache

log = logging.getLogger(__name__)

NEEDED_PROCESSES = (ray_constants.PROCESS_TYPE_RAYLET, ray_constants.PROCESS_TYPE_GCS_SERVER)
"""Of our own Ray, which keeps working without its other processes."""

KEY_SECONDS = 5
"""How long the head may take to answer about a key."""


def log_workers_output() -> None:
    """Send the output of Ray's processes to the log. Ray prints it to the terminal, which breaks the progress table."""
    worker.print_to_stdstream = lambda data, **_: log.info("Ray: %s", " ".join(data["lines"]))


def cluster_address(address: str | None) -> str | None:
    """The head of the cluster given by an address, ``RAY_ADDRESS`` or this machine's own Ray; None if there is none."""
    found: str | None = canonicalize_bootstrap_address(address)
    return found


def require_token(address: str) -> None:
    """Check that a cluster's head accepts this process.

    Raises:
        AuthenticationError: it does not.
    """
    try:
        GcsClient(address=address)
    except AuthenticationError:
        # Once the user has a token, clusters that Ray starts require it, but clients send it only when enabled.
        if not maybe_enable_token_auth_if_token_available(warn_if_disabled=False):
            raise
        GcsClient(address=address)


def require_version(address: str) -> None:
    """Check that a cluster has the versions of Ray and Python of this process, as ``ray.init`` does.

    Raises:
        RuntimeError: it does not.
    """
    check_version_info(get_cluster_metadata(GcsClient(address=address)), "this process")


def cluster_nodes(address: str) -> list[GcsNodeInfo]:
    """The nodes that are alive in a cluster that this process has not joined, by the address of its head."""
    nodes: dict[Any, GcsNodeInfo] = GcsClient(address=address).get_all_node_info()
    return [node for node in nodes.values() if node.state == GcsNodeInfo.ALIVE]


def own_gpus() -> float:
    """Number of GPUs that our own Ray would find on this machine."""
    return float(ResourceAndLabelSpec().resolve(is_head=True, node_ip_address="127.0.0.1").num_gpus)


@contextlib.contextmanager
def loopback_only() -> Iterator[None]:
    """Make a Ray started in this block listen on 127.0.0.1 only: anyone who can reach its ports can run code here.

    Unless clusters are disabled, Ray replaces that address by the machine's own and listens on all interfaces.
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


def temporary_folder() -> str:
    """Where a Ray that is started here keeps its sessions: ``RAY_TMPDIR``, else ``TMPDIR`` on Linux, else /tmp."""
    return str(get_default_ray_temp_dir())


def raylet_socket() -> str:
    """Path of the socket of the raylet that this process is connected to."""
    return str(worker._global_node.raylet_socket_name)


def is_own() -> bool:
    """Whether this process has started the Ray that it is connected to."""
    return bool(worker._global_node.is_head())


def own_logs() -> Path | None:
    """Folder of the logs of our own Ray; None in a joined cluster."""
    return Path(worker._global_node.get_logs_dir_path()) if is_own() else None


def dead_processes() -> list[str]:
    """Needed processes of our own Ray that have ended; a joined cluster has none here."""
    return [name for name, _ in worker._global_node.dead_processes() if name in NEEDED_PROCESSES]


def kill_processes() -> None:
    """End all processes of our own Ray; a joined cluster has none here."""
    worker._global_node.kill_all_processes(check_alive=False, allow_graceful=True)


def skip_shutdown_at_exit() -> None:
    """Keep Ray from disconnecting when this process exits: from a crashed cluster that takes a minute, or crashes."""
    atexit.unregister(worker.shutdown)


def put_key(key: str) -> None:
    """Set a key in the store of the cluster's head, for all processes that are connected to it.

    Raises:
        Exception: the head does not answer.
    """
    worker.global_worker.gcs_client.internal_kv_put(key.encode(), b"1", True, None, timeout=KEY_SECONDS)


def has_key(key: str) -> bool:
    """Whether a key is set in the store of the cluster's head.

    Raises:
        Exception: the head does not answer.
    """
    return bool(worker.global_worker.gcs_client.internal_kv_exists(key.encode(), None, timeout=KEY_SECONDS))


@contextlib.contextmanager
def treat_oom_as_crash() -> Iterator[None]:
    """Treat a worker that Ray killed because a node ran out of memory as crashed, so that it is restarted.

    Tune mostly does so itself. If the worker is killed while it starts, Tune may get an error that it does not expect,
    and would end the whole search; no public setting changes that. Also retry a trial that was to use a process again
    that is gone.
    """
    task_failed = RayActorManager._actor_task_failed

    def task_crashed(self: RayActorManager, tracked_actor_task: TrackedActorTask, exception: Exception) -> None:
        if isinstance(exception, OutOfMemoryError):
            log.warning(
                "a node is low on memory and Ray killed a trial's process; a higher --cpus-per-trial runs fewer at once"
            )
            exception = RayActorError(error_msg=str(exception))
        if isinstance(exception, RayActorError):
            _forget_reset(tracked_actor_task)
        task_failed(self, tracked_actor_task=tracked_actor_task, exception=exception)

    RayActorManager._actor_task_failed = task_crashed
    try:
        yield
    finally:
        RayActorManager._actor_task_failed = task_failed


def _forget_reset(task: TrackedActorTask) -> None:
    """Let a trial get another process if the one that it was to use again is gone, as with a node that was lost.

    Tune counts this failure twice, the second time as the end of the trial, and would give it no other process.
    """
    actor = task._tracked_actor
    controller: Any = getattr(actor._on_error, "__self__", None)
    trial = controller and controller._actor_to_trial.get(actor)
    if trial and trial in controller._resetting_trials:
        controller._resetting_trials.remove(trial)
        task._on_error = None


def preferring(node_id: str) -> dict[str, Any]:
    """Arguments of a placement group that is placed on a node if there is room, else elsewhere.

    The public strategies and label selectors are strict: a group would wait for a node that is full or lost.
    """
    return {"strategy": "STRICT_PACK", "_soft_target_node_id": node_id}


@contextlib.contextmanager
def without_secrets() -> Iterator[None]:
    """Keep AWS credentials out of the trials' runtime environments, which Ray logs where other users can read them.

    Tune copies them from the driver's environment (``ENV_VARS_TO_PROPAGATE``); no public setting changes that.
    """
    propagated = class_cache.ENV_VARS_TO_PROPAGATE
    class_cache.ENV_VARS_TO_PROPAGATE = {name for name in propagated if not name.startswith("AWS_")}
    try:
        yield
    finally:
        class_cache.ENV_VARS_TO_PROPAGATE = propagated


def cluster_schema() -> dict[str, Any]:
    """The JSON schema of a cluster file, as used by ``ray up``."""
    path = Path(ray.autoscaler.__file__).parent / "ray-schema.json"
    schema: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return schema


def checked_cluster_config(config: dict[str, Any]) -> dict[str, Any]:
    """A cluster configuration with defaults filled in and validated as by ``ray up``; Ray has no public API for it.

    Raises:
        jsonschema.ValidationError: it does not follow the schema.
        Exception: of any type, if Ray does not expect the value of a field.
    """
    prepared: dict[str, Any] = prepare_config(config)
    validate_config(prepared)
    return prepared
