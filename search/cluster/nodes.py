"""The nodes of a Ray cluster: those that live, and those that its autoscaler may start."""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ray
import yaml  # type: ignore[import-untyped]  # comes with Ray, which reads its own files with it

MONITOR, CONFIG, ADDRESS = "monitor.py", "--autoscaling-config=", "--gcs-address="
"""Name and arguments of the head's process that scales the cluster."""


@dataclass(frozen=True, kw_only=True)
class Node:
    """One machine of a cluster, as far as trials are concerned."""

    cpus: int
    gpus: float
    node_id: str = ""
    """Ray's own; empty while it has not been started."""

    name: str = ""
    """Its address, for people."""


@dataclass(frozen=True, kw_only=True)
class Nodes:
    """What a cluster is made of."""

    now: tuple[Node, ...]
    """Those that live."""

    more: tuple[Node, ...] = ()
    """Those that the autoscaler may start beside them, as far as their kind is concerned."""

    max_more: int = 0
    """How many of ``more`` may live at once."""

    def without(self, avoided: frozenset[str]) -> Nodes:
        """The cluster without some nodes, by their ids."""
        now = tuple(node for node in self.now if node.node_id not in avoided)
        return Nodes(now=now, more=self.more, max_more=self.max_more)


def nodes_now() -> tuple[Node, ...]:
    """The nodes that are alive."""
    return tuple(
        Node(
            cpus=int(node["Resources"].get("CPU", 0)),
            gpus=float(node["Resources"].get("GPU", 0)),
            node_id=node["NodeID"],
            name=node["NodeManagerAddress"],
        )
        for node in ray.nodes()
        if node["Alive"]
    )


def is_here(node: Node) -> bool:
    """Whether a node is the one that this process runs on."""
    return bool(node.node_id == ray.get_runtime_context().get_node_id())


def look() -> Nodes:
    """The cluster as it is now, and what it may grow to where its autoscaler runs on this machine."""
    now = nodes_now()
    config = autoscaler_config(ray.get_runtime_context().gcs_address)
    return Nodes(now=now) if config is None else grown(now, config)


def grown(now: tuple[Node, ...], config: Mapping[str, Any]) -> Nodes:
    """What an autoscaler's configuration lets a cluster become.

    A node type without a number of processors (machines of a lab, whose size only they know) promises nothing.
    """
    living = Counter((node.cpus, node.gpus) for node in now)
    more: list[Node] = []
    most = int(config.get("max_workers", 0))
    for name, kind in config.get("available_node_types", {}).items():
        size = kind.get("resources") or {}
        if name == config.get("head_node_type") or "CPU" not in size:
            continue
        node = Node(cpus=int(size["CPU"]), gpus=float(size.get("GPU", 0)))
        there = min(living[node.cpus, node.gpus], int(kind.get("max_workers", most)))
        living[node.cpus, node.gpus] -= there
        more += [node] * (int(kind.get("max_workers", most)) - there)
    # The head is none of the workers.
    return Nodes(now=now, more=tuple(more), max_more=min(len(more), max(0, most - (len(now) - 1))))


@functools.lru_cache(maxsize=1)
def autoscaler_config(address: str) -> dict[str, Any] | None:
    """How the cluster at an address may be scaled, None where nothing on this machine says so.

    Ray tells its programs the nodes that live, not those that may come: ``get_max_resources_from_cluster_config`` is
    empty for clusters that ``ray up`` made, under both autoscalers. Their configuration is a file on the head, named
    in the command line of the process that scales. A search runs on the head.
    """
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            words = (folder / "cmdline").read_bytes().decode(errors="replace").split("\0")
        except OSError:
            continue
        if f"{ADDRESS}{address}" in words and any(word.endswith(MONITOR) for word in words):
            files = [word.removeprefix(CONFIG) for word in words if word.startswith(CONFIG)]
            # Where the machine's own user runs it, ``~`` has been expanded by nobody.
            return yaml.safe_load(Path(files[0]).expanduser().read_text()) if files and files[0] else None
    return None
