"""AdamW's warm-up: learning rates against closed forms, cycles that stay where they are, and bit-for-bit resuming."""

from __future__ import annotations

import io
import math

import pytest
import torch
from torch import nn

from leukemia.config.recipe import Recipe
from leukemia.training.optim import ScheduledOptimizer, build_optimizer

BATCHES_PER_EPOCH = 5
WARMUP_EPOCHS, STEPS_UP = 2, 10


def recipe_of(restart_epochs: int, restart_factor: int = 1, warmup_epochs: int = WARMUP_EPOCHS) -> Recipe:
    """Of four epochs with AdamW at 1e-2."""
    settings = {
        "optimizer.name": "adamw",
        "optimizer.learning_rate": 1e-2,
        "optimizer.warmup_epochs": warmup_epochs,
        "optimizer.restart_epochs": restart_epochs,
        "optimizer.restart_factor": restart_factor,
    }
    return Recipe().with_settings({**settings, "train.epochs": 4})


def new_net() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 4), nn.ReLU(), nn.Linear(4, 2))


def train(net: nn.Module, optimizer: ScheduledOptimizer, steps: range) -> list[float]:
    """The losses of steps on random images, which are the same for a step's number."""
    losses = []
    for step in steps:
        images = torch.randn(16, 6, generator=torch.Generator().manual_seed(step))
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(net(images), (images.sum(dim=1) > 0).long())
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


def rates_of(recipe: Recipe, steps: int) -> list[float]:
    """The learning rate of each step, which is that of all parameters."""
    net = new_net()
    optimizer = build_optimizer(net, recipe, BATCHES_PER_EPOCH)
    rates = []
    for step in range(steps):
        rates.append(optimizer.learning_rate)
        assert [group["lr"] for group in optimizer._optimizer.param_groups] == [rates[-1]] * 2
        train(net, optimizer, range(step, step + 1))
    return rates


def annealed(steps: int) -> list[float]:
    """A whole cosine from 1e-2 to a hundredth of it."""
    return [1e-4 + (1e-2 - 1e-4) * (1 + math.cos(math.pi * step / steps)) / 2 for step in range(steps)]


@pytest.mark.parametrize(
    ("restart_epochs", "restart_factor", "expected", "same_from"),
    [
        (4, 1, [*annealed(10), *annealed(20)], 20),
        (3, 1, [*annealed(5), *annealed(15)], 15),
        (3, 2, [*annealed(5), *annealed(30)], 15),
        # As long as the first cycle, and longer: it ends within the second one, after 5 of its 10 steps.
        (2, 1, [*annealed(10), *annealed(10)], 10),
        (1, 2, [*annealed(5), *annealed(20)], 15),
    ],
)
def test_a_warm_up_rises_linearly_and_leaves_restarts_where_they_are(
    restart_epochs: int, restart_factor: int, expected: list[float], same_from: int
) -> None:
    steps = STEPS_UP + len(expected)
    rates = rates_of(recipe_of(restart_epochs, restart_factor), steps)
    assert rates[:STEPS_UP] == pytest.approx([1e-3 * step for step in range(1, 11)])
    assert rates[STEPS_UP:] == pytest.approx(expected)
    plain = rates_of(recipe_of(restart_epochs, restart_factor, warmup_epochs=0), steps)
    assert rates[same_from:] == pytest.approx(plain[same_from:])
    assert rates[:STEPS_UP] != pytest.approx(plain[:STEPS_UP])


def test_a_single_cycle_ends_with_training_whatever_the_warm_up() -> None:
    resolved = Recipe.from_flat({"optimizer.name": "adamw", "optimizer.warmup_epochs": 2}).resolved([(64, 64)])
    assert resolved.optimizer.restart_epochs == resolved.train.epochs
    assert rates_of(recipe_of(4), 20)[-1] < 4e-4


def test_without_a_warm_up_the_schedule_is_that_of_earlier_versions() -> None:
    """Their checkpoints have its state."""
    optimizer = build_optimizer(new_net(), recipe_of(4, warmup_epochs=0), BATCHES_PER_EPOCH)
    assert isinstance(optimizer._schedule, torch.optim.lr_scheduler.CosineAnnealingWarmRestarts)
    assert Recipe.from_flat({"optimizer.name": "adamw"}).optimizer.warmup_epochs == 0


def test_the_updates_follow_the_warm_up() -> None:
    """AdamW's first update is proportional to the learning rate, but for its small decay."""

    def first_update(warmup_epochs: int) -> float:
        net = new_net()
        before = net[0].weight.detach().clone()
        train(net, build_optimizer(net, recipe_of(4, warmup_epochs=warmup_epochs), BATCHES_PER_EPOCH), range(1))
        return float((net[0].weight.detach() - before).abs().mean())

    assert first_update(WARMUP_EPOCHS) / first_update(0) == pytest.approx(1 / STEPS_UP, rel=1e-2)


@pytest.mark.parametrize("stop", [3, 10, 12])
def test_a_run_resumed_in_or_after_its_warm_up_equals_an_uninterrupted_one_bit_for_bit(stop: int) -> None:
    recipe, uninterrupted = recipe_of(4), new_net()
    expected = train(uninterrupted, build_optimizer(uninterrupted, recipe, BATCHES_PER_EPOCH), range(18))
    first = new_net()
    optimizer = build_optimizer(first, recipe, BATCHES_PER_EPOCH)
    losses = train(first, optimizer, range(stop))
    saved = io.BytesIO()
    torch.save({"model": first.state_dict(), "optimizer": optimizer.state_dict()}, saved)
    saved.seek(0)
    state = torch.load(saved, weights_only=True)

    second = new_net()
    second.load_state_dict(state["model"])
    other = build_optimizer(second, recipe, BATCHES_PER_EPOCH)
    assert other.learning_rate != optimizer.learning_rate
    other.load_state_dict(state["optimizer"])
    assert other.learning_rate == optimizer.learning_rate
    losses += train(second, other, range(stop, 18))
    assert losses == expected
    for key, value in uninterrupted.state_dict().items():
        assert torch.equal(value, second.state_dict()[key]), key
