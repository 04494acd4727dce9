"""The resources of a trial: a cluster divided among trials."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from leukemia.base.cli import AUTO
from leukemia.base.errors import UserError
from search.cluster.nodes import ADDRESS, CONFIG, MONITOR, Node, Nodes, autoscaler_config
from search.cluster.resources import Resources, describe, plan_resources


@pytest.fixture(autouse=True)
def no_apple(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)


def of(**resources: float) -> Nodes:
    return cluster((resources.get("CPU", 0), resources.get("GPU", 0)))


def cluster(*now: tuple[float, float], more: tuple[tuple[float, float], ...] = (), max_more: int = 99) -> Nodes:
    """A cluster of nodes given by their CPUs and GPUs."""

    def node(size: tuple[float, float]) -> Node:
        return Node(cpus=int(size[0]), gpus=size[1])

    return Nodes(now=tuple(map(node, now)), more=tuple(map(node, more)), max_more=min(max_more, len(more)))


@pytest.mark.parametrize(
    ("resources", "arguments", "expected"),
    [
        # (device, cpus, gpus, max_gpus) -> (device, cpus, gpus, concurrent)
        ({"CPU": 2}, ("auto", None, None, None), ("cpu", 1, 0, 2)),
        ({"CPU": 1}, ("auto", None, None, None), ("cpu", 1, 0, 1)),
        ({"CPU": 16}, ("cpu", None, None, None), ("cpu", 8, 0, 2)),
        ({"CPU": 16}, ("cpu", 2, None, None), ("cpu", 2, 0, 8)),
        ({"CPU": 16, "GPU": 1}, ("auto", None, None, None), ("cuda", 16, 1, 1)),
        ({"CPU": 16, "GPU": 1}, ("cpu", None, None, None), ("cpu", 8, 0, 2)),
        ({"CPU": 16, "GPU": 1}, ("cuda", None, 0.25, None), ("cuda", 4, 0.25, 4)),
        ({"CPU": 16, "GPU": 1}, ("auto", None, 0.1, None), ("cuda", 1, 0.1, 10)),
        ({"CPU": 64, "GPU": 8}, ("auto", None, None, 3), ("cuda", 21, 1, 3)),
        ({"CPU": 64, "GPU": 8}, ("auto", None, None, 10**400), ("cuda", 8, 1, 8)),
        ({"CPU": 64, "GPU": 2}, ("auto", None, 0.3, 10**400), ("cuda", 10, 0.3, 6)),
        ({"CPU": 64, "GPU": 8}, ("auto", 4, 2, None), ("cuda", 4, 2, 4)),
        ({"CPU": 3, "GPU": 8}, ("auto", None, None, None), ("cuda", 1, 1, 3)),
    ],
)
def test_resources_are_divided_among_trials(
    resources: dict[str, float],
    arguments: tuple[Any, ...],
    expected: tuple[str, int, float, int],
) -> None:
    plan = plan_resources(*arguments, of(**resources))
    assert (plan.device, plan.cpus, plan.gpus, plan.concurrent) == expected


@pytest.mark.parametrize(
    ("resources", "arguments", "message"),
    [
        ({"CPU": 0}, ("auto", None, None, None), r"no node of the cluster has CPUs for trials; wait until"),
        ({"CPU": 2}, ("cuda", None, None, None), r"--device cuda: Ray sees no GPU"),
        ({"CPU": 2}, ("auto", 3, None, None), r"a trial needs 3 CPUs and 0 GPUs, the cluster has 2 and 0"),
        ({"CPU": 8, "GPU": 2}, ("auto", None, 4, None), r"needs 8 CPUs and 4 GPUs, the cluster has 8 and 2"),
        ({"CPU": 8, "GPU": 2}, ("auto", None, 2, 1), r"needs 8 CPUs and 2 GPUs, the cluster has 8 and 1"),
        (
            {"CPU": 8, "GPU": 4},
            ("auto", None, 1.5, None),
            r"--gpus-per-trial: expected a fraction up to 1 or an integer",
        ),
        ({"CPU": 8}, ("auto", None, 1, None), r"--gpus-per-trial has no effect on cpu"),
        ({"CPU": 8, "GPU": 4}, ("cpu", None, 1, None), r"--gpus-per-trial has no effect on cpu"),
    ],
)
def test_more_than_available_is_refused(resources: dict[str, float], arguments: tuple[Any, ...], message: str) -> None:
    with pytest.raises(UserError, match=message):
        plan_resources(*arguments, of(**resources))


@pytest.mark.parametrize(
    ("nodes", "arguments", "fixed", "expected"),
    [
        # (cpus, threads, concurrent)
        (of(CPU=8), ("cpu", None, None, None), None, (4, 4, 2)),
        (of(CPU=8), ("cpu", 2, None, None), None, (2, 2, 4)),
        # On another machine a trial has the threads that its study was started with, not its share.
        (of(CPU=8), ("cpu", None, None, None), 1, (1, 1, 8)),
        (of(CPU=8), ("auto", 3, None, None), 3, (3, 3, 2)),
        (of(CPU=2), ("cpu", None, None, None), 4, (2, 4, 1)),
        (of(CPU=1), ("auto", 4, None, None), 4, (1, 4, 1)),
        (cluster((2, 0), (8, 0), more=((16, 0),)), ("cpu", None, None, None), 8, (8, 8, 3)),
        # On a GPU threads do not affect the results.
        (of(CPU=8, GPU=1), ("auto", None, None, None), 2, (8, None, 1)),
        (of(CPU=8, GPU=1), ("cuda", 4, None, None), 2, (4, None, 1)),
    ],
)
def test_trials_on_a_cpu_have_the_studys_number_of_threads(
    nodes: Nodes, arguments: tuple[Any, ...], fixed: int | None, expected: tuple[int, int | None, int]
) -> None:
    plan = plan_resources(*arguments, nodes, cpu_threads=fixed)
    assert (plan.cpus, plan.cpu_threads, plan.concurrent) == expected


def test_more_threads_than_cpus_are_stated() -> None:
    nodes = of(CPU=1)
    text = describe(plan_resources("cpu", None, None, None, nodes, cpu_threads=4), nodes, own=True)
    assert text.endswith("each with 1 CPU, with the study's 4 threads on 1 CPU: slower, but the same numbers")


def test_where_trials_run_is_described_in_one_line() -> None:
    resources = Resources(device="cuda", cpus=4, gpus=0.5, concurrent=2)
    assert describe(resources, cluster((8, 1)), own=True) == (
        "device: cuda; up to 2 trials at once on a local Ray, each with 4 CPU, 0.5 GPU"
    )


def test_the_size_that_a_cluster_may_grow_to_is_described() -> None:
    nodes = cluster((2, 0), (8, 1), more=((8, 1), (8, 4)), max_more=1)
    text = describe(plan_resources("auto", None, None, None, nodes), nodes, own=True)
    assert "up to 5 trials at once" in text
    assert text.endswith("; the cluster has 1 GPUs now and may grow to 5")
    packed = describe(plan_resources("auto", None, AUTO, None, nodes), nodes, own=True)
    assert "each with 2 CPU, 1 GPU or less if its network needs less;" in packed


HEAD = (2, 0)


@pytest.mark.parametrize(
    ("nodes", "arguments", "expected"),
    [
        # A head without a GPU runs no trials, and its few CPUs do not limit theirs.
        (cluster(HEAD, (16, 1), (16, 1)), ("auto", None, None, None), ("cuda", 16, 1, 2)),
        # The smallest node's share fits all.
        (cluster(HEAD, (96, 8), (4, 1)), ("auto", None, None, None), ("cuda", 4, 1, 9)),
        (cluster(HEAD, (96, 8), (4, 1)), ("auto", None, 0.5, None), ("cuda", 2, 0.5, 18)),
        # Counted per node: 12 CPUs with 3 GPUs and 4 CPUs with none fit one trial of 8 CPUs, not two.
        (cluster((12, 3), (4, 0)), ("auto", 8, 1, None), ("cuda", 8, 1, 1)),
        # More GPUs than some nodes have.
        (cluster((32, 4), (8, 1)), ("auto", None, 2, None), ("cuda", 16, 2, 2)),
        (cluster(HEAD, (16, 1), (16, 1)), ("auto", None, None, 1), ("cuda", 16, 1, 1)),
        # CPUs only.
        (cluster((2, 0), (16, 0), (16, 0)), ("auto", 8, None, None), ("cpu", 8, 0, 4)),
        (cluster((8, 0), (16, 0)), ("auto", None, None, None), ("cpu", 4, 0, 6)),
        # No GPU workers yet: those that the autoscaler may start count.
        (cluster(HEAD, more=((8, 1),) * 4), ("auto", None, None, None), ("cuda", 8, 1, 4)),
        (cluster(HEAD, more=((8, 1),) * 4), ("auto", None, 0.25, 2), ("cuda", 2, 0.25, 8)),
        (cluster(HEAD, more=((8, 1),) * 4 + ((48, 4),) * 2, max_more=3), ("cuda", 8, None, None), ("cuda", 8, 1, 9)),
        (cluster(HEAD, (8, 1), more=((8, 1),) * 3, max_more=2), ("auto", None, None, None), ("cuda", 8, 1, 3)),
    ],
)
def test_nodes_of_all_sizes_are_counted_individually(
    nodes: Nodes, arguments: tuple[Any, ...], expected: tuple[str, int, float, int]
) -> None:
    plan = plan_resources(*arguments, nodes)
    assert (plan.device, plan.cpus, plan.gpus, plan.concurrent) == expected


def test_a_trial_that_fits_no_node_is_refused_with_their_sizes() -> None:
    nodes = cluster((4, 1), (32, 0), more=((4, 1),))
    with pytest.raises(UserError, match=r"needs 8 CPUs and 1 GPUs, no node of the cluster has both: 32 and 0, 4 and"):
        plan_resources("auto", 8, None, None, nodes)


def test_capacity_follows_the_nodes() -> None:
    nodes = cluster((8, 1), (8, 1), more=((8, 1),))
    plan = plan_resources("auto", None, None, None, nodes)
    assert plan.concurrent == plan.capacity(nodes) == 3
    assert plan.capacity(cluster((8, 1))) == 1
    assert plan.capacity(cluster()) == 0


@pytest.mark.parametrize("content", [b"max_workers: 2", b"max_workers: [", b"\xff", b"- 2", None])
@pytest.mark.parametrize("is_own", [True, False])
def test_an_autoscaler_whose_configuration_cannot_be_read_is_unknown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes | None, is_own: bool
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    if not is_own:
        monkeypatch.setattr(os, "getuid", lambda: -1)
    if content is not None:
        (tmp_path / "cluster.yaml").write_bytes(content)
    address = f"test-{tmp_path.name}:6379"
    arguments = [MONITOR, f"{ADDRESS}{address}", f"{CONFIG}~/cluster.yaml"]
    code, pipe = "print(flush=True); input()", subprocess.PIPE
    with subprocess.Popen([sys.executable, "-c", code, *arguments], stdin=pipe, stdout=pipe) as process:
        # The command line of a process is empty at first.
        assert process.stdout is not None
        process.stdout.readline()
        config = autoscaler_config(address)
        process.communicate(b"\n")
    assert config == ({"max_workers": 2} if is_own and content == b"max_workers: 2" else None)
