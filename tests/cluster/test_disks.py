"""Checkpoints on the disks of several nodes: found, limited and removed."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from leukemia.study.job import Job
from search.cluster import disks
from search.cluster.disks import Disks, Kept, job_folder, kept_at, marked
from search.policy.task import Task

HEAD = "head"


class Nodes:
    """Nodes with a folder of checkpoints each, simulated in this process; the driver runs on ``HEAD``."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder, self.here = folder, HEAD
        monkeypatch.setattr(disks.ray, "get_runtime_context", lambda: SimpleNamespace(get_node_id=lambda: self.here))
        monkeypatch.setattr(disks, "_run_on", self.run_on)
        monkeypatch.setattr(disks, "_answer_of", lambda answer, default: default if answer is None else answer)
        (self.of(HEAD) / "tune").mkdir(parents=True)
        self.mark = marked(self.of(HEAD) / "tune")

    def of(self, node: str) -> Path:
        """The node's folder of checkpoints, which has another path on each: all are on one machine here."""
        return self.folder / node

    def run_on(self, node: str, function: Callable[..., Any], *arguments: Any) -> Any:
        before, self.here = self.here, node
        try:
            moved = [
                self.of(node) / each.relative_to(self.of(HEAD))
                if isinstance(each, Path) and each.is_relative_to(self.of(HEAD))
                else each
                for each in arguments
            ]
            return function(*moved)
        finally:
            self.here = before

    def write(self, node: str, task: Task, num_bytes: int = 100, *, shared: str = "") -> Kept:
        """A worker's checkpoint, as it reports it.

        Args:
            shared: the node whose folder it shares; by default it has one of its own.
        """
        folder = self.of(shared or node)
        path = job_folder(folder, task.job) / f"seed_{task.job.seed}" / f"fold_{task.fold}.pt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(bytes(num_bytes))
        kept: Kept = self.run_on(node, lambda: kept_at(path, folder / self.mark.relative_to(self.of(HEAD))))
        return kept

    def checkpoints(self) -> list[str]:
        """All of them, as NODE/JOB/SEED/FOLD."""
        return sorted(path.relative_to(self.folder).as_posix() for path in self.folder.rglob("*.pt"))


@pytest.fixture
def nodes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Nodes:
    return Nodes(tmp_path, monkeypatch)


def disks_of(nodes: Nodes, limit_bytes: float | None = None) -> Disks:
    return Disks(nodes.of(HEAD), nodes.mark, limit_bytes=limit_bytes)


FOLD_0 = [Task(Job(number, 0), 0) for number in range(6)]


def test_a_worker_tells_whether_it_writes_to_the_drivers_disk(nodes: Nodes) -> None:
    own, shared = nodes.write(HEAD, FOLD_0[0]), nodes.write("a", FOLD_0[1], shared=HEAD)
    assert [own.disk, shared.disk, shared.node_id] == ["", "", "a"]
    other = nodes.write("b", FOLD_0[2], 70)
    assert (other.disk, other.num_bytes) == ("b", 70)
    assert 0 < other.free_bytes <= shutil.disk_usage(nodes.folder).total
    assert kept_at(nodes.folder / "none.pt", None).num_bytes == 0


def test_the_last_checkpoint_of_a_task_counts_and_older_ones_elsewhere_are_removed(nodes: Nodes) -> None:
    ours, task = disks_of(nodes), FOLD_0[1]
    assert ours.node_of(task) == ""
    for node in ("a", "b", HEAD):
        ours.note(task, nodes.write(node, task))
        assert ours.node_of(task) == node
        assert nodes.checkpoints() == [f"{node}/0001-0/seed_0/fold_0.pt"]
    ours.note(task, kept_at(nodes.folder / "none.pt", nodes.mark))
    assert ours.node_of(task) == HEAD, "a report before the next checkpoint"
    ours.drop(task)
    assert ours.node_of(task) == ""


def test_a_checkpoint_in_a_shared_folder_stays_when_another_node_goes_on_with_it(nodes: Nodes) -> None:
    ours, task = disks_of(nodes), FOLD_0[1]
    for node in ("a", "b"):
        ours.note(task, nodes.write(node, task, shared=HEAD))
    assert ours.node_of(task) == "b"
    assert nodes.checkpoints() == ["head/0001-0/seed_0/fold_0.pt"]


