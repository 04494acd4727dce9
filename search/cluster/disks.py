"""Checkpoints on the disks of the nodes: where each lies, how much room those of waiting trials take, their removal."""

from __future__ import annotations

import logging
import re
import secrets
import shutil
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from leukemia.study.job import Job
from search.policy.task import Task

log = logging.getLogger(__name__)

SHARE = 0.2
"""Of the free disk, for the checkpoints of trials that wait."""

ANSWER_SECONDS = 20.0
"""How long a node may take to list or remove checkpoints; one that takes longer is left as it is."""

_CHECKPOINT = re.compile(r"(\d{4,})-(\d+)/seed_\d+/fold_(\d+)\.pt")


@dataclass(frozen=True, kw_only=True)
class Kept:
    """The checkpoint of a fold, as its node sees it."""

    path: Path
    num_bytes: int
    """0 if there is none yet."""

    free_bytes: int
    """On its disk."""

    node_id: str
    """Ray's ID."""

    is_shared: bool
    """Whether it lies on the driver's disk: the node is the driver's own, or shares the folder with it."""

    @property
    def disk(self) -> str:
        """Tells disks apart: empty for the driver's, the node's ID for any other."""
        return "" if self.is_shared else self.node_id


def job_folder(folder: Path, job: Job) -> Path:
    """Folder of a job's checkpoints in that of all checkpoints."""
    return folder / f"{job.number:04d}-{job.seed}"


def marked(folder: Path) -> Path:
    """Write a file that only the driver's disk has, with the ID of the driver's node; returns its path."""
    mark = folder / f"driver-{secrets.token_hex(8)}"
    mark.write_text(ray.get_runtime_context().get_node_id())
    return mark


def kept_at(path: Path, mark: Path | None) -> Kept:
    """The checkpoint with this path on this node.

    Args:
        mark: of ``marked``; None outside a search.
    """
    is_file = path.is_file()
    return Kept(
        path=path,
        num_bytes=path.stat().st_size if is_file else 0,
        free_bytes=shutil.disk_usage(path.parent).free if is_file else 0,
        node_id="" if mark is None else ray.get_runtime_context().get_node_id(),
        is_shared=mark is None or mark.exists(),
    )


def listed(folder: Path, mark: Path) -> dict[Task, Kept]:
    """The checkpoints in this node's folder, by task; none if the folder is the driver's, which lists them itself."""
    found: dict[Task, Kept] = {}
    if mark.exists() and mark.read_text() != ray.get_runtime_context().get_node_id():
        return found
    for path in sorted(folder.glob("*/*/*.pt")):
        name = _CHECKPOINT.fullmatch(path.relative_to(folder).as_posix())
        if name is not None:
            found[Task(Job(int(name[1]), int(name[2])), int(name[3]))] = kept_at(path, mark)
    return found


def remove(path: Path) -> None:
    """Remove a checkpoint, or a folder of them, from this node; a no-op if there is none."""
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


