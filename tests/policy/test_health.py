"""Faults are counted per node; faults of recipes do not count."""

from __future__ import annotations

from leukemia.study.job import Job
from search.policy.health import Health, Rescheduled


def fault(node: str = "a", *, training: bool = False) -> Rescheduled:
    return Rescheduled(message="CUDA error", node_id=node, node=f"10.0.0.{node}", recipe_suspected=training)


def test_a_node_is_avoided_and_named_after_three_faults() -> None:
    health, job = Health(), Job(0, 0)
    assert [health.count(job, fault()), health.count(job, fault("b")), health.count(job, fault())] == [None] * 3
    assert health.avoided == frozenset()
    assert health.count(job, fault()) == "node 10.0.0.a is avoided after 3 faults (CUDA error)"
    assert health.avoided == {"a"}
    assert health.count(job, fault()) is None, "reported once"


def test_a_single_recipe_cannot_make_a_node_avoided() -> None:
    """The recipe may cause an error during training: each job counts once."""
    health = Health()
    assert [health.count(Job(0, 0), fault(training=True)) for _ in range(5)] == [None] * 5
    assert health.count(Job(1, 0), fault(training=True)) is None
    assert health.count(Job(2, 0), fault(training=True)) is not None


def test_too_small_a_share_of_a_gpu_is_not_a_fault_of_the_node() -> None:
    assert Rescheduled(message="CUDA out of memory").needs_whole_gpu
    assert not fault().needs_whole_gpu
