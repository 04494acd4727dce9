"""What a trial occupies: a cluster divided among trials."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import ray
import torch

from leukemia.mistakes import Mistake
from search.resources import Resources, describe, plan_resources


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    def has(**resources: float) -> None:
        monkeypatch.setattr(ray, "cluster_resources", lambda: resources)
        monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)

    return has


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
        ({"CPU": 64, "GPU": 8}, ("auto", 4, 2, None), ("cuda", 4, 2, 4)),
        ({"CPU": 3, "GPU": 8}, ("auto", None, None, None), ("cuda", 1, 1, 3)),
    ],
)
def test_resources_are_divided_among_trials(
    cluster: Callable[..., None],
    resources: dict[str, float],
    arguments: tuple[Any, ...],
    expected: tuple[str, int, float, int],
) -> None:
    cluster(**resources)
    device, cpus, gpus, concurrent = expected
    assert plan_resources(*arguments) == Resources(device=device, cpus=cpus, gpus=gpus, concurrent=concurrent)


@pytest.mark.parametrize(
    ("resources", "arguments", "message"),
    [
        ({"CPU": 2}, ("cuda", None, None, None), r"--device cuda: Ray sees no GPU"),
        ({"CPU": 2}, ("auto", 3, None, None), r"a trial asks for 3 CPUs and 0 GPUs, the cluster has 2 and 0"),
        ({"CPU": 8, "GPU": 2}, ("auto", None, 4, None), r"asks for 8 CPUs and 4 GPUs, the cluster has 8 and 2"),
        ({"CPU": 8, "GPU": 2}, ("auto", None, 2, 1), r"asks for 8 CPUs and 2 GPUs, the cluster has 8 and 1"),
        ({"CPU": 8, "GPU": 4}, ("auto", None, 1.5, None), r"--gpus-per-trial: expected a fraction up to 1 or a whole"),
        ({"CPU": 8}, ("auto", None, 1, None), r"--gpus-per-trial has no effect on cpu"),
        ({"CPU": 8, "GPU": 4}, ("cpu", None, 1, None), r"--gpus-per-trial has no effect on cpu"),
    ],
)
def test_more_than_there_is_is_refused(
    cluster: Callable[..., None], resources: dict[str, float], arguments: tuple[Any, ...], message: str
) -> None:
    cluster(**resources)
    with pytest.raises(Mistake, match=message):
        plan_resources(*arguments)


def test_where_trials_run_is_said_in_one_line() -> None:
    assert describe(Resources(device="cuda", cpus=4, gpus=0.5, concurrent=2), own=True) == (
        "device: cuda; up to 2 trials at once on a Ray of its own, each with 4 CPU, 0.5 GPU"
    )
