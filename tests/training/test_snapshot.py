"""Snapshots: a copy of the state of a fit, which further training does not reach."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn

from leukemia.config.recipe import Recipe
from leukemia.training.optim import ScheduledOptimizer, build_optimizer
from leukemia.training.snapshot import Snapshot, restore

CPU = torch.device("cpu")


def fitted(name: str) -> tuple[nn.Module, ScheduledOptimizer]:
    """A small network in channels-last memory after three steps."""
    recipe = Recipe.from_flat({"optimizer.name": name, "train.epochs": 4}).resolved([(32, 32)])
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(144, 2))
    model = model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimizer = build_optimizer(model, recipe, 3)
    train(model, optimizer)
    return model, optimizer


def train(model: nn.Module, optimizer: ScheduledOptimizer) -> None:
    for _ in range(3):
        optimizer.zero_grad()
        model(torch.randn(4, 3, 8, 8)).square().mean().backward()
        optimizer.step()


def assert_equal(first: object, second: object) -> None:
    if isinstance(first, Tensor):
        assert isinstance(second, Tensor)
        assert torch.equal(first, second)
        assert first.stride() == second.stride()
    elif isinstance(first, dict):
        assert isinstance(second, dict)
        assert first.keys() == second.keys()
        for key, value in first.items():
            assert_equal(value, second[key])
    else:
        assert first == second


@pytest.mark.parametrize("name", ["adamw", "ranger21", "ranger21_package"])
def test_training_does_not_reach_a_snapshot_and_continues_from_it(name: str) -> None:
    model, optimizer = fitted(name)
    snapshot = Snapshot.take(model, optimizer, CPU, [])
    expected = copy.deepcopy(snapshot.state())
    train(model, optimizer)
    assert_equal(snapshot.state(), expected)
    weights = copy.deepcopy(model.state_dict())
    other, other_optimizer = fitted(name)
    assert restore(snapshot.state(), other, other_optimizer, CPU) == []
    train(other, other_optimizer)
    assert_equal(dict(other.state_dict()), dict(weights))
