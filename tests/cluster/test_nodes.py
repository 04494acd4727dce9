"""The nodes of a cluster: those alive, those its autoscaler may start, and a search while nodes and processes crash."""

from __future__ import annotations

import dataclasses
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import ray
import ray.tune
from ray.cluster_utils import Cluster

from benchmarks.faults.harness.cluster import cluster_of, search_on
from benchmarks.faults.harness.processes import ProcessTree, kill
from benchmarks.idle.driver import make_data, make_driver, report_only
from benchmarks.idle.process import ROOT
from benchmarks.idle.study import create_study, reports
from leukemia.data.sample import TRAINING, generate
from leukemia.study.folder import Study
from leukemia.study.table import trial_table
from leukemia.tracking.tracker import NoTracker
from leukemia.training.device import BrokenDevice
from search.cluster.fleet import NoNodeLeft
from search.cluster.nodes import Node, Nodes, expected_nodes, grown, nodes_now
from search.cluster.ray_private import is_own
from search.cluster.resources import Resources
from search.cluster.session import cluster_to_join, ray_session
from search.cluster.trainable import REPORT, TrialData, reschedule
from search.cluster.tuner import run_trials
from search.trials.assignment import Assignment

HEAD = Node(cpus=2, gpus=0.0, node_id="head")
GPU = Node(cpus=8, gpus=1.0, node_id="gpu")

CONFIG: dict[str, Any] = {
    "max_workers": 5,
    "head_node_type": "head",
    "available_node_types": {
        "head": {"resources": {"CPU": 2}, "max_workers": 0},
        "small": {"resources": {"CPU": 8, "GPU": 1}, "max_workers": 3},
        "big": {"resources": {"CPU": 96, "GPU": 8}},
    },
}


def sizes(nodes: Nodes) -> list[tuple[int, float]]:
    return [(node.cpus, node.gpus) for node in nodes.more]


def test_nodes_that_may_be_started_are_those_configured_but_not_running() -> None:
    nodes = grown((HEAD,), CONFIG)
    assert nodes.now == (HEAD,)
    assert sizes(nodes) == [(8, 1)] * 3 + [(96, 8)] * 5
    assert nodes.max_more == 5
    nodes = grown((HEAD, GPU, GPU), CONFIG)
    assert sizes(nodes) == [(8, 1)] + [(96, 8)] * 5
    assert nodes.max_more == 3


def test_machines_of_unknown_size_count_only_once_they_have_joined() -> None:
    """As in a lab's cluster."""
    local = {
        "max_workers": 2,
        "head_node_type": "local",
        "available_node_types": {"local": {"resources": {}, "max_workers": 2}},
    }
    assert grown((HEAD,), local) == Nodes(now=(HEAD,))
    other = {**local, "head_node_type": "head"}
    assert grown((HEAD, GPU), other) == Nodes(now=(HEAD, GPU))
    assert grown((HEAD,), {}) == Nodes(now=(HEAD,))


def test_avoided_nodes_are_excluded() -> None:
    nodes = grown((HEAD, GPU), CONFIG)
    assert nodes.without(frozenset({"gpu"})).now == (HEAD,)
    assert nodes.without(frozenset({"gpu"})).more == nodes.more


ONE_CPU = Resources(device="cpu", cpus=1, gpus=0.0, concurrent=2)
BROKEN, CRASHES, PROCESSES = "broken", "crashes", "processes"


