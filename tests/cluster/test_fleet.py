"""Where jobs go: how many there is room for, which nodes they keep away from, and what is said when none begins."""

from __future__ import annotations

from typing import Any

import pytest

from leukemia.config.recipe import Recipe
from leukemia.study.job import Job
from search.cluster import fleet
from search.cluster.fleet import Fleet, NoNodeLeft, request_of
from search.cluster.heartbeat import RayCrashed
from search.cluster.nodes import Node, Nodes
from search.cluster.resources import Resources
from search.cluster.tune_config import Place, config_of
from search.policy.effort import memory_mb
from search.policy.health import Rescheduled
from search.trials.assignment import Assignment

RECIPE = Recipe().with_settings({"data.crop_px": 64, "data.size_px": 64, "model.depth": 18, "model.shortcut": "add"})
GPU = Resources(device="cuda", cpus=4, gpus=1.0, concurrent=2)


def node(name: str, cpus: int = 4, gpus: float = 1.0) -> Node:
    return Node(cpus=cpus, gpus=gpus, node_id=name, name=f"10.0.0.{name}")


TWO = Nodes(now=(node("a"), node("b")))


def at(place: Place) -> dict[str, Any]:
    return config_of(Assignment(job=Job(9, 0), recipe=RECIPE), place)


def break_device(ours: Fleet, name: str) -> None:
    for number in range(3):
        ours.reschedule(Job(number, 0), Rescheduled(message="no driver", node_id=name, node=f"10.0.0.{name}"))


def test_no_more_jobs_are_handed_out_than_there_is_room_for() -> None:
    nodes = [TWO]
    ours = Fleet(GPU, lambda: nodes[0])
    for number, full in enumerate((False, True)):
        ours.place(Job(number, 0), RECIPE)
        assert ours.is_full() is full
    ours.leave(Job(0, 0))
    assert not ours.is_full()


def test_nodes_that_join_are_used_and_a_cluster_without_any_keeps_one_job_waiting(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(fleet, "LOOK_SECONDS", -1.0)
    nodes = [TWO]
    ours = Fleet(GPU, lambda: nodes[0])
    assert ours.places() == 2
    nodes[0] = Nodes(now=(*TWO.now, node("c")), more=(node(""),), max_more=1)
    assert ours.places() == 4
    nodes[0] = Nodes(now=())
    assert ours.places() == 1


def test_a_node_whose_device_fails_is_avoided_and_named(caplog: pytest.LogCaptureFixture) -> None:
    ours = Fleet(GPU, lambda: TWO)
    assert request_of(at(ours.place(Job(9, 0), RECIPE))).bundles == [{"CPU": 4.0, "GPU": 1.0}]
    break_device(ours, "b")
    assert "node 10.0.0.b is avoided: its device failed 3 times (no driver); 1 other nodes go on" in caplog.text
    assert ours.places() == 1
    before, after = (Place(cpus=4, gpus=1.0, avoid=avoid) for avoid in ((), ("b",)))
    assert ours.place(Job(9, 0), RECIPE) == after
    # Tune keeps a worker for the next trial that asks for the same: not one on a node that is avoided now.
    assert request_of(at(before)) != request_of(at(after))
    assert request_of(at(after))._bound.kwargs["bundle_label_selector"] == [{"ray.io/node-id": "!in(b)"}]


def test_without_another_node_the_search_ends_and_nothing_has_failed() -> None:
    ours = Fleet(GPU, lambda: Nodes(now=(node("a"), node("head", gpus=0.0))))
    with pytest.raises(NoNodeLeft, match=r"^node 10\.0\.0\.a is avoided: .*; no other node can run a trial$") as death:
        break_device(ours, "a")
    assert isinstance(death.value, RayCrashed), "said, and resumed, as after the death of Ray"


def test_a_node_that_can_still_be_started_is_hope(caplog: pytest.LogCaptureFixture) -> None:
    break_device(Fleet(GPU, lambda: Nodes(now=(node("a"),), more=(node(""),), max_more=1)), "a")
    assert "terminate it, so that another one is started" in caplog.text


def test_parts_of_a_gpu_follow_what_was_measured() -> None:
    packed = Resources(device="cuda", cpus=8, gpus=1.0, concurrent=2, packed=True)
    ours = Fleet(packed, lambda: Nodes(now=(node("a", cpus=8), node("b", cpus=8))))
    assert ours.place(Job(0, 0), RECIPE).gpus == 1.0
    ours.measure(RECIPE, memory_mb(RECIPE), 80_000.0)
    place = ours.place(Job(1, 0), RECIPE)
    assert (place.cpus, place.gpus) == (2, 0.25)
    for number in (2, 3, 4):
        assert not ours.is_full()
        ours.place(Job(number, 0), RECIPE)
    assert ours.is_full(), "one GPU is taken by one trial, the other by four"
    ours.leave(Job(1, 0))
    ours.reschedule(Job(1, 0), Rescheduled(message="CUDA out of memory"))
    assert ours.place(Job(1, 0), RECIPE).gpus == 1.0, "it has shown that a part is too small for it"


def test_a_part_that_the_user_chose_may_be_too_small_as_well() -> None:
    ours = Fleet(Resources(device="cuda", cpus=2, gpus=0.5, concurrent=4), lambda: TWO)
    assert ours.place(Job(0, 0), RECIPE).gpus == 0.5
    ours.reschedule(Job(0, 0), Rescheduled(message="CUDA out of memory"))
    assert ours.place(Job(0, 0), RECIPE) == Place(cpus=2, gpus=1.0)


def test_silence_is_explained(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fleet, "PATIENCE_SECONDS", -1.0)
    ours = Fleet(GPU, lambda: TWO)
    ours.watch()
    assert not caplog.text, "nothing is waited for"
    ours.place(Job(0, 0), RECIPE)
    ours.watch()
    ours.watch()
    assert caplog.text.count("waiting for the cluster: 1 trials pending, each needs 4 CPU and 1 GPU on one node;") == 1
    assert "others seem to use the cluster" in caplog.text
    ours.start(Job(0, 0))
    ours.watch()
    ours.wait(Job(0, 0))
    ours.watch()
    assert caplog.text.count("waiting for the cluster") == 2, "its node has died, and no other one is free"


@pytest.mark.parametrize(
    ("nodes", "words"),
    [
        (Nodes(now=(), more=(node(""),), max_more=1), "the autoscaler has been asked for nodes"),
        (Nodes(now=(node("a", gpus=0.0),)), "none of the 1 nodes that live has as much"),
    ],
)
def test_who_is_waited_for(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, nodes: Nodes, words: str
) -> None:
    monkeypatch.setattr(fleet, "PATIENCE_SECONDS", -1.0)
    ours = Fleet(GPU, lambda: nodes)
    ours.place(Job(0, 0), RECIPE)
    ours.watch()
    assert words in caplog.text