class Disks:
    """Knows the last checkpoint of each task that runs or waits, and which nodes have any of a job."""

    def __init__(self, folder: Path, mark: Path, *, limit_bytes: float | None = None) -> None:
        """
        Args:
            folder: of the study's checkpoints, on each node.
            mark: of ``marked``.
            limit_bytes: for the checkpoints of trials that wait, on each disk; None for a fifth of what would be free
                there without them, when the first of them is seen.
        """
        self._folder, self._mark, self._limit_bytes = folder, mark, limit_bytes
        self._limits: dict[str, float] = {}
        self._kept: dict[Task, Kept] = {}
        self._elsewhere: dict[str, Path] = {}
        """Folder of all checkpoints on each node that does not share the driver's."""

        self._visited: dict[Job, set[str]] = {}
        """Those of these nodes that have had checkpoints of a job."""

    def survey(self, node_ids: Iterable[str]) -> None:
        """Find the checkpoints that an earlier search has left on this node and on others."""
        own = ray.get_runtime_context().get_node_id()
        answers = [_run_on(node_id, listed, self._folder, self._mark) for node_id in node_ids if node_id != own]
        for found in (listed(self._folder, self._mark), *(_answer_of(answer, {}) for answer in answers)):
            for task, kept in found.items():
                self.note(task, kept)

    def note(self, task: Task, kept: Kept) -> None:
        """Record a task's last checkpoint. One that it has left on another disk is removed: it is out of date."""
        if not kept.num_bytes:
            return
        before = self._kept.get(task)
        self._kept[task] = kept
        if not kept.is_shared:
            self._elsewhere[kept.node_id] = kept.path.parents[2]
            self._visited.setdefault(task.job, set()).add(kept.node_id)
        if before is not None and before.disk != kept.disk:
            self._remove(before)

    def drop(self, task: Task) -> None:
        """A task has finished its fold, and removes its checkpoint itself."""
        self._kept.pop(task, None)

    def node_of(self, task: Task) -> str:
        """ID of the node with the task's last checkpoint; empty if there is none."""
        kept = self._kept.get(task)
        return "" if kept is None else kept.node_id

    def trim(self, waiting: Sequence[Job]) -> None:
        """Remove checkpoints of trials that wait from disks where they exceed the limit, those of the worst first.

        Args:
            waiting: the best first.
        """
        held = [task for job in waiting if (task := Task(job, 0)) in self._kept]
        disks = {task: self._kept[task].disk for task in held}
        for disk in sorted(set(disks.values())):
            here = [task for task in held if disks[task] == disk]
            total = sum(self._kept[task].num_bytes for task in here)
            limit = self._limits.setdefault(disk, self._limit_of(self._kept[here[-1]].free_bytes + total))
            while total > limit:
                task = here.pop()
                kept = self._kept.pop(task)
                total -= kept.num_bytes
                # Waited for: the trial may start again on another node that shares the disk.
                _answer_of(self._remove(kept), None)
                log.info(
                    "checkpoint of waiting trial %s removed: they take more than %.1f GB of a disk (--paused-gb)",
                    task.job.label,
                    limit / 1e9,
                )

    def _limit_of(self, free_bytes: float) -> float:
        return SHARE * free_bytes if self._limit_bytes is None else self._limit_bytes

    def remove(self, job: Job) -> None:
        """Remove all checkpoints of a job, which has ended."""
        for task in [task for task in self._kept if task.job == job]:
            del self._kept[task]
        remove(job_folder(self._folder, job))
        for node_id in self._visited.pop(job, ()):
            _run_on(node_id, remove, job_folder(self._elsewhere[node_id], job))

    def clear(self, node_ids: Iterable[str]) -> None:
        """Remove all checkpoints from these nodes, at the end of a search, but not from the driver's disk."""
        answers = [
            _run_on(node_id, remove, self._elsewhere[node_id]) for node_id in node_ids if node_id in self._elsewhere
        ]
        for answer in answers:
            _answer_of(answer, None)

    def _remove(self, kept: Kept) -> Any:
        """Remove a checkpoint; returns what ``_answer_of`` takes."""
        if kept.is_shared:
            return remove(kept.path)
        return _run_on(kept.node_id, remove, kept.path)


def _run_on(node_id: str, function: Callable[..., Any], *arguments: Any) -> ray.ObjectRef[Any]:
    """Call a function on a node, whatever else runs there."""
    place = NodeAffinitySchedulingStrategy(node_id, soft=False)
    return ray.remote(num_cpus=0, max_retries=0)(function).options(scheduling_strategy=place).remote(*arguments)


def _answer_of(answer: ray.ObjectRef[Any] | None, default: Any) -> Any:
    """What ``_run_on`` has called returns; the default if its node does not answer in time, or was lost."""
    try:
        return default if answer is None else ray.get(answer, timeout=ANSWER_SECONDS)
    except ray.exceptions.RayError as error:
        log.debug("checkpoints on another node: %s", error)
        return default
