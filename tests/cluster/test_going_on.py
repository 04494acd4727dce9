"""Trials that wait and go on in a cluster, and those that are stopped with several folds running."""

from __future__ import annotations

import dataclasses
import os
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import ray
import ray.tune
from ray.cluster_utils import Cluster

from benchmarks.faults.harness.cluster import cluster_of
from benchmarks.idle.process import ROOT
from benchmarks.idle.study import NUM_FOLDS, create_study
from leukemia.config.recipe import Recipe
from leukemia.study.folder import Study
from leukemia.study.job import Job
from leukemia.study.ledger import ledger_of
from leukemia.study.listener import Listener
from search.cluster.disks import job_folder
from search.cluster.nodes import nodes_now
from search.cluster.ray_private import preferring
from search.cluster.resources import Resources
from search.cluster.session import ray_session
from search.cluster.trainable import REPORT, TrialData, run_trial
from search.cluster.tuner import run_trials
from search.policy.rules import Rules
from search.policy.space import make_space
from search.sampling.journal import Journal
from search.trials.assignment import Assignment, Failure
from search.trials.driver import Driver
from search.trials.schedule import Limits

pytestmark = pytest.mark.slow

ONE_CPU = Resources(device="cpu", cpus=1, gpus=0.0, concurrent=2, cpu_threads=1)

SETTINGS: dict[str, Any] = {
    "model.depth": 18,
    "model.shortcut": "add",
    "optimizer.name": "adamw",
    "data.size_px": 32,
    "train.epochs": 4,
    "evaluate.tta": "none",
}
RUNG = 2
"""The epoch after which a trial of four epochs waits."""

STARTS, ASLEEP = "starts", "asleep"


