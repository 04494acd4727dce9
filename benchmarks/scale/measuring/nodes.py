"""Simulate many Ray nodes on one machine, and measure the memory of their processes."""

from __future__ import annotations

import contextlib
import statistics
import threading
from collections.abc import Iterator
from pathlib import Path

import psutil
from ray.cluster_utils import Cluster

STORE_MEGABYTES = 80
"""Size of a node's object store; Ray requires at least 75."""


@contextlib.contextmanager
def simulated_nodes(num_nodes: int, num_cpus: int) -> Iterator[str]:
    """A Ray cluster of processes on this machine with the CPUs distributed over its nodes; yields its address.

    A node may have no CPU, and the head has none for trials.
    """
    common = {"include_dashboard": False, "object_store_memory": STORE_MEGABYTES * 1024**2}
    cluster = Cluster()
    try:
        cluster.add_node(num_cpus=0, **common)
        for node in range(num_nodes):
            cpus = num_cpus // num_nodes + (node < num_cpus % num_nodes)
            cluster.add_node(num_cpus=cpus, wait=False, **common)
        cluster.wait_for_nodes(timeout=600)
        yield cluster.address
    finally:
        cluster.shutdown()


def memory_by_kind() -> dict[str, dict[str, float]]:
    """Descendant processes by kind: their count, median and total memory in MB (proportional set size)."""
    sizes: dict[str, list[float]] = {}
    for process in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.Error):
            sizes.setdefault(_kind(" ".join(process.cmdline())), []).append(process.memory_full_info().pss / 1024**2)
    return {
        kind: {"count": len(each), "megabytes": statistics.median(each), "total": sum(each)}
        for kind, each in sorted(sizes.items())
    }


def _kind(command: str) -> str:
    kinds = {
        "ray::ImplicitFunc": "worker",
        "ray::IDLE": "idle worker",
        "raylet/raylet": "raylet",
        "Agent": "agent",
        "agent": "agent",
        "gcs_server": "head service",
    }
    return next((kind for part, kind in kinds.items() if part in command), "other")


class MemorySnapshot(threading.Thread):
    """Measures the memory of all processes once, when every worker has started."""

    def __init__(self, slept: Path, num_workers: int) -> None:
        super().__init__(daemon=True)
        self._slept, self._num_workers = slept, num_workers
        self._over = threading.Event()
        self.found: dict[str, dict[str, float]] = {}

    def run(self) -> None:
        """Wait until all workers have started, or the search is over."""
        while not self._over.wait(1.0):
            if len(list(self._slept.glob("*.csv"))) >= self._num_workers:
                self.found = memory_by_kind()
                return

    def stop(self) -> None:
        """Give up waiting and join the thread."""
        self._over.set()
        self.join()
