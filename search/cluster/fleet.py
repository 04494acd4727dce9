"""The nodes as a search uses them: how many trials there is room for, where each may go, who is waited for."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable
from typing import Any

from ray.tune import PlacementGroupFactory

from leukemia.config.recipe import Recipe
from leukemia.study.job import Job
from search.cluster.heartbeat import RayCrashed
from search.cluster.nodes import Nodes
from search.cluster.resources import Resources
from search.cluster.tune_config import Place, place_of
from search.policy.health import Health, Rescheduled
from search.policy.packing import Packing

log = logging.getLogger(__name__)

LOOK_SECONDS = 5.0
"""The cluster is looked at so often: nodes join and leave within minutes."""

PATIENCE_SECONDS = 60.0
"""After so long without a trial that trains, the user is shown what the search waits for."""


class NoNodeLeft(RayCrashed):
    """No node is left where a trial may begin: nothing has failed, the search only cannot go on here."""


def request_of(config: dict[str, Any]) -> PlacementGroupFactory:
    """What Tune asks Ray for on behalf of a job, from its configuration (``Fleet.place``).

    Tune pickles the function: what it goes by must be in the configuration.
    """
    place = place_of(config)
    bundle = {"CPU": place.cpus, "GPU": place.gpus}
    if not place.avoid:
        return PlacementGroupFactory([bundle])
    elsewhere = {"ray.io/node-id": f"!in({','.join(place.avoid)})"}
    return PlacementGroupFactory([bundle], bundle_label_selector=[elsewhere])


class Fleet:
    """Where the jobs of a search go."""

    def __init__(self, resources: Resources, look: Callable[[], Nodes]) -> None:
        self._resources, self._look = resources, look
        self._health, self._packing = Health(), Packing()
        self._need_whole: set[Job] = set()
        self._placed: dict[Job, float] = {}
        self._started: set[Job] = set()
        self._nodes, self._looked = look(), time.monotonic()
        self._moved = self._looked
        self._said = False

    def nodes(self) -> Nodes:
        """The cluster without the nodes that are avoided, as of a few seconds ago."""
        if time.monotonic() > self._looked + LOOK_SECONDS:
            self._nodes, self._looked = self._look(), time.monotonic()
        return self._nodes.without(self._health.avoided)

    def places(self) -> int:
        """How many jobs run at once when the cluster has grown as far as it can; 1 while there is no node at all."""
        return max(1, self._resources.room(self.nodes()))

    def is_full(self) -> bool:
        """Whether another job would only wait."""
        if self._resources.packed:
            return sum(self._placed.values()) > self.places() - 1e-3
        return len(self._placed) >= self.places()

    def place(self, job: Job, recipe: Recipe) -> Place:
        """A place for a job, which it occupies until it leaves."""
        shared = 1
        gpus = self._resources.gpus
        if job in self._need_whole:
            gpus = max(1.0, gpus)
        elif self._resources.packed:
            shared = self._packing.per_gpu(recipe)
            # Ray counts in ten-thousandths: three thirds must not be more than one.
            gpus = math.floor(1e4 / shared) / 1e4
        self._placed[job] = gpus
        cpus = max(1, self._resources.cpus // shared)
        return Place(cpus=cpus, gpus=gpus, avoid=tuple(sorted(self._health.avoided)))

    def start(self, job: Job) -> None:
        """A job has a process."""
        self._started.add(job)

    def wait(self, job: Job) -> None:
        """A job has lost its process, and waits for another one."""
        self._started.discard(job)

    def leave(self, job: Job) -> None:
        """A job is over, or rescheduled."""
        self._started.discard(job)
        self._placed.pop(job, None)

    def measure(self, recipe: Recipe, peak_mb: float, device_mb: float) -> None:
        """An epoch has ended, and this is the memory that it took."""
        self._packing.measure(recipe, peak_mb, device_mb)

    def reschedule(self, job: Job, fault: Rescheduled) -> None:
        """A job is to run elsewhere because of the place where it ran.

        Raises:
            NoNodeLeft: after this there is none where one may run.
        """
        if fault.needs_whole_gpu:
            self._need_whole.add(job)
            return
        problem = self._health.count(job, fault)
        if problem is None:
            return
        # Autoscaler v1 takes the free place of an avoided node for an answer to what waits, and starts no other one.
        left = [node for node in self.nodes().now if self._resources.on(node)]
        coming = self._resources.room(Nodes(now=(), more=self._nodes.more, max_more=self._nodes.max_more))
        if not left and not coming:
            raise NoNodeLeft(f"{problem}; no other node can run a trial")
        log.warning(
            "%s; %s",
            problem,
            f"{len(left)} other nodes go on" if left else "terminate it, so that another one is started",
        )

    def watch(self) -> None:
        """Log what the search waits for when no trial has had a process for a while. Called several times a second."""
        if self._started or not self._placed:
            self._moved, self._said = time.monotonic(), False
        elif not self._said and time.monotonic() > self._moved + PATIENCE_SECONDS:
            self._said = True
            log.warning("waiting for the cluster: %d trials pending, %s", len(self._placed), self._wanted())

    def _wanted(self) -> str:
        nodes, gpus = self.nodes(), f" and {self._resources.gpus:g} GPU" if self._resources.gpus else ""
        each = f"each needs {self._resources.cpus} CPU{gpus} on one node"
        if any(self._resources.on(node) for node in nodes.now):
            return f"{each}; others seem to use the cluster (`ray status` shows what is taken)"
        if nodes.max_more:
            return f"{each}; the autoscaler has been asked for nodes (`ray status` shows what it does)"
        return f"{each}, and none of the {len(nodes.now)} nodes that live has as much"