@pytest.fixture(autouse=True)
def importable(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lets workers import the trainables of this module by name."""
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(Path(__file__).parent), str(ROOT)]))


@pytest.fixture
def nodes() -> Iterator[Cluster]:
    """Three nodes of one CPU each."""
    with cluster_of(3) as cluster:
        yield cluster


def run_on_own_disk(assignment: Assignment, data: TrialData, resources: Resources) -> None:
    """A trainable: trains, on a node whose folder of checkpoints no other node sees."""
    node_id = ray.get_runtime_context().get_node_id()
    with (data.checkpoints / STARTS).open("a") as stream:
        stream.write(f"{node_id} {assignment.task.job.number} {assignment.task.fold}\n")
    own = dataclasses.replace(data, checkpoints=data.checkpoints / node_id, mark=Path("/not/here"))
    run_trial(assignment, own, resources)


def run_and_fail_beside_a_sleeper(assignment: Assignment, data: TrialData, resources: Resources) -> None:
    """A trainable: fold 0 takes forever, fold 1 fails as soon as fold 0 runs."""
    asleep = data.checkpoints / ASLEEP
    if assignment.task.fold == 0:
        asleep.write_text(str(os.getpid()))
        time.sleep(3600)
    while not asleep.exists():
        time.sleep(0.1)
    ray.tune.report({REPORT: Failure(message="NonFiniteLoss: at fold 1")})


def run_and_close_slowly(assignment: Assignment, data: TrialData, resources: Resources) -> None:
    """A trainable: ends later than Tune waits by default, as with a checkpoint that is being uploaded."""
    try:
        run_trial(assignment, data, resources)
    finally:
        time.sleep(3)


def search_in(
    folder: Path, num_trials: int, trainable: Any, listeners: Sequence[Listener] = (), storage: Path | None = None
) -> Study:
    """Search with pausing, on random images, of which the leukemic ones are darker."""
    catalog, splits, study = create_study(folder, "pytest")
    splits.save(study.folder / "splits.json")
    labels = catalog.table["label"].to_numpy(dtype=np.int64)
    images = np.random.default_rng(0).integers(0, 256, (len(labels), 32, 32, 3), dtype=np.uint8)
    images[labels == 1] //= 2
    data = TrialData(
        images=images,
        labels=labels,
        folds=list(splits.rows(catalog)),
        checkpoints=folder / "checkpoints",
        storage=None if storage is None else str(storage),
    )
    data.checkpoints.mkdir(parents=True)
    if storage is not None:
        storage.mkdir()
        (storage / "study.json").write_bytes((study.folder / "study.json").read_bytes())
    space = make_space(Recipe().with_settings(SETTINGS).resolved([(32, 32)]), SETTINGS)
    driver = Driver(
        study,
        Journal(study.folder / "optuna.journal", space, seed=0, name=study.name),
        catalog,
        limits=Limits(num_trials=num_trials),
        rules=Rules(num_folds=NUM_FOLDS, objective="tta_accuracy", racing=False, repeats=0, pausing=True),
        listeners=listeners,
        on_best=lambda progress: None,
    )
    run_trials(driver, data, ONE_CPU, trainable)
    return study


def is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_the_other_folds_of_a_trial_that_ends_are_ended_at_once(tmp_path: Path) -> None:
    begun = time.monotonic()
    with ray_session("local"):
        study = search_in(tmp_path, 1, run_and_fail_beside_a_sleeper)
        assert time.monotonic() < begun + 600, "not when the sleeper wakes up"
        sleeper = int((tmp_path / "checkpoints" / ASLEEP).read_text())
        while is_running(sleeper):
            assert time.monotonic() < begun + 600
            time.sleep(0.1)
    end = study.end(0)
    assert end is not None
    assert (end.state, end.reason) == ("failed", "NonFiniteLoss: at fold 1")


def test_a_process_that_still_writes_when_it_is_stopped_is_used_again(tmp_path: Path) -> None:
    with ray_session("local"):
        study = search_in(tmp_path, 3, run_and_close_slowly)
    assert [end.state for number in range(3) if (end := study.end(number)) is not None] == ["complete"] * 3


def starts(folder: Path, number: int, fold: int) -> list[str]:
    """IDs of the nodes on which a task has started, in order."""
    lines = [line.split() for line in (folder / "checkpoints" / STARTS).read_text().splitlines()]
    return [node_id for node_id, *task in lines if task == [str(number), str(fold)]]


class LosesNode(Listener):
    """Loses the node that has the checkpoint of trial 1, when that waits for the first time."""

    def __init__(self, cluster: Cluster, folder: Path) -> None:
        self.cluster, self.folder, self.lost = cluster, folder, ""

    def wait(self, job: Job, recipe: Recipe, scores: Sequence[float], where: str) -> None:
        if job.number != 1 or self.lost:
            return
        (self.lost,) = starts(self.folder, 1, 0)
        checkpoints = self.folder / "checkpoints" / self.lost
        assert (job_folder(checkpoints, job) / "seed_0" / "fold_0.pt").is_file()
        (node,) = [node for node in self.cluster.list_all_nodes() if node.node_id == self.lost]
        self.cluster.remove_node(node, allow_graceful=False)


def test_a_trial_that_waited_goes_on_on_another_node(nodes: Cluster, tmp_path: Path) -> None:
    """From its checkpoint with a storage, otherwise from the start of its fold, with the same results."""
    found = {}
    with ray_session(str(nodes.address)):
        for name, storage in (("without", None), ("with", tmp_path / "storage")):
            folder = tmp_path / name
            loses = LosesNode(nodes, folder)
            study = search_in(folder, 2, run_on_own_disk, [loses], storage)
            first, *others = starts(folder, 1, 0)
            assert first == loses.lost
            assert others
            assert loses.lost not in others
            found[name] = study
            left = [path for path in (folder / "checkpoints").rglob("*.pt") if loses.lost not in path.parts]
            assert left == [], "the other nodes keep nothing"
    for study in found.values():
        assert [end.state for number in (0, 1) if (end := study.end(number)) is not None] == ["complete"] * 2
        assert len(study.epochs(1)) == NUM_FOLDS * SETTINGS["train.epochs"]
    assert found["without"].repeated(1)["epoch"].tolist() == list(range(1, RUNG + 1))
    assert ledger_of(found["without"]).seconds["redone"] > 0
    assert found["with"].repeated(1)["epoch"].tolist() == []
    assert found["with"].out_of_fold(1, 0).equals(found["without"].out_of_fold(1, 0))


def test_a_preferred_node_that_is_full_or_lost_does_not_block(nodes: Cluster) -> None:
    def node_of_another() -> str:
        group = ray.util.placement_group([{"CPU": 1.0}], **preferring(wanted.node_id))
        assert group.wait(60)
        (node_id,) = ray.util.placement_group_table(group)["bundles_to_node_id"].values()
        return str(node_id)

    with ray_session(str(nodes.address)):
        wanted = next(node for node in nodes_now() if node.cpus)
        first, second = node_of_another(), node_of_another()
        assert first == wanted.node_id
        assert second != first
        (node,) = [node for node in nodes.list_all_nodes() if node.node_id == wanted.node_id]
        nodes.remove_node(node, allow_graceful=False)
        assert node_of_another() not in (first, second)
