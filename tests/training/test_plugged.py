"""Networks and optimizers of plug-ins: trained, resumed, stored, explained, and every mistake in one line."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.cells import TinyImages
from helpers.plugins import NETWORK, OPTIMIZER, unknown, written
from torch import nn

from leukemia.base.errors import UserError
from leukemia.config.recipe import Recipe
from leukemia.plugins.registry import load_named
from leukemia.training.ensemble import Ensemble
from leukemia.training.gradcam import NoMap, layer_of, relevance
from leukemia.training.inference import precise_batchnorm
from leukemia.training.model import build_model, load_ensemble, load_model, save_model
from leukemia.training.optim import build_optimizer
from leukemia.training.plugged import check_network, check_optimizer
from leukemia.training.train import Split, check_batch_size, fit

CPU = torch.device("cpu")
SETTINGS = {
    "model.network": "tiny",
    "optimizer.name": "plain",
    "data.size_px": 32,
    "train.epochs": 3,
    "train.batch_size": 16,
    "train.precision": "float32",
    "evaluate.tta": "flips",
}


@pytest.fixture(autouse=True)
def nothing_loaded() -> Iterator[None]:
    with unknown():
        yield


@pytest.fixture
def recipe(tmp_path: Path) -> Recipe:
    load_named(written(tmp_path / "plugins"))
    return Recipe().with_settings(SETTINGS).resolved([(32, 32)])


def own(tmp_path: Path, text: str, **settings: object) -> Recipe:
    load_named(written(tmp_path, own=text))
    changed = {key.replace("__", "."): value for key, value in settings.items()}
    return Recipe().with_settings({"data.size_px": 32, **changed}).resolved([(32, 32)])


def split_of(tiny: TinyImages) -> Split:
    rows = np.arange(len(tiny.images))
    return Split(images=tiny.images, labels=tiny.labels, training=rows[:40], validation=rows[40:])


def test_training_learns_and_resumes_bit_for_bit(recipe: Recipe, tiny_images: TinyImages, tmp_path: Path) -> None:
    split, path = split_of(tiny_images), tmp_path / "fold.pt"
    losses = [epoch.train_loss for epoch in fit(recipe, split, fold=0, device=CPU)]
    assert losses[-1] < losses[0]
    interrupted = fit(recipe, split, fold=0, device=CPU, checkpoint=path)
    next(interrupted)
    with pytest.raises(KeyboardInterrupt):
        interrupted.throw(KeyboardInterrupt())
    assert path.is_file()
    assert [epoch.train_loss for epoch in fit(recipe, split, fold=0, device=CPU, checkpoint=path)] == losses


def test_the_learning_rate_is_annealed(recipe: Recipe, tiny_images: TinyImages) -> None:
    rates = [epoch.learning_rate for epoch in fit(recipe, split_of(tiny_images), fold=0, device=CPU)]
    assert rates == sorted(rates, reverse=True)
    assert 0.0005 <= rates[-1] < rates[0] < recipe.optimizer.learning_rate == 0.05


def test_the_warm_up_is_that_of_adamw(recipe: Recipe) -> None:
    def rates(name: str) -> list[float]:
        settings = {"optimizer.name": name, "optimizer.learning_rate": 0.05, "optimizer.warmup_epochs": 1}
        own, found = recipe.with_settings(settings).resolved([(32, 32)]), []
        optimizer = build_optimizer(build_model(own), own, 4)
        for _ in range(12):
            found.append(optimizer.learning_rate)
            optimizer.step()
        return found

    assert rates("plain")[:4] == pytest.approx([0.0125, 0.025, 0.0375, 0.05])
    assert rates("plain") == rates("adamw")


def test_a_network_is_stored_and_loaded_without_random_numbers(recipe: Recipe, tmp_path: Path) -> None:
    torch.manual_seed(1)
    model, path = build_model(recipe), tmp_path / "model.safetensors"
    save_model(model, path)
    before = torch.get_rng_state()
    loaded = load_model(path, recipe)
    assert torch.equal(before, torch.get_rng_state())
    images = torch.rand(2, 3, 32, 32)
    assert torch.equal(loaded(images), model.eval()(images))
    with unknown():
        load_named(written(tmp_path, wider=NETWORK.replace("4, ", "5, ").replace("(4)", "(5)"), plain=OPTIMIZER))
        wider = Recipe().with_settings(SETTINGS).resolved([(32, 32)])
        message = (
            r"model.safetensors does not match the network tiny as its plug-in builds it here.*\n  0.bias: expected"
        )
        with pytest.raises(UserError, match=message):
            load_model(path, wider)


def test_an_ensemble_is_stored_and_loaded_without_random_numbers(recipe: Recipe, tmp_path: Path) -> None:
    networks = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        networks.append(build_model(recipe).eval())
    path = tmp_path / "model.safetensors"
    save_model(Ensemble(networks), path)
    before = torch.get_rng_state()
    loaded = load_ensemble(path, recipe, 2)
    assert torch.equal(before, torch.get_rng_state())
    assert not loaded.training
    images = torch.rand(2, 3, 32, 32)
    mean = torch.stack([network(images).softmax(dim=1) for network in networks]).mean(dim=0)
    torch.testing.assert_close(loaded(images).softmax(dim=1), mean)
    message = (
        r"safetensors does not match an ensemble of 3 times the network tiny as its plug-in .*\n  missing: members.2"
    )
    with pytest.raises(UserError, match=message):
        load_ensemble(path, recipe, 3)
    with pytest.raises(UserError, match=r"safetensors does not match the network tiny as its plug-in"):
        load_model(path, recipe)


def test_the_map_of_an_ensemble_is_the_mean_of_its_members(recipe: Recipe) -> None:
    networks = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        networks.append(build_model(recipe).eval())
    images = np.random.default_rng(0).integers(0, 256, (2, 32, 32, 3), dtype=np.uint8)

    def maps(*members: nn.Module) -> np.ndarray:
        return relevance(Ensemble(members), recipe, images, [0, 1], np.array([0, 1]), device=CPU, tta="flips")

    single = relevance(networks[0], recipe, images, [0, 1], np.array([0, 1]), device=CPU, tta="flips")
    np.testing.assert_allclose(maps(networks[0], networks[0]), single, atol=1e-6)
    assert not np.allclose(maps(*networks), single, atol=0.05)
    with pytest.raises(NoMap, match=r"^the network tiny has no layer with a map"):
        relevance(Ensemble(networks), recipe, images[:, :12, :12], [0, 1], np.array([0, 1]), device=CPU, tta="none")


def test_seeds_decide_the_weights_and_grayscale_the_channels(recipe: Recipe) -> None:
    gray = recipe.with_settings({"data.grayscale": True})
    states = []
    for seed in (0, 0, 1):
        torch.manual_seed(seed)
        states.append(build_model(gray).state_dict()["0.weight"])
    assert states[0].shape == (4, 1, 3, 3)
    assert torch.equal(states[0], states[1])
    assert not torch.equal(states[0], states[2])


def test_precise_statistics_of_all_kinds_of_batchnorm(recipe: Recipe) -> None:
    model, images = build_model(recipe), torch.rand(24, 3, 32, 32)
    precise_batchnorm(model, images.split(8))
    assert isinstance(model, nn.Sequential)
    seen = model[:8](images)
    last = model[8]
    assert isinstance(last, nn.BatchNorm1d)
    # The statistics of earlier layers were those of their batches while this one's were computed.
    torch.testing.assert_close(last.running_mean, seen.mean(dim=0), atol=0.1, rtol=0.1)
    first = model[1]
    assert isinstance(first, nn.BatchNorm2d)
    values = model[0](images)
    torch.testing.assert_close(first.running_mean, values.mean(dim=(0, 2, 3)))
    torch.testing.assert_close(first.running_var, values.var(dim=(0, 2, 3), correction=0))


def test_the_map_is_that_of_the_last_layer_with_seven_cells(recipe: Recipe) -> None:
    torch.manual_seed(0)
    model = build_model(recipe)
    assert isinstance(model, nn.Sequential)
    assert layer_of(model, recipe, 32) is model[5]
    # At 26 px the second convolution has 7 x 7 cells, and at 24 px 6 x 6.
    assert layer_of(model, recipe, 26) is model[5]
    assert layer_of(model, recipe, 24) is model[2]
    images = np.random.default_rng(0).integers(0, 256, (3, 32, 32, 3), dtype=np.uint8)
    maps = relevance(model, recipe, images, range(3), np.array([0, 1, 0]), device=CPU, tta="flips")
    assert maps.shape == (3, 32, 32)
    assert np.isfinite(maps).all()
    assert maps.max() <= 1
    with pytest.raises(
        NoMap, match=r"^the network tiny has no layer with a map of at least 7 x 7 cells at 12 px: Grad"
    ):
        layer_of(model, recipe, 12)


def test_a_layer_without_gradients_has_no_map(tmp_path: Path) -> None:
    frozen = """
