"""Ranger21 over flat memory, against the package: the same weights in 200 steps, few launches, no synchronization."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from benchmarks.training.measuring.launches import Launches
from leukemia.config.recipe import Recipe
from leukemia.training import ranger21
from leukemia.training.model import save_model
from leukemia.training.optim import ScheduledOptimizer, build_optimizer
from leukemia.training.ranger21 import STATE, Ranger21
from leukemia.training.resnet import ResNet

EPOCHS, BATCHES_PER_EPOCH = 20, 10
SHRINK = 16
"""Divisor of the numbers of channels, so that the package takes milliseconds per step."""


class Shrunk(nn.Module):
    """The parameters of a ResNet, all of its shapes with fewer channels, channels last."""

    def __init__(self, depth: int, shortcut: str = "add", in_channels: int = 3) -> None:
        super().__init__()
        with torch.device("meta"):
            network = ResNet(depth, shortcut, in_channels)
        generator = torch.Generator().manual_seed(depth)
        self.all = nn.ParameterList(
            torch.randn(
                [max(1, size // SHRINK) if dim < 2 else size for dim, size in enumerate(each.shape)],
                generator=generator,
            )
            * 0.1
            for each in network.parameters()
        )
        self.to(memory_format=torch.channels_last)


def optimizer_of(name: str, model: nn.Module, learning_rate: float = 1e-3) -> ScheduledOptimizer:
    settings = {"optimizer.name": name, "optimizer.learning_rate": learning_rate, "train.epochs": EPOCHS}
    restarts = {"optimizer.restart_epochs": 5} if name.endswith("cosine") else {}
    recipe = Recipe().with_settings({**settings, **restarts})
    return build_optimizer(model, recipe, BATCHES_PER_EPOCH)


def set_gradients(models: list[nn.Module], step: int) -> None:
    """The same random gradients for all models; their size differs by parameter and step, some are clipped."""
    generator = torch.Generator().manual_seed(step)
    for parameters in zip(*(model.parameters() for model in models), strict=True):
        size = 10 ** (4 * torch.rand((), generator=generator) - 5)
        values = size * torch.randn(parameters[0].shape, generator=generator)
        for parameter in parameters:
            parameter.grad = torch.empty_like(parameter).copy_(values)


def flat(model: nn.Module) -> Tensor:
    return torch.cat([parameter.detach().reshape(-1) for parameter in model.parameters()])


def copies(model: nn.Module) -> list[Tensor]:
    return [parameter.detach().clone() for parameter in model.parameters()]


def assert_moved_alike(start: list[Tensor], ours: nn.Module, package: nn.Module) -> None:
    """Each parameter differs by less than 1e-4 of what it moved: small ones do not show in a sum over all."""
    for before, mine, other in zip(start, ours.parameters(), package.parameters(), strict=True):
        assert (mine - other).norm() < 1e-4 * (other - before).norm()


@pytest.mark.parametrize(
    ("depth", "shortcut", "in_channels", "name"),
    [
        (18, "add", 3, "ranger21"),
        (18, "concat", 3, "ranger21_cosine"),
        (18, "weighted", 1, "ranger21"),
        (50, "add", 1, "ranger21_cosine"),
        (50, "concat", 3, "ranger21"),
        (50, "weighted", 3, "ranger21"),
    ],
)
def test_200_steps_equal_those_of_the_package(depth: int, shortcut: str, in_channels: int, name: str) -> None:
    # 200 steps: warm-up to 44, warm-down from 144, lookahead every 5.
    models = [Shrunk(depth, shortcut, in_channels) for _ in range(2)]
    start = copies(models[0])
    names = (name, name.replace("ranger21", "ranger21_package"))
    ours, package = (optimizer_of(each, model) for each, model in zip(names, models, strict=True))
    for step in range(EPOCHS * BATCHES_PER_EPOCH):
        set_gradients(models, step)
        assert ours.learning_rate == pytest.approx(package.learning_rate, rel=1e-9)
        for optimizer in (ours, package):
            optimizer.step()
    assert_moved_alike(start, *models)
    assert ours.failed_step() == 0


@pytest.mark.parametrize("last", [(5,), (4, 3, 3, 3)])
def test_small_zero_and_large_parameters_equal_those_of_the_package(last: tuple[int, ...]) -> None:
    """Of one or two values, which are not normalized; zero, which are clipped by the least norm; and a last one so
    large that its decay and norm loss show beside its gradients."""
    generator = torch.Generator().manual_seed(0)
    matrix, large = torch.randn(6, 4, 3, 3, generator=generator), 30 * torch.rand(last, generator=generator)
    matrix[:3] = 0
    values = [matrix, torch.zeros(()), torch.zeros(1), torch.zeros(2), torch.zeros(3), torch.ones(7), large]
    models = [nn.ParameterList(value.clone() for value in values) for _ in range(2)]
    names = ("ranger21_cosine", "ranger21_package_cosine")
    optimizers = [optimizer_of(name, model, 0.1) for name, model in zip(names, models, strict=True)]
    for step in range(20):
        set_gradients(models, step)
        for optimizer in optimizers:
            optimizer.step()
    assert_moved_alike(values, *models)


@pytest.mark.parametrize("steps", [5, 7, 8])
def test_a_state_is_restored_bit_for_bit_also_between_lookaheads(steps: int) -> None:
    model, other = Shrunk(18), Shrunk(18)
    uninterrupted = optimizer_of("ranger21", model)
    saved = io.BytesIO()
    for step in range(12):
        if step == steps:
            torch.save({"model": model.state_dict(), "optimizer": uninterrupted.state_dict()}, saved)
        set_gradients([model], step)
        uninterrupted.step()
    saved.seek(0)
    state = torch.load(saved, weights_only=True)
    resumed = optimizer_of("ranger21", other)
    other.load_state_dict(state["model"])
    resumed.load_state_dict(state["optimizer"])
    for step in range(steps, 12):
        set_gradients([other], step)
        resumed.step()
    assert torch.equal(flat(model), flat(other))


def test_the_size_of_chunks_does_not_change_a_bit(monkeypatch: pytest.MonkeyPatch) -> None:
    """A model of 44,000 values, in one chunk and in hundreds, the last of them shorter."""
    models = [Shrunk(18), Shrunk(18)]
    optimizers = [optimizer_of("ranger21", model) for model in models]
    assert flat(models[0]).numel() % 192 > 0
    for step in range(2 * ranger21.LOOKAHEAD_STEPS + 1):
        set_gradients(models, step)
        for optimizer, chunk in zip(optimizers, (2**20, 192), strict=True):
            monkeypatch.setattr(ranger21, "CHUNK", chunk)
            optimizer.step()
    assert torch.equal(flat(models[0]), flat(models[1]))


def test_the_state_has_four_tensors_per_parameter() -> None:
    model = Shrunk(18)
    optimizer = optimizer_of("ranger21", model)
    set_gradients([model], 0)
    optimizer.step()
    saved = io.BytesIO()
    torch.save(optimizer.state_dict(), saved)
    state = optimizer.state_dict()["optimizer"]["state"]
    assert all(set(each) == set(STATE) for each in state.values())
    for index, parameter in enumerate(model.parameters()):
        assert {value.shape for value in state[index].values()} == {parameter.shape}
    size = 4 * 4 * flat(model).numel()
    assert size < len(saved.getvalue()) < size + 300_000


@pytest.mark.parametrize("shortcut", ["add", "concat", "weighted"])
@pytest.mark.parametrize("depth", [18, 50, 152])
def test_a_step_takes_few_launches_and_no_synchronization(depth: int, shortcut: str) -> None:
    with torch.device("meta"):
        network = ResNet(depth, shortcut).to(memory_format=torch.channels_last)
    optimizer = Ranger21(network.parameters(), lr=1e-3)
    counts = []
    # The first and the fifth step do more than the others.
    for _ in range(5):
        for parameter in network.parameters():
            parameter.grad = torch.empty_like(parameter)
        with Launches() as launches:
            optimizer.step()
        counts.append(launches.count)
        assert launches.synchronizations == 0
    assert max(counts) <= 300


# Only zeros from the start are refused: later, the second moments are not zero.
@pytest.mark.parametrize(
    ("step", "value", "failed"), [(3, float("nan"), 3), (3, float("inf"), 3), (1, 0.0, 1), (3, 0.0, 0)]
)
@pytest.mark.parametrize("name", ["ranger21", "ranger21_cosine"])
def test_gradients_that_cannot_be_used_are_recorded_with_their_step(
    name: str, step: int, value: float, failed: int
) -> None:
    model = Shrunk(18)
    optimizer = optimizer_of(name, model)
    for number in range(1, 7):
        set_gradients([model], number)
        if number == step:
            for parameter in model.parameters():
                torch.nn.init.constant_(parameter.grad, value)
        optimizer.step()
    assert optimizer.failed_step() == failed


def test_memory_formats_and_parameters_remain() -> None:
    torch.manual_seed(0)
    for memory_format in (torch.channels_last, torch.contiguous_format):
        model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Conv2d(4, 6, 1), nn.Linear(6, 2)).to(memory_format=memory_format)
        before = {name: value.clone() for name, value in model.state_dict().items()}
        Ranger21(model.parameters(), lr=1e-3)
        for name, value in model.state_dict().items():
            assert torch.equal(value, before[name])
            assert value.dim() < 4 or value.is_contiguous(memory_format=memory_format)


def test_a_missing_gradient_is_an_error() -> None:
    model = Shrunk(18)
    with pytest.raises(AssertionError, match="a parameter has no gradient"):
        Ranger21(model.parameters(), lr=1e-3).step()


def test_a_model_under_ranger21_is_saved_as_safetensors(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)).to(memory_format=torch.channels_last)
    save_model(model, tmp_path / "before.safetensors")
    Ranger21(model.parameters(), lr=1e-3)
    save_model(model, tmp_path / "after.safetensors")
    assert (tmp_path / "before.safetensors").read_bytes() == (tmp_path / "after.safetensors").read_bytes()
