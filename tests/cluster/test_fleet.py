"""The assignment of jobs to nodes: how many fit, which nodes are avoided, and warnings when none can start."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from helpers.worlds import World, everything, frozen

from leukemia.config.recipe import Recipe
from leukemia.data.catalog import Catalog
from leukemia.study.job import Job
from search.cluster import fleet, requirements
from search.cluster.fleet import Fleet, NoNodeLeft, request_of
from search.cluster.heartbeat import RayCrashed
from search.cluster.nodes import Node, Nodes
from search.cluster.resources import Resources
from search.cluster.tune_config import Placement, config_of
from search.policy.effort import memory_mb
from search.policy.health import Rescheduled
from search.policy.task import Task
from search.trials.assignment import Assignment

RECIPE = Recipe().with_settings({"data.crop_px": 64, "data.size_px": 64, "model.depth": 18, "model.shortcut": "add"})
GPU = Resources(device="cuda", cpus=4, gpus=1.0, concurrent=2)


def node(name: str, cpus: int = 4, gpus: float = 1.0) -> Node:
    return Node(cpus=cpus, gpus=gpus, node_id=name, name=f"10.0.0.{name}")


TWO = Nodes(now=(node("a"), node("b")))


def config_at(placement: Placement) -> dict[str, Any]:
    return config_of(Assignment(task=Task(Job(9, 0), 0), recipe=RECIPE), placement)


def break_device(ours: Fleet, name: str) -> None:
    for number in range(3):
        ours.reschedule(Job(number, 0), Rescheduled(message="no driver", node_id=name, node=f"10.0.0.{name}"))


def test_no_more_jobs_are_placed_than_fit() -> None:
    nodes = [TWO]
    ours = Fleet(GPU, lambda: nodes[0])
    for number, full in enumerate((False, True)):
        ours.place(Task(Job(number, 0), 0), RECIPE)
        assert ours.is_full() is full
    ours.leave(Task(Job(0, 0), 0))
    assert not ours.is_full()


def test_nodes_that_join_are_used_and_without_nodes_one_job_is_pending(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(fleet, "REFRESH_SECONDS", -1.0)
    nodes = [TWO]
    ours = Fleet(GPU, lambda: nodes[0])
    assert ours.capacity() == 2
    nodes[0] = Nodes(now=(*TWO.now, node("c")), more=(node(""),), max_more=1)
    assert ours.capacity() == 4
    nodes[0] = Nodes(now=())
    assert ours.capacity() == 1


def test_a_node_whose_device_fails_is_avoided_and_named(caplog: pytest.LogCaptureFixture) -> None:
    ours = Fleet(GPU, lambda: TWO)
    assert request_of(config_at(ours.place(Task(Job(9, 0), 0), RECIPE))).bundles == [{"CPU": 4.0, "GPU": 1.0}]
    break_device(ours, "b")
    assert "node 10.0.0.b is avoided after 3 faults (no driver); continuing on 1 other nodes" in caplog.text
    assert ours.capacity() == 1
    before, after = (Placement(cpus=4, gpus=1.0, avoid=avoid) for avoid in ((), ("b",)))
    assert ours.place(Task(Job(9, 0), 0), RECIPE) == after
    # Tune reuses a worker for a trial with the same request, which must not match one on a node that is now avoided.
    assert request_of(config_at(before)) != request_of(config_at(after))
    assert request_of(config_at(after))._bound.kwargs["bundle_label_selector"] == [{"ray.io/node-id": "!in(b)"}]


def test_a_task_runs_near_its_checkpoint_if_there_is_a_choice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fleet, "REFRESH_SECONDS", -1.0)
    nodes = [Nodes(now=(*TWO.now, node("head", gpus=0.0)))]
    ours = Fleet(GPU, lambda: nodes[0])
    tasks = [Task(Job(number, 0), 0) for number in range(3)]
    assert ours.place(tasks[0], RECIPE, near="b").prefer == "b"
    assert ours.place(tasks[1], RECIPE, near="b").prefer == "", "one place is free, whose process is used again"
    for task in tasks[:2]:
        ours.leave(task)
    assert ours.place(tasks[2], RECIPE, near="lost").prefer == ""
    ours.leave(tasks[2])
    assert ours.place(tasks[2], RECIPE, near="head").prefer == "", "it has no GPU"
    ours.leave(tasks[2])
    assert ours.place(tasks[2], RECIPE).prefer == ""
    ours.leave(tasks[2])
    nodes[0] = Nodes(now=(node("a", cpus=8, gpus=2.0),))
    assert ours.place(tasks[2], RECIPE, near="a").prefer == "", "with one machine nothing changes"


def test_the_preference_for_a_node_is_soft() -> None:
    request = request_of(config_at(Placement(cpus=4, gpus=1.0, avoid=("b",), prefer="a")))
    assert request.bundles == [{"CPU": 4.0, "GPU": 1.0}]
    assert request._bound.kwargs == {
        "_soft_target_node_id": "a",
        "bundle_label_selector": [{"ray.io/node-id": "!in(b)"}],
    }
    assert request.strategy == "STRICT_PACK"


def test_without_another_node_the_search_ends_and_no_trial_fails() -> None:
    ours = Fleet(GPU, lambda: Nodes(now=(node("a"), node("head", gpus=0.0))))
    with pytest.raises(
        NoNodeLeft, match=r"^node 10\.0\.0\.a is avoided after 3 faults .*; no other node can run a trial$"
    ) as raised:
        break_device(ours, "a")
    assert isinstance(raised.value, RayCrashed), "reported, and resumed, like a crash of Ray"


def test_a_search_that_faults_of_its_only_node_have_ended_is_resumed(tmp_path: Path, tiny_catalog: Catalog) -> None:
    """Nothing is recorded of the faults: the trials are still running, and end with the same results."""
    calm, hit = World(tmp_path / "calm", tiny_catalog, trials=2), World(tmp_path / "hit", tiny_catalog, trials=2)
    calm.run()
    driver, ours = hit.driver(), Fleet(GPU, lambda: Nodes(now=(node("a"),)))
    full = Rescheduled(message="No space left on device: /cache", node_id="a", node="10.0.0.a")
    for _ in range(2):
        assignment = driver.begin()
        assert assignment is not None
        driver.receive(assignment.task, full)
        ours.reschedule(assignment.task.job, full)
        driver.end(assignment.task, process_failed=True)
    assignment = driver.begin()
    assert assignment is not None
    driver.receive(assignment.task, full)
    with pytest.raises(NoNodeLeft, match=r"^node 10\.0\.0\.a is avoided after 3 faults \(No space left on"):
        ours.reschedule(assignment.task.job, full)
    assert hit.study.end(0) is None
    assert [trial.state.name for trial in frozen(hit)] == ["RUNNING"]
    resumed = World(tmp_path / "hit", tiny_catalog, trials=2)
    resumed.run()
    assert everything(resumed) == everything(calm)


def test_the_search_continues_if_another_node_can_be_started(caplog: pytest.LogCaptureFixture) -> None:
    break_device(Fleet(GPU, lambda: Nodes(now=(node("a"),), more=(node(""),), max_more=1)), "a")
    assert "terminate it, so that another one is started" in caplog.text


def test_shares_of_a_gpu_follow_measured_memory() -> None:
    packed = Resources(device="cuda", cpus=8, gpus=1.0, concurrent=2, packed=True)
    ours = Fleet(packed, lambda: Nodes(now=(node("a", cpus=8), node("b", cpus=8))))
    assert ours.place(Task(Job(0, 0), 0), RECIPE).gpus == 1.0
    ours.measure(RECIPE, memory_mb(RECIPE), 80_000.0)
    placement = ours.place(Task(Job(1, 0), 0), RECIPE)
    assert (placement.cpus, placement.gpus) == (2, 0.25)
    for number in (2, 3, 4):
        assert not ours.is_full()
        ours.place(Task(Job(number, 0), 0), RECIPE)
    assert ours.is_full(), "one GPU runs one trial, the other four"
    ours.leave(Task(Job(1, 0), 0))
    ours.reschedule(Job(1, 0), Rescheduled(message="CUDA out of memory"))
    assert ours.place(Task(Job(1, 0), 0), RECIPE).gpus == 1.0, "a share of a GPU was too small"


def test_a_trial_gets_a_whole_gpu_if_the_users_share_is_too_small() -> None:
    ours = Fleet(Resources(device="cuda", cpus=2, gpus=0.5, concurrent=4), lambda: TWO)
    assert ours.place(Task(Job(0, 0), 0), RECIPE).gpus == 0.5
    ours.reschedule(Job(0, 0), Rescheduled(message="CUDA out of memory"))
    assert ours.place(Task(Job(0, 0), 0), RECIPE) == Placement(cpus=2, gpus=1.0)


def test_a_stall_is_logged_once(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fleet, "STALLED_SECONDS", -1.0)
    ours = Fleet(GPU, lambda: TWO)
    ours.watch()
    assert not caplog.text, "no trial is pending"
    ours.place(Task(Job(0, 0), 0), RECIPE)
    ours.watch()
    ours.watch()
    assert caplog.text.count("waiting for Ray: 1 trials pending, each needs 4 CPU and 1 GPU on one node;") == 1
    assert "others seem to be using the cluster" in caplog.text
    ours.start(Task(Job(0, 0), 0))
    ours.watch()
    ours.wait(Task(Job(0, 0), 0))
    ours.watch()
    assert caplog.text.count("waiting for Ray") == 2, "its node has crashed, and no other one is free"


@pytest.mark.parametrize(
    ("nodes", "message"),
    [
        (Nodes(now=(), more=(node(""),), max_more=1), "nodes have been requested from the autoscaler"),
        (Nodes(now=(node("a", gpus=0.0),)), "none of the 1 live nodes has that much"),
    ],
)
def test_a_stall_is_explained(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, nodes: Nodes, message: str
) -> None:
    monkeypatch.setattr(fleet, "STALLED_SECONDS", -1.0)
    ours = Fleet(GPU, lambda: nodes)
    ours.place(Task(Job(0, 0), 0), RECIPE)
    ours.watch()
    assert message in caplog.text


@pytest.mark.parametrize(
    ("errors", "likely", "cause"),
    [
        (None, None, "this machine may be too busy or short of memory"),
        ("\n", None, "this machine may be too busy or short of memory"),
        ("Traceback\nNo module named 'ray'\n\n", None, "last error: No module named 'ray'"),
        ("anything", "the limit of processes is 5", "the limit of processes is 5"),
    ],
)
def test_a_stall_of_our_own_ray_is_not_blamed_on_others(
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    errors: str | None,
    likely: str | None,
    cause: str,
) -> None:
    monkeypatch.setattr(fleet, "STALLED_SECONDS", -1.0)
    monkeypatch.setattr(requirements, "likely_cause", lambda: likely)
    if errors is not None:
        (tmp_path / "raylet.err").write_text(errors)
    ours = Fleet(GPU, lambda: TWO, own_logs=tmp_path)
    ours.place(Task(Job(0, 0), 0), RECIPE)
    ours.watch()
    assert "others" not in caplog.text
    assert f"Ray has not started their processes ({cause}), its logs are in {tmp_path}" in caplog.text
