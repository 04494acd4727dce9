"""A small Ray cluster on this machine, a search on it, and faults of its nodes. Linux only."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

from ray._private.node import Node
from ray.cluster_utils import Cluster

from benchmarks.faults.harness.processes import ProcessTree, kill, processes
from benchmarks.faults.harness.search import Search, arguments_of

NUM_TRIALS = 3

# Fewer trials than Optuna draws at random before it models: no recipe depends on which trial was faster.
SEARCH = [*arguments_of(trials=NUM_TRIALS, folds=2, repeats=0, epochs=4), "--no-racing"]

NOTICE_SECONDS = 2.0
"""Time between SIGTERM and the end of a spot machine."""


@contextlib.contextmanager
def cluster_of(num_nodes: int) -> Iterator[Cluster]:
    """A head and nodes of one CPU each, shut down at the end."""
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "num_gpus": 0, "include_dashboard": False})
    try:
        for _ in range(num_nodes):
            cluster.add_node(num_cpus=1, num_gpus=0)
        cluster.wait_for_nodes()
        yield cluster
    finally:
        cluster.shutdown()


def search_on(cluster: Cluster, folder: Path, tree: ProcessTree, data: Path) -> Search:
    """A small search on the cluster."""
    return Search(folder, tree, data, SEARCH, place_on(cluster))


def place_on(cluster: Cluster) -> list[str]:
    """Command-line arguments that run a search on the cluster."""
    return ["--device", "cpu", "--cpus-per-trial", "1", "--quiet", "--address", str(cluster.address)]


def busy_node(cluster: Cluster) -> Node:
    """A node on which a trial runs."""
    return next(node for node in cluster.list_all_nodes() if not node.head and _trials_of(node))


def inject(cluster: Cluster, node: Node, fault: str) -> list[int]:
    """Apply a fault to a node; returns the PIDs of processes that are stopped and have to be continued.

    Args:
        fault: ``worker``, ``node``, ``notice`` or ``cut``, see ``benchmarks.faults.nodes``.
    """
    pids = _processes_of(node)
    if fault == "worker":
        kill(_trials_of(node)[0])
    elif fault == "node":
        _switch_off(cluster, node, pids)
    elif fault == "notice":
        os.kill(_raylet_of(node), signal.SIGTERM)
        time.sleep(NOTICE_SECONDS)
        _switch_off(cluster, node, pids)
    else:
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        return pids
    return []


def unfreeze(pids: list[int]) -> None:
    """Continue stopped processes, as far as they still exist."""
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)


def _switch_off(cluster: Cluster, node: Node, pids: list[int]) -> None:
    for pid in pids:
        kill(pid)
    cluster.remove_node(node, allow_graceful=False)


def _raylet_of(node: Node) -> int:
    return int(node.all_processes["raylet"][0].process.pid)


def _trials_of(node: Node) -> list[int]:
    """PIDs of the trials on a node."""
    return [each.pid for each, parent in processes() if parent == _raylet_of(node) and "ImplicitFunc" in each.title]


def _processes_of(node: Node) -> list[int]:
    """PIDs of the node's raylet and all its descendants."""
    found, running = {_raylet_of(node)}, list(processes())
    size = 0
    while len(found) > size:
        size = len(found)
        found |= {each.pid for each, parent in running if parent in found}
    return sorted(found)
