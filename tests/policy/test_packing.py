"""How many trials share a GPU: one until memory has been measured, then as many as fit."""

from __future__ import annotations

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from leukemia.config.recipe import Recipe
from leukemia.training.device import CONTEXT_MB
from leukemia.training.model import build_model
from search.policy.effort import effort, memory_mb, network_size
from search.policy.packing import MARGIN, MAX_PER_GPU, USABLE, Packing


def recipe(depth: int = 18, shortcut: str = "add", **settings: object) -> Recipe:
    return (
        Recipe()
        .with_settings({"data.crop_px": 224, "data.size_px": 224, "model.depth": depth, "model.shortcut": shortcut})
        .with_settings({key.replace("__", "."): value for key, value in settings.items()})
    )


def test_counts_match_the_network() -> None:
    """Multiplications of a forward pass as counted by torch, within 5 %."""
    counted, network = network_size(18, "add", 64), build_model(recipe())
    assert counted.parameters == sum(parameter.numel() for parameter in network.parameters())
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network.eval()(torch.zeros(1, 3, 64, 64))
    assert counted.multiplications == pytest.approx(counter.get_total_flops() / 2, rel=0.05)


def test_deeper_longer_and_wider_recipes_cost_more() -> None:
    efforts = [effort(each) for each in (recipe(18), recipe(50), recipe(152), recipe(152, "concat"))]
    assert efforts == sorted(efforts)
    assert effort(recipe(train__epochs=80)) == 2 * effort(recipe(train__epochs=40))
    memories = [memory_mb(each) for each in (recipe(18), recipe(50), recipe(152), recipe(152, "concat"))]
    assert memories == sorted(memories)
    assert memory_mb(recipe(train__batch_size=64)) > memory_mb(recipe(train__batch_size=32))


def test_no_gpu_is_shared_before_the_first_measurement() -> None:
    packing = Packing()
    assert packing.per_gpu(recipe()) == 1
    packing.measure(recipe(), 0.0, 0.0)
    assert packing.per_gpu(recipe()) == 1, "a CPU reports no memory"


def test_as_many_trials_share_a_gpu_as_fit() -> None:
    packing = Packing()
    packing.measure(recipe(50), 2 * memory_mb(recipe(50)), 80_000.0)
    assert packing.per_gpu(recipe(18)) == MAX_PER_GPU
    assert packing.per_gpu(recipe(152, "concat")) == 1
    for depth in (18, 50, 152):
        for shortcut in ("add", "concat"):
            count = packing.per_gpu(recipe(depth, shortcut))
            needed = MARGIN * 2 * memory_mb(recipe(depth, shortcut)) + CONTEXT_MB
            assert count == 1 or count * needed <= USABLE * 80_000
            assert count == MAX_PER_GPU or (count + 1) * needed > USABLE * 80_000


def test_the_largest_ratio_and_the_smallest_gpu_count() -> None:
    packing = Packing()
    packing.measure(recipe(18), memory_mb(recipe(18)), 80_000.0)
    before = packing.per_gpu(recipe(50))
    packing.measure(recipe(50), 9 * memory_mb(recipe(50)), 80_000.0)
    packing.measure(recipe(18), memory_mb(recipe(18)), 80_000.0)
    assert packing.per_gpu(recipe(50)) < before
    packing.measure(recipe(18), memory_mb(recipe(18)), 8_000.0)
    assert packing.per_gpu(recipe(50)) == 1, "any trial may run on the smallest GPU"
