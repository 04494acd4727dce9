"""Faults of machines rather than recipes: the report of a worker, and which nodes are avoided."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

MAX_NODE_FAULTS = 3
"""Number of faults after which no more trials start on a node."""

MAX_RESCHEDULES = 10
"""A job that is rescheduled more often fails: the recipe is probably the cause."""


@dataclass(frozen=True, kw_only=True)
class Rescheduled:
    """A report: the job cannot continue here, not because of its recipe. It will resume after its finished folds."""

    message: str
    """The reason, one line."""

    traceback: str | None = None
    """As printed by Python, without the values of variables."""

    node_id: str = ""
    """Ray id of the node whose device failed; empty if the job's share of a GPU was too small."""

    node: str = ""
    """Address of that node."""

    while_training: bool = False
    """Whether the job was training: then the recipe may be the cause."""

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

        Faults during training count once per job: if one recipe fails three times, the recipe may be the cause.
        """
        source = repr(job) if fault.while_training else f"before {len(self._faults[fault.node_id])}"
        faults = self._faults[fault.node_id]
        if fault.node_id in self.avoided or source in faults:
            return None
        faults.append(source)
        if len(faults) < MAX_NODE_FAULTS:
            return None
        return f"node {fault.node} is avoided: its device failed {len(faults)} times ({fault.message})"

    @property
    def avoided(self) -> frozenset[str]:
        """Ray ids of the nodes on which nothing more starts."""
        return frozenset(node for node, faults in self._faults.items() if len(faults) >= MAX_NODE_FAULTS)