def test_waiting_trials_lose_their_checkpoints_from_the_worst_where_they_take_too_much(
    nodes: Nodes, caplog: pytest.LogCaptureFixture
) -> None:
    ours = disks_of(nodes, limit_bytes=250)
    for number, node in enumerate([HEAD, "a", "a", "a", "b", "a"]):
        ours.note(FOLD_0[number], nodes.write(node, FOLD_0[number]))
    # Trial 5 runs; on node a, the second and third best exceed the limit together with the best.
    with caplog.at_level(logging.INFO):
        ours.trim([Job(number, 0) for number in (4, 2, 0, 1, 3)])
    assert nodes.checkpoints() == [
        "a/0001-0/seed_0/fold_0.pt",
        "a/0002-0/seed_0/fold_0.pt",
        "a/0005-0/seed_0/fold_0.pt",
        "b/0004-0/seed_0/fold_0.pt",
        "head/0000-0/seed_0/fold_0.pt",
    ]
    assert "checkpoint of waiting trial 0003 removed: they take more than 0.0 GB of a disk (--paused-gb)" in caplog.text
    assert ours.node_of(FOLD_0[3]) == ""


def test_by_default_they_may_take_a_fifth_of_the_disk_as_it_was_at_first(
    nodes: Nodes, monkeypatch: pytest.MonkeyPatch
) -> None:
    free, found = [900], []
    monkeypatch.setattr(disks.shutil, "disk_usage", lambda path: SimpleNamespace(free=free[0]))
    ours = disks_of(nodes)
    for number, task in enumerate(FOLD_0[:4], start=1):
        ours.note(task, nodes.write("a", task))
        ours.trim([each.job for each in FOLD_0[:number]])
        found.append(len(nodes.checkpoints()))
        free[0] = 10
    assert found == [1, 2, 2, 2], "a fifth of 1000 bytes"


def test_a_job_that_has_ended_leaves_nothing_on_any_node(nodes: Nodes) -> None:
    ours, job = disks_of(nodes), Job(7, 0)
    for fold, node in enumerate([HEAD, "a", "b"]):
        ours.note(Task(job, fold), nodes.write(node, Task(job, fold)))
    other = nodes.write("a", FOLD_0[1])
    ours.note(FOLD_0[1], other)
    ours.drop(Task(job, 1))
    ours.remove(job)
    assert nodes.checkpoints() == ["a/0001-0/seed_0/fold_0.pt"]
    assert ours.node_of(Task(job, 2)) == ""
    ours.clear(["a", "b"])
    assert nodes.checkpoints() == []
    assert not nodes.of("a").exists()
    assert nodes.of(HEAD).exists(), "left to the search, which has locked it"


def test_the_checkpoints_of_an_earlier_search_are_found(nodes: Nodes) -> None:
    earlier = disks_of(nodes)
    for number, node in ((0, HEAD), (1, "a"), (2, "b")):
        earlier.note(FOLD_0[number], nodes.write(node, FOLD_0[number]))
    repeat = Task(Job(1, 3), 2)
    nodes.write("b", repeat)
    (nodes.of("b") / "0001-3" / "seed_3" / "fold_x.pt").touch()
    ours = disks_of(nodes, limit_bytes=0)
    ours.survey([HEAD, "a", "b"])
    assert [ours.node_of(task) for task in (*FOLD_0[:4], repeat)] == [HEAD, "a", "b", "", "b"]
    ours.trim([Job(1, 0)])
    assert ours.node_of(FOLD_0[1]) == ""
    ours.clear(["b"])
    assert nodes.checkpoints() == ["head/0000-0/seed_0/fold_0.pt"]


def test_nodes_that_share_the_drivers_folder_list_it_once(nodes: Nodes, monkeypatch: pytest.MonkeyPatch) -> None:
    nodes.write(HEAD, FOLD_0[0])
    monkeypatch.setattr(nodes, "of", lambda node: nodes.folder / HEAD)
    ours = disks_of(nodes)
    ours.survey([HEAD, "a"])
    assert ours.node_of(FOLD_0[0]) == HEAD
    ours.clear(["a"])
    assert len(nodes.checkpoints()) == 1