from torch import nn
from leukemia.plugins import network

class Frozen(nn.Module):
    def __init__(self, channels, classes):
        super().__init__()
        self.conv, self.head = nn.Conv2d(channels, 4, 3), nn.Linear(4, classes)

    def forward(self, images):
        return self.head(self.conv(images).detach().mean(dim=(2, 3)))

@network("frozen")
def frozen(recipe, in_channels, num_classes):
    return Frozen(in_channels, num_classes)
"""
    recipe = own(tmp_path, frozen, model__network="frozen")
    model, images = build_model(recipe), np.zeros((1, 32, 32, 3), np.uint8)
    with pytest.raises(NoMap, match=r"^Grad-CAM fails in the network frozen, so it cannot show where it looks \(.+\)$"):
        relevance(model, recipe, images, [0], np.array([1]), device=CPU, tta="none")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            ("return nn.Sequential(", "return (lambda *layers: 3)("),
            "expected the plug-in to return a torch.nn.Module, got a int",
        ),
        (
            ("nn.Linear(8, num_classes)", "nn.Linear(8, 3)"),
            r"expected logits of shape \(N, 2\) for N images of 32 px, got shape \(2, 3\) for 2",
        ),
        (
            ("nn.Linear(8, num_classes)", "nn.Linear(9, num_classes)"),
            r"tiny at 32 px: the plug-in failed with RuntimeError: mat1",
        ),
        (("nn.Conv2d(in_channels,", "nn.Conv2d(inputs,"), "tiny: the plug-in failed with NameError: name 'inputs'"),
    ],
)
def test_a_network_is_checked_before_training(change: tuple[str, str], message: str, tmp_path: Path) -> None:
    recipe = own(tmp_path, NETWORK.replace(*change), model__network="tiny")
    before = torch.get_rng_state()
    with pytest.raises(UserError, match=f"^model.network {message}" if message.startswith("tiny") else message):
        check_network(recipe)
    assert torch.equal(before, torch.get_rng_state())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            ("torch.optim.SGD(parameters,", "torch.optim.SGD(parameters[:1],"),
            "expected an optimizer of all 2 parameters, got one of 1",
        ),
        (
            ("return torch.optim.SGD", "return dict"),
            "failed with TypeError|expected the plug-in to return a torch.optim.Optimizer",
        ),
        (
            (
                "return torch.optim.SGD(parameters,",
                "return type('Own', (torch.optim.SGD,), {'state_dict': lambda self: {'own': object()}})(parameters,",
            ),
            "expected a state_dict of tensors and plain values",
        ),
    ],
)
def test_an_optimizer_is_checked_before_training(change: tuple[str, str], message: str, tmp_path: Path) -> None:
    recipe = own(tmp_path, OPTIMIZER.replace(*change), optimizer__name="plain")
    with pytest.raises(UserError, match=f"^optimizer.name plain: .*({message})"):
        check_optimizer(recipe)


def test_the_checks_pass_for_what_is_right(recipe: Recipe) -> None:
    check_network(recipe)
    check_network(recipe.with_settings({"data.grayscale": True}))
    check_optimizer(recipe)


def test_a_batch_of_one_image_is_refused(recipe: Recipe) -> None:
    large = recipe.with_settings({"data.crop_px": 64, "data.size_px": 64, "train.batch_size": 1})
    with pytest.raises(
        UserError, match=r"^train.batch_size: 1 leaves a batch of one image, for which BatchNorm has no"
    ):
        check_batch_size(large, 10)
    check_batch_size(large.with_settings({"model.network": "resnet"}), 10)


@pytest.mark.parametrize("field", ["model.depth", "model.shortcut", "model.pretrained"])
def test_fields_of_the_resnet_are_refused(recipe: Recipe, field: str) -> None:
    value = {"model.depth": 50, "model.shortcut": "add", "model.pretrained": "a.pt"}[field]
    with pytest.raises(UserError, match=f"^{field} has no effect with the network tiny; leave it out$"):
        recipe.with_settings({field: value})