@pytest.fixture
def importable(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lets workers import the trainables of this module by name."""
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(Path(__file__).parent), str(ROOT)]))


@pytest.fixture
def two_nodes(importable: None) -> Iterator[Cluster]:
    with cluster_of(2) as cluster:
        yield cluster


def append_line(data: TrialData, name: str, line: str) -> int:
    """Append a line to a file of the test; returns its number of lines."""
    path = data.checkpoints / name
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as stream:
        stream.write(f"{line}\n")
    return len(path.read_text().splitlines())


def run_except_on_broken_nodes(assignment: Assignment, data: TrialData, resources: Resources) -> None:
    """A trainable: the device of the nodes listed in the file is broken."""
    node_id = ray.get_runtime_context().get_node_id()
    if node_id in (data.checkpoints / BROKEN).read_text():
        append_line(data, "visits", node_id)
        raise reschedule(BrokenDevice("cuda does not compute"), at_fault=True)
    # Otherwise the other node may finish all the work before the third fault.
    deadline = time.monotonic() + 600
    while num_visits(data.checkpoints) < 3 and time.monotonic() < deadline:
        time.sleep(0.1)
    report_only(assignment, data, resources)


def num_visits(folder: Path) -> int:
    path = folder / "visits"
    return len(path.read_text().splitlines()) if path.exists() else 0


NUM_EPOCHS = 5
"""Of a fold that crashes after each of its epochs: more often than is allowed without progress."""


def run_and_crash(assignment: Assignment, data: TrialData, resources: Resources) -> None:
    """A trainable: the process of trial 0 crashes after each new report, that of trial 1 before its first."""
    task = assignment.task
    if task.job.number == 1:
        os._exit(1)
    num_reported = append_line(data, f"{CRASHES}-{task.fold}", "crash") - 1
    epoch, result = reports(task, data.labels, data.folds)
    epochs = [dataclasses.replace(epoch, epoch=number) for number in range(1, NUM_EPOCHS + 1)]
    for number, report in enumerate([*epochs, result]):
        ray.tune.report({REPORT: report})
        if number >= num_reported:
            os._exit(1)


def run_and_note_the_process(assignment: Assignment, data: TrialData, resources: Resources) -> None:
    """A trainable."""
    append_line(data, PROCESSES, str(os.getpid()))
    report_only(assignment, data, resources)


def search_in(folder: Path, num_trials: int, trainable: Any, broken: list[str]) -> Study:
    catalog, splits, study = create_study(folder, "pytest")
    data = make_data(folder, catalog, splits)
    data.checkpoints.mkdir(parents=True)
    (data.checkpoints / BROKEN).write_text("\n".join(broken))
    driver = make_driver(study, catalog, splits, NoTracker(), num_trials)
    try:
        run_trials(driver, data, ONE_CPU, trainable)
    finally:
        assert not (data.checkpoints / "tune").exists()
    return study


@pytest.mark.slow
def test_a_node_with_a_broken_device_is_avoided_and_the_others_continue(
    two_nodes: Cluster, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    expected = expected_nodes(cluster_to_join(str(two_nodes.address)))
    assert not ray.is_initialized()
    with ray_session(str(two_nodes.address)) as own:
        # Here all nodes are on one machine; before joining, they are recognized by its name.
        assert all(node.here for node in expected.now)
        assert {dataclasses.replace(node, here=False) for node in expected.now} == {
            dataclasses.replace(node, here=False) for node in nodes_now()
        }
        assert not own
        assert not is_own()
        broken = next(node.node_id for node in nodes_now() if node.cpus)
        study = search_in(tmp_path, 6, run_except_on_broken_nodes, [broken])
    assert list(trial_table(study)["state"]) == ["complete"] * 6
    message = "is avoided after 3 faults (cuda does not compute); continuing on 1 other nodes"
    assert f"node {ray.util.get_node_ip_address()} {message}" in caplog.text
    # A trial that was pending at that time may still have been placed there.
    assert 3 <= num_visits(tmp_path / "checkpoints") <= 4


@pytest.mark.slow
def test_with_only_broken_devices_the_search_ends_and_no_trial_fails(tmp_path: Path, importable: None) -> None:
    with ray_session("local"):
        node_id = ray.get_runtime_context().get_node_id()
        with pytest.raises(NoNodeLeft, match=r"is avoided after 3 faults .*; no other node can run a trial"):
            search_in(tmp_path, 2, run_except_on_broken_nodes, [node_id])
    study = Study.open(next(tmp_path.glob("**/study.json")).parent)
    assert [study.end(number) for number in study.trials()] == [None, None]


@pytest.mark.slow
def test_processes_may_crash_often_as_long_as_there_is_progress(tmp_path: Path, importable: None) -> None:
    """Also after a fold's result, which is not retried: the fold is committed. Trial 1 has no progress."""
    with ray_session("local"):
        study = search_in(tmp_path, 2, run_and_crash, [])
    for fold in range(2):
        assert (tmp_path / "checkpoints" / f"{CRASHES}-{fold}").read_text().count("crash") == NUM_EPOCHS + 1
    assert list(trial_table(study).sort_values("trial")["state"]) == ["complete", "failed"]
    end = study.end(1)
    assert end is not None
    assert end.reason == "its process crashed repeatedly"


@pytest.mark.slow
def test_folds_share_processes_so_that_imports_happen_once(tmp_path: Path, importable: None) -> None:
    with ray_session("local"):
        search_in(tmp_path, 6, run_and_note_the_process, [])
    processes = (tmp_path / "checkpoints" / PROCESSES).read_text().split()
    assert len(processes) == 6 * 2, "trials and folds"
    assert len(set(processes)) <= ONE_CPU.concurrent


@pytest.mark.slow
@pytest.mark.parametrize("part", ["gcs_server", "raylet"])
def test_a_cluster_that_crashes_ends_the_search_with_one_line(two_nodes: Cluster, tmp_path: Path, part: str) -> None:
    generate(tmp_path / "cells", num_subjects=12, images_per_subject=4, num_test_images=2)
    tree = ProcessTree()
    search = search_on(two_nodes, tmp_path / "runs" / "study", tree, tmp_path / "cells" / TRAINING)
    search.folder.parent.mkdir()
    try:
        search.start()
        assert search.wait_until(lambda: sum(search.epochs().values()) >= 1), search.output.read_text()
        kill(two_nodes.head_node.all_processes[part][0].process.pid)
        assert search.wait() == 1
    finally:
        tree.kill()
    (line,) = [line for line in search.output.read_text().splitlines() if line.startswith("error: ")]
    process = "its head at" if part == "gcs_server" else "its raylet on this machine"
    assert line.startswith(f"error: the Ray cluster is unreachable: no response from {process}")
    assert line.endswith("finished folds are kept. Resume with:")
    study = Study.open(search.folder)
    ends = [end for number in study.trials() if (end := study.end(number)) is not None]
    # One may have been complete before.
    assert not [end for end in ends if end.state == "failed"], "a trial that lost its cluster has not failed"
