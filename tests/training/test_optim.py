"""Optimizers: learning rates against closed forms, bit-for-bit resuming, no output, and weight decay."""

from __future__ import annotations

import io
import math
import os
import subprocess
import sys

import pytest
import torch
from torch import nn

from leukemia.config.recipe import Recipe
from leukemia.config.sections import Optimizer, Train
from leukemia.training.optim import ScheduledOptimizer, build_optimizer
from leukemia.training.ranger21_package import HIDDEN_COUNTERS

NAMES = ("ranger21", "adamw", "ranger21_cosine", "ranger21_package", "ranger21_package_cosine")
BATCHES_PER_EPOCH = 5
EPOCHS = 4


def recipe_of(name: str, learning_rate: float = 1e-2, epochs: int = EPOCHS, restart_factor: int = 1) -> Recipe:
    restarts = (
        {} if name in ("ranger21", "ranger21_package") else {"restart_epochs": 2, "restart_factor": restart_factor}
    )
    return Recipe(optimizer=Optimizer(name=name, learning_rate=learning_rate, **restarts), train=Train(epochs=epochs))


class Net(nn.Module):
    """A convolution, a BatchNorm and a linear layer: every kind of parameter that a ResNet has."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 4, 3, bias=False)
        self.bn = nn.BatchNorm2d(4)
        self.fc = nn.Linear(4, 2)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.fc(torch.relu(self.bn(self.conv(images))).mean(dim=(2, 3)))


def new_net() -> Net:
    torch.manual_seed(0)
    return Net().to(memory_format=torch.channels_last)


def batch(step: int) -> tuple[torch.Tensor, torch.Tensor]:
    """16 noisy images with horizontal (0) or vertical (1) stripes: separable by the convolution alone."""
    generator = torch.Generator().manual_seed(step)
    labels = torch.arange(16) % 2
    stripes = (torch.arange(6) % 2).float()[:, None].expand(6, 6)
    images = torch.stack([stripes.T if label else stripes for label in labels])[:, None]
    return images + 0.3 * torch.randn(images.shape, generator=generator), labels


def train(net: Net, optimizer: ScheduledOptimizer, steps: range) -> list[float]:
    losses = []
    for step in steps:
        images, labels = batch(step)
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(net(images), labels)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


def set_gradients(optimizer: ScheduledOptimizer) -> None:
    for parameter in optimizer._optimizer.param_groups[0]["params"]:
        parameter.grad = torch.ones_like(parameter)


def new_optimizer(name: str, net: nn.Module) -> ScheduledOptimizer:
    return build_optimizer(net, recipe_of(name), BATCHES_PER_EPOCH)


@pytest.mark.parametrize("name", NAMES)
def test_the_loss_decreases(name: str) -> None:
    net = new_net()
    optimizer = build_optimizer(net, recipe_of(name, learning_rate=3e-2, epochs=24), BATCHES_PER_EPOCH)
    losses = train(net, optimizer, range(120))
    assert sum(losses[-5:]) < 0.5 * sum(losses[:5])


@pytest.mark.parametrize("name", NAMES)
def test_a_resumed_run_equals_an_uninterrupted_one_bit_for_bit(name: str) -> None:
    uninterrupted = new_net()
    expected = train(uninterrupted, new_optimizer(name, uninterrupted), range(15))

    first = new_net()
    optimizer = new_optimizer(name, first)
    losses = train(first, optimizer, range(7))
    saved = io.BytesIO()
    torch.save({"model": first.state_dict(), "optimizer": optimizer.state_dict()}, saved)
    saved.seek(0)
    state = torch.load(saved, weights_only=True)

    second = Net()
    second.load_state_dict(state["model"])
    second.to(memory_format=torch.channels_last)
    optimizer = new_optimizer(name, second)
    optimizer.load_state_dict(state["optimizer"])
    losses += train(second, optimizer, range(7, 15))

    assert losses == expected
    for key, value in uninterrupted.state_dict().items():
        assert torch.equal(value, second.state_dict()[key]), key


@pytest.mark.parametrize("name", NAMES)
def test_a_resumed_run_continues_with_the_same_learning_rate(name: str) -> None:
    net = new_net()
    optimizer = new_optimizer(name, net)
    train(net, optimizer, range(7))
    other = new_optimizer(name, new_net())
    assert other.learning_rate != optimizer.learning_rate
    other.load_state_dict(optimizer.state_dict())
    assert other.learning_rate == optimizer.learning_rate


@pytest.mark.parametrize("name", ["ranger21_package", "ranger21_package_cosine"])
def test_rangers_hidden_counters_are_in_the_state(name: str) -> None:
    net = new_net()
    optimizer = new_optimizer(name, net)
    train(net, optimizer, range(7))
    hidden = optimizer.state_dict()["hidden"]
    assert set(hidden) == set(HIDDEN_COUNTERS)
    # 7 steps: lookahead merges every 5 and epochs have 5 batches; the warm-up took int(0.22 * 20) = 4 steps.
    assert (hidden["lookahead_step"], hidden["current_iter"], hidden["epoch_count"]) == (2, 2, 1)
    assert hidden["warmup_complete"] is (name == "ranger21_package")
    assert hidden["param_size"] == sum(parameter.numel() for parameter in net.parameters())


@pytest.mark.parametrize("restart_factor", [1, 2])
@pytest.mark.parametrize("name", ["adamw", "ranger21_cosine", "ranger21_package_cosine"])
def test_cosine_restarts_follow_the_closed_form(name: str, restart_factor: int) -> None:
    net = new_net()
    optimizer = build_optimizer(net, recipe_of(name, restart_factor=restart_factor), BATCHES_PER_EPOCH)
    rates = []
    for step in range(31):
        rates.append(optimizer.learning_rate)
        train(net, optimizer, range(step, step + 1))
    cycles = [10, 10, 10, 1] if restart_factor == 1 else [10, 20, 1]
    expected = [
        1e-4 + (1e-2 - 1e-4) * (1 + math.cos(math.pi * step / length)) / 2
        for length in cycles
        for step in range(length)
    ]
    assert rates == pytest.approx(expected, rel=1e-9)
    assert [step for step, rate in enumerate(rates) if rate == pytest.approx(1e-2)] == (
        [0, 10, 20, 30] if restart_factor == 1 else [0, 10, 30]
    )


def first_update(name: str, steps_before: int) -> float:
    """Mean change of the first weight by one step with a fixed gradient, after ``steps_before`` schedule steps."""
    net = new_net()
    optimizer = new_optimizer(name, net)
    for _ in range(steps_before):
        optimizer._schedule.step()
    before = net.conv.weight.detach().clone()
    train(net, optimizer, range(1))
    return float((net.conv.weight.detach() - before).abs().mean())


@pytest.mark.parametrize("name", ["adamw", "ranger21_cosine", "ranger21_package_cosine"])
@pytest.mark.filterwarnings("ignore:Detected call of `lr_scheduler.step")
def test_the_external_schedule_scales_the_updates(name: str) -> None:
    # The first update of either optimizer is proportional to its learning rate (except for AdamW's small decay).
    peak, low = (first_update(name, steps) for steps in (0, 9))
    expected = 0.01 + 0.99 * (1 + math.cos(0.9 * math.pi)) / 2
    assert low / peak == pytest.approx(expected, rel=1e-2)


@pytest.mark.parametrize("ranger", ["ranger21", "ranger21_package"])
def test_rangers_own_schedule_is_disabled_with_the_external_one(ranger: str) -> None:
    # The first of int(0.22 * 20) = 4 warm-up steps uses a quarter of the rate.
    warming, at_once = (first_update(name, 0) for name in (ranger, f"{ranger}_cosine"))
    assert at_once / warming == pytest.approx(4, rel=1e-3)
    # Step 17 of 20 is in the warm-down, which would replace the rate of the group by its own, at least 3e-5.
    net = new_net()
    optimizer = new_optimizer(f"{ranger}_cosine", net)
    train(net, optimizer, range(16))
    optimizer._optimizer.param_groups[0]["lr"] = 0.0
    before = net.conv.weight.detach().clone()
    train(net, optimizer, range(16, 17))
    assert torch.equal(net.conv.weight, before)


@pytest.mark.parametrize("name", ["ranger21", "ranger21_package"])
def test_the_reported_learning_rate_is_the_one_that_ranger_uses(name: str) -> None:
    net = new_net()
    optimizer = build_optimizer(net, recipe_of(name, epochs=10), BATCHES_PER_EPOCH)
    package = build_optimizer(new_net(), recipe_of("ranger21_package", epochs=10), BATCHES_PER_EPOCH)
    ranger = (optimizer if name == "ranger21_package" else package)._optimizer
    reported, used = [], []
    for step in range(50):
        reported.append(optimizer.learning_rate)
        train(net, optimizer, range(step, step + 1))
        if name == "ranger21":
            set_gradients(package)
            package.step()
        used.append(ranger.current_lr)
    assert reported == pytest.approx(used, rel=1e-12)
    # Warm-up over int(0.22 * 50) = 11 steps, flat, warm-down over the last 28 % nearly to 3e-5.
    assert reported[:11] == pytest.approx([1e-2 * step / 11 for step in range(1, 12)])
    assert reported[11:35] == pytest.approx([1e-2] * 24)
    assert reported[34] > reported[35] > reported[48] > reported[49]
    assert reported[49] == pytest.approx(3e-5, abs=1e-9)


@pytest.mark.parametrize("name", ["ranger21", "ranger21_package"])
def test_ranger_can_run_a_single_step_and_more_steps_than_planned(name: str) -> None:
    net = new_net()
    optimizer = build_optimizer(net, recipe_of(name, epochs=1), 1)
    train(net, optimizer, range(3))
    assert optimizer.learning_rate == pytest.approx(3e-5)


@pytest.mark.parametrize("name", NAMES)
def test_nothing_is_printed(name: str, capfd: pytest.CaptureFixture[str]) -> None:
    net = new_net()
    # 22 steps: past the warm-up, the start of the warm-down, and the planned end at 20.
    train(net, new_optimizer(name, net), range(22))
    assert capfd.readouterr() == ("", "")
    print("still printed")
    assert capfd.readouterr().out == "still printed\n"


def test_ranger_needs_no_display() -> None:
    code = (
        "import torch; from leukemia.config.recipe import Recipe; from leukemia.training.optim import build_optimizer;"
        "build_optimizer(torch.nn.Linear(3, 2), Recipe().with_settings({'optimizer.name': 'ranger21_package'}), 1)"
    )
    environment = {key: value for key, value in os.environ.items() if key not in ("DISPLAY", "WAYLAND_DISPLAY")}
    subprocess.run([sys.executable, "-c", code], env={**environment, "MPLBACKEND": "TkAgg"}, check=True, timeout=600)


def test_adamw_decays_matrices_only() -> None:
    net = new_net()
    recipe = Recipe(
        optimizer=Optimizer(name="adamw", learning_rate=0.1, weight_decay=0.5, restart_epochs=1), train=Train(epochs=1)
    )
    optimizer = build_optimizer(net, recipe, 1)
    before = {name: parameter.detach().clone() for name, parameter in net.named_parameters()}
    for parameter in net.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    for name, parameter in net.named_parameters():
        share = 1 - 0.1 * 0.5 if name in ("conv.weight", "fc.weight") else 1.0
        torch.testing.assert_close(parameter.detach(), share * before[name])


def test_adamw_equals_torchs_reference_implementation() -> None:
    net, plain = new_net(), new_net()
    optimizer = new_optimizer("adamw", net)
    reference = torch.optim.AdamW(
        [
            {"params": [plain.conv.weight, plain.fc.weight], "weight_decay": 0.01},
            {"params": [plain.bn.weight, plain.bn.bias, plain.fc.bias], "weight_decay": 0.0},
        ],
        foreach=False,
    )
    for step in range(5):
        for group in reference.param_groups:
            group["lr"] = optimizer.learning_rate
        train(net, optimizer, range(step, step + 1))
        images, labels = batch(step)
        reference.zero_grad()
        nn.functional.cross_entropy(plain(images), labels).backward()
        reference.step()
    for (name, got), expected in zip(net.named_parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(got, expected, msg=name)


@pytest.mark.parametrize("value", [float("nan"), 0.0])
@pytest.mark.parametrize("name", ["ranger21_package", "ranger21_package_cosine"])
def test_the_package_rejects_unusable_gradients(name: str, value: float) -> None:
    net = new_net()
    optimizer = new_optimizer(name, net)
    for parameter in net.parameters():
        parameter.grad = torch.full_like(parameter, value)
    with pytest.raises(FloatingPointError, match=r"expected finite gradients.*lower optimizer\.learning_rate"):
        optimizer.step()


def test_zero_grad_resets_gradients() -> None:
    net = new_net()
    optimizer = new_optimizer("adamw", net)
    train(net, optimizer, range(1))
    optimizer.zero_grad()
    assert all(parameter.grad is None for parameter in net.parameters())


def test_a_state_of_another_optimizer_or_model_is_rejected() -> None:
    state = new_optimizer("adamw", new_net()).state_dict()
    with pytest.raises(AssertionError, match="the state belongs to another optimizer"):
        new_optimizer("ranger21", new_net()).load_state_dict(state)
    with pytest.raises(ValueError, match="size of optimizer's group"):
        new_optimizer("adamw", nn.Linear(2, 2)).load_state_dict(state)


def test_an_unresolved_recipe_is_rejected() -> None:
    with pytest.raises(AssertionError, match="the recipe is not resolved"):
        build_optimizer(new_net(), Recipe(optimizer=Optimizer(name="adamw")), 1)
