"""The disk space that a search needs on this machine, and how much is free there."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from leukemia.base.files import cache_dir, require_space
from leukemia.base.quantity import quantity
from leukemia.data.images import are_stored
from search.cluster.disks import SHARE
from search.cluster.nodes import Nodes
from search.cluster.resources import Resources
from search.planning.plan import Plan
from search.policy.packing import MAX_PER_GPU

STUDY_BYTES = 50_000_000
"""For the files of a study's folder besides models."""


@dataclass(frozen=True, kw_only=True)
class CacheNeed:
    """What a search writes to the cache of this machine, in bytes."""

    images: int
    """Decoded images; 0 if they are stored already."""

    checkpoint: int
    """Of the largest network in the space."""

    trials: int
    """That run here at once."""

    @classmethod
    def of(cls, plan: Plan, resources: Resources, nodes: Nodes) -> CacheNeed:
        here = sum(resources.on(node) for node in nodes.now if node.here)
        return cls(
            images=0 if are_stored(plan.catalog, plan.view) else plan.image_bytes(),
            checkpoint=plan.checkpoint_bytes(),
            trials=here * (MAX_PER_GPU if resources.packed else 1),
        )

    def require(self) -> None:
        """
        Raises:
            UserError: the disk of the cache has too little space.
        """
        what = "the decoded images and the trials' checkpoints" if self.images else "the trials' checkpoints"
        require_space(cache_dir(), self.images + self.trials * self.checkpoint, what)


def describe_disk(plan: Plan, need: CacheNeed, paused_gb: float | None) -> Iterator[str]:
    """Lines on the space needed in the cache and in the folder of studies. ``search/preflight/job_disk.py`` reads them.

    Args:
        paused_gb: of ``--paused-gb``.
    """
    free = _free_gb(cache_dir())
    parts = [
        f"{need.images / 1e9:.2f} for decoded images",
        f"{need.checkpoint / 1e9:.2f} for a checkpoint of each of {quantity(need.trials, 'trial')}",
    ]
    if plan.rules.pausing:
        waiting = SHARE * free if paused_gb is None else paused_gb
        parts.append(f"besides at most {waiting:.2f} for those of trials that wait (--paused-gb)")
    total = (need.images + need.trials * need.checkpoint) / 1e9
    yield f"disk: {total:.2f} GB in {cache_dir()}, of {free:.2f} GB free: {', '.join(parts)}"
    runs = plan.folder.parent.absolute()
    written = (STUDY_BYTES + plan.model_bytes()) / 1e9
    yield f"disk: {written:.2f} GB in {runs}, of {_free_gb(runs):.2f} GB free: the study and the model of its winner"


def _free_gb(folder: Path) -> float:
    existing = next(parent for parent in (folder, *folder.parents) if parent.exists())
    return shutil.disk_usage(existing).free / 1e9
