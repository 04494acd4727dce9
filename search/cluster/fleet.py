"""The nodes as a search uses them: how many trials fit, where each may run, and when to warn that none can."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ray.tune import PlacementGroupFactory

from leukemia.config.recipe import Recipe
from leukemia.study.job import Job
from search.cluster import requirements
from search.cluster.heartbeat import RayCrashed
from search.cluster.nodes import Nodes
from search.cluster.ray_private import preferring
from search.cluster.resources import Resources
from search.cluster.tune_config import Placement, placement_of
from search.policy.health import Health, Rescheduled
from search.policy.packing import Packing
from search.policy.task import Task

log = logging.getLogger(__name__)

REFRESH_SECONDS = 5.0
"""How often the list of nodes is refreshed: nodes join and leave within minutes."""

STALLED_SECONDS = 60.0
"""After this long without a running trial, the log shows what the search is waiting for."""


class NoNodeLeft(RayCrashed):
    """No node is left that may run a trial. Nothing has failed, but the search cannot continue here."""


def request_of(config: dict[str, Any]) -> PlacementGroupFactory:
    """What Tune requests from Ray for a task, from its configuration (``Fleet.place``).

    Tune pickles the function: everything it depends on must be in the configuration.
    """
    placement = placement_of(config)
    bundle = {"CPU": placement.cpus, "GPU": placement.gpus}
    options: dict[str, Any] = preferring(placement.prefer) if placement.prefer else {}
    if placement.avoid:
        options["bundle_label_selector"] = [{"ray.io/node-id": f"!in({','.join(placement.avoid)})"}]
    return PlacementGroupFactory([bundle], **options)


class Fleet:
    """Assigns the tasks of a search to nodes."""

    def __init__(
        self, resources: Resources, current_nodes: Callable[[], Nodes], *, own_logs: Path | None = None
    ) -> None:
        """Args:
        own_logs: logs of our own Ray; None in a cluster, which others may use as well.
        """
        self._resources, self._current_nodes, self._own_logs = resources, current_nodes, own_logs
        self._health, self._packing = Health(), Packing()
        self._need_whole: set[Job] = set()
        self._placed: dict[Task, float] = {}
        self._started: set[Task] = set()
        self._nodes, self._refreshed = current_nodes(), time.monotonic()
        self._last_progress = self._refreshed
        self._warned = False

    def nodes(self) -> Nodes:
        """The cluster without avoided nodes, as of a few seconds ago."""
        if time.monotonic() > self._refreshed + REFRESH_SECONDS:
            self._nodes, self._refreshed = self._current_nodes(), time.monotonic()
        return self._nodes.without(self._health.avoided)

    def capacity(self) -> int:
        """How many tasks can run at once when the cluster has grown to its maximum; 1 while there are no nodes."""
        return max(1, self._resources.capacity(self.nodes()))

    def is_full(self) -> bool:
        """Whether another task would have to wait."""
        return self._num_free() < 1e-3

    def _num_free(self) -> float:
        """Number of free places; a fraction if tasks share GPUs."""
        taken = sum(self._placed.values()) if self._resources.packed else len(self._placed)
        return self.capacity() - taken

    def place(self, task: Task, recipe: Recipe, *, near: str = "") -> Placement:
        """Reserve resources for a task until ``leave``.

        Args:
            near: ID of the node with its checkpoint, if it has one.
        """
        # With a single free place there is no choice, and a process that has just become free is used again.
        usable = [node.node_id for node in self.nodes().now if self._resources.on(node)]
        prefer = near if near in usable and len(usable) > 1 and self._num_free() > 1 else ""
        shared = 1
        gpus = self._resources.gpus
        if task.job in self._need_whole:
            gpus = max(1.0, gpus)
        elif self._resources.packed:
            shared = self._packing.per_gpu(recipe)
            # Ray counts in ten-thousandths: three thirds must not add up to more than one.
            gpus = math.floor(1e4 / shared) / 1e4
        self._placed[task] = gpus
        cpus = max(1, self._resources.cpus // shared)
        return Placement(cpus=cpus, gpus=gpus, avoid=tuple(sorted(self._health.avoided)), prefer=prefer)

    def start(self, task: Task) -> None:
        """A task's process has started."""
        self._started.add(task)

    def wait(self, task: Task) -> None:
        """A task has lost its process and waits for another one."""
        self._started.discard(task)

    def leave(self, task: Task) -> None:
        """A task has ended or is rescheduled."""
        self._started.discard(task)
        self._placed.pop(task, None)

    def measure(self, recipe: Recipe, peak_mb: float, device_mb: float) -> None:
        """Record the memory that an epoch took."""
        self._packing.measure(recipe, peak_mb, device_mb)

    def reschedule(self, job: Job, fault: Rescheduled) -> None:
        """Let a job run elsewhere because of a fault of its node or share of a GPU.

        Raises:
            NoNodeLeft: no node is left that may run a trial.
        """
        if fault.needs_whole_gpu:
            self._need_whole.add(job)
            return
        problem = self._health.count(job, fault)
        if problem is None:
            return
        # Autoscaler v1 assumes that pending trials fit on a free but avoided node, and starts no other one.
        left = [node for node in self.nodes().now if self._resources.on(node)]
        coming = self._resources.capacity(Nodes(now=(), more=self._nodes.more, max_more=self._nodes.max_more))
        if not left and not coming:
            raise NoNodeLeft(f"{problem}; no other node can run a trial")
        log.warning(
            "%s; %s",
            problem,
            f"continuing on {len(left)} other nodes" if left else "terminate it, so that another one is started",
        )

    def watch(self) -> None:
        """Log what the search is waiting for if no trial has run for a while. Called several times a second."""
        if self._started or not self._placed:
            self._last_progress, self._warned = time.monotonic(), False
        elif not self._warned and time.monotonic() > self._last_progress + STALLED_SECONDS:
            self._warned = True
            log.warning("waiting for Ray: %d trials pending, %s", len(self._placed), self._wanted())

    def _wanted(self) -> str:
        nodes, gpus = self.nodes(), f" and {self._resources.gpus:g} GPU" if self._resources.gpus else ""
        each = f"each needs {self._resources.cpus} CPU{gpus} on one node"
        if any(self._resources.on(node) for node in nodes.now):
            if self._own_logs is not None:
                cause = requirements.likely_cause() or _startup_error(self._own_logs)
                return f"{each}; Ray has not started their processes ({cause}), its logs are in {self._own_logs}"
            return f"{each}; others seem to be using the cluster (`ray status` shows what is in use)"
        if nodes.max_more:
            return f"{each}; nodes have been requested from the autoscaler (`ray status` shows its state)"
        return f"{each}, and none of the {len(nodes.now)} live nodes has that much"


def _startup_error(logs: Path) -> str:
    """Why processes of our own Ray have probably not started.

    Args:
        logs: its logs; a process writes there to the raylet's errors until it has a log of its own.
    """
    try:
        lines = (logs / "raylet.err").read_text(errors="replace").split("\n")
    except OSError:
        lines = []
    last = next((line.strip() for line in reversed(lines) if line.strip()), None)
    return f"last error: {last[:200]}" if last else "this machine may be too busy or short of memory"
