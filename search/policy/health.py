"""When a machine, not a recipe, is at fault: what a worker reports then, and which nodes are avoided."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

MAX_NODE_FAULTS = 3
"""So many faults of a node, and no more trials begin there."""

MAX_RESCHEDULES = 10
"""A job that is rescheduled more often fails: then it is the recipe, after all."""


@dataclass(frozen=True, kw_only=True)
class Rescheduled:
    """A report: the job cannot go on where it is, and is not to blame. It is begun again from its finished folds."""

    message: str
    """What happened."""

    traceback: str | None = None
    """As Python prints it, code lines without the values of variables."""

    node_id: str = ""
    """Ray's id of the node whose device failed; empty where a part of a device was too small for the job."""

    node: str = ""
    """Its address."""

    while_training: bool = False
    """Whether the job was computing: then another recipe might not have failed."""

    @property
    def needs_whole_gpu(self) -> bool:
        """Whether the job only had too small a part of a GPU."""
        return not self.node_id


class Health:
    """Counts the faults of nodes."""

    def __init__(self) -> None:
        self._faults: dict[str, list[str]] = defaultdict(list)
        self._names: dict[str, str] = {}

    def count(self, job: object, fault: Rescheduled) -> str | None:
        """Count a node's fault; returns a message once the node is to be avoided from now on.

        Faults while training count once per job: three of one recipe may be the recipe's.
        """
        who = repr(job) if fault.while_training else f"before {len(self._faults[fault.node_id])}"
        faults = self._faults[fault.node_id]
        if fault.node_id in self.avoided or who in faults:
            return None
        faults.append(who)
        if len(faults) < MAX_NODE_FAULTS:
            return None
        return f"node {fault.node} is avoided: its device failed {len(faults)} times ({fault.message})"

    @property
    def avoided(self) -> frozenset[str]:
        """Ids of the nodes where nothing more begins."""
        return frozenset(node for node, faults in self._faults.items() if len(faults) >= MAX_NODE_FAULTS)
