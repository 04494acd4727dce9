"""Faults of machines rather than recipes: the report of a worker, and which nodes are avoided."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

MAX_NODE_FAULTS = 3
"""Number of faults after which no more trials start on a node."""

MAX_RESCHEDULES = 10
"""A job that is rescheduled more often because of faults that its recipe may have caused fails."""


@dataclass(frozen=True, kw_only=True)
class Rescheduled:
    """A report: the job cannot continue here, not because of its recipe. It will resume after its finished folds."""

    message: str
    """The reason, one line."""

    traceback: str | None = None
    """As printed by Python, without the values of variables."""

    node_id: str = ""
    """Ray id of the node that failed; empty if the job's share of a GPU was too small."""

    node: str = ""
    """Address of that node."""

    recipe_suspected: bool = False
    """Whether the recipe may be the cause: the device failed while it was trained. Disks and memory fail by
    themselves."""

    @property
    def may_repeat(self) -> bool:
        """Whether the fault may follow the job to any machine."""
        return self.recipe_suspected or self.needs_whole_gpu

    @property
    def needs_whole_gpu(self) -> bool:
        """Whether the job failed only because its share of a GPU was too small."""
        return not self.node_id


class Health:
    """Counts faults per node."""

    def __init__(self) -> None:
        self._faults: dict[str, list[str]] = defaultdict(list)
        self._names: dict[str, str] = {}

    def count(self, job: object, fault: Rescheduled) -> str | None:
        """Count a fault; returns a message when the node is avoided from now on.

        A fault that the recipe may have caused counts once per job.
        """
        source = repr(job) if fault.recipe_suspected else f"before {len(self._faults[fault.node_id])}"
        faults = self._faults[fault.node_id]
        if fault.node_id in self.avoided or source in faults:
            return None
        faults.append(source)
        if len(faults) < MAX_NODE_FAULTS:
            return None
        return f"node {fault.node} is avoided after {len(faults)} faults ({fault.message})"

    @property
    def avoided(self) -> frozenset[str]:
        """Ray ids of the nodes on which nothing more starts."""
        return frozenset(node for node, faults in self._faults.items() if len(faults) >= MAX_NODE_FAULTS)
