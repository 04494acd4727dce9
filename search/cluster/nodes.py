"""The nodes of a Ray cluster: those that are alive, and those that its autoscaler may start."""

from __future__ import annotations

import functools
import os
import socket
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ray
import yaml  # type: ignore[import-untyped]  # comes with Ray, which reads its own files with it

from leukemia.base.cpus import available_cpus
from search.cluster import ray_private

MONITOR, CONFIG, ADDRESS = "monitor.py", "--autoscaling-config=", "--gcs-address="
"""Name and arguments of the head's autoscaler process."""


@dataclass(frozen=True, kw_only=True)
class Node:
    """One machine of a cluster, as a trial sees it."""

    cpus: int
    gpus: float
    node_id: str = ""
    """Ray's ID; empty if the node has not been started."""

    name: str = ""
    """Its address, for display."""

    here: bool = False
    """Whether it is this machine."""


@dataclass(frozen=True, kw_only=True)
class Nodes:
    """The current and possible nodes of a cluster."""

    now: tuple[Node, ...]
    """Nodes that are alive."""

    more: tuple[Node, ...] = ()
    """Nodes that the autoscaler may start in addition, by the limits of each type."""

    max_more: int = 0
    """How many of ``more`` may run at once."""

    def without(self, avoided: frozenset[str]) -> Nodes:
        """The cluster without some nodes, given by their IDs."""
        now = tuple(node for node in self.now if node.node_id not in avoided)
        return Nodes(now=now, more=self.more, max_more=self.max_more)


def nodes_now() -> tuple[Node, ...]:
    """The nodes that are alive."""
    own = ray.get_runtime_context().get_node_id()
    return tuple(
        Node(
            cpus=int(node["Resources"].get("CPU", 0)),
            gpus=float(node["Resources"].get("GPU", 0)),
            node_id=node["NodeID"],
            name=node["NodeManagerAddress"],
            here=node["NodeID"] == own,
        )
        for node in ray.nodes()
        if node["Alive"]
    )


def smallest_store() -> tuple[str, int]:
    """The node with the smallest object store: its address, and the size of the store in bytes."""
    stores = [
        (node["NodeManagerAddress"], int(node["Resources"].get("object_store_memory", 0)))
        for node in ray.nodes()
        if node["Alive"]
    ]
    return min(stores, key=lambda store: store[1])


def current_nodes() -> Nodes:
    """The nodes that are alive, and those that the autoscaler may start if it runs on this machine."""
    return _with_more(nodes_now(), ray.get_runtime_context().gcs_address)


def expected_nodes(joining: str | None) -> Nodes:
    """The nodes that a search will have; Ray is neither joined nor started.

    Args:
        joining: address of the head of the cluster to join; None to start our own Ray on this machine.
    """
    if joining is None:
        return Nodes(now=(Node(cpus=available_cpus(), gpus=ray_private.own_gpus(), here=True),))
    now = tuple(
        Node(
            cpus=int(node.resources_total.get("CPU", 0)),
            gpus=float(node.resources_total.get("GPU", 0)),
            node_id=node.node_id.hex(),
            name=node.node_manager_address,
            here=node.node_manager_hostname == socket.gethostname(),
        )
        for node in ray_private.cluster_nodes(joining)
    )
    return _with_more(now, joining)


def _with_more(now: tuple[Node, ...], address: str) -> Nodes:
    config = autoscaler_config(address)
    return Nodes(now=now) if config is None else grown(now, config)


def grown(now: tuple[Node, ...], config: Mapping[str, Any]) -> Nodes:
    """The nodes of a cluster and those that its autoscaler's configuration allows.

    A node type without a number of CPUs (a lab's machines, whose size is unknown until they join) adds none.
    """
    alive = Counter((node.cpus, node.gpus) for node in now)
    more: list[Node] = []
    most = int(config.get("max_workers", 0))
    for name, kind in config.get("available_node_types", {}).items():
        size = kind.get("resources") or {}
        if name == config.get("head_node_type") or "CPU" not in size:
            continue
        node = Node(cpus=int(size["CPU"]), gpus=float(size.get("GPU", 0)))
        running = min(alive[node.cpus, node.gpus], int(kind.get("max_workers", most)))
        alive[node.cpus, node.gpus] -= running
        more += [node] * (int(kind.get("max_workers", most)) - running)
    # The head does not count as a worker.
    return Nodes(now=now, more=tuple(more), max_more=min(len(more), max(0, most - (len(now) - 1))))


@functools.lru_cache(maxsize=1)
def autoscaler_config(address: str) -> dict[str, Any] | None:
    """The autoscaler configuration of the cluster at an address; None if no process on this machine names one that
    can be read.

    Ray's API has the nodes that are alive, not those that may be started: ``get_max_resources_from_cluster_config`` is
    empty for clusters made by ``ray up``, with both autoscalers. Their configuration is a file on the head, where the
    search runs; it is named in the command line of the autoscaler process.
    """
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            arguments = (folder / "cmdline").read_bytes().decode(errors="replace").split("\0")
        except OSError:
            continue
        if f"{ADDRESS}{address}" in arguments and any(argument.endswith(MONITOR) for argument in arguments):
            files = [argument.removeprefix(CONFIG) for argument in arguments if argument.startswith(CONFIG)]
            return _read_config(folder, files[0]) if files and files[0] else None
    return None


def _read_config(process: Path, named: str) -> dict[str, Any] | None:
    """The autoscaler configuration that a process names; None if it cannot be read, as may be another user's."""
    try:
        # Without a shell in between, ``~`` has not been expanded; it is the home of the process's user.
        is_own = process.stat().st_uid == os.getuid()
        config = yaml.safe_load((Path(named).expanduser() if is_own else Path(named)).read_text())
    except (OSError, ValueError, RuntimeError, yaml.YAMLError):
        return None
    return config if isinstance(config, dict) else None
