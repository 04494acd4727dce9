"""Estimated compute and memory of a recipe, counted on its network without running it."""

from __future__ import annotations

import functools
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from leukemia.config.optimizers import spec_of
from leukemia.config.plugins import SECTION
from leukemia.config.recipe import Recipe
from leukemia.training.model import build_model
from leukemia.training.plugged import undisturbed

STEP_OPERATIONS = 100
"""Approximate cost of an optimizer step per parameter; the step is bound by memory rather than by compute."""

OUTPUTS_PER_CONVOLUTION = 2
"""Outputs saved for the backward pass: the convolution's own and that of the normalization after it."""


@dataclass(frozen=True, kw_only=True)
class NetworkSize:
    """Approximate counts of a network: maps in the first strided block of a stage are larger than assumed here."""

    parameters: int
    multiplications: float
    """Per image, in a forward pass."""

    outputs: float
    """Values per image that are saved for the backward pass."""


@functools.cache
def network_size(depth: int, shortcut: str, size_px: int) -> NetworkSize:
    """Count a network with three input channels; no weights are allocated."""
    with torch.device("meta"):
        network = build_model(Recipe().with_settings({"model.depth": depth, "model.shortcut": shortcut}))
    multiplications = outputs = 0.0
    for name, layer in network.named_modules():
        if isinstance(layer, nn.Conv2d):
            # conv1 halves the side, the pooling after it halves it again, and so does each stage after the first.
            stage = int(name.removeprefix("layer")[0]) if name.startswith("layer") else 0
            positions = (size_px / 2 ** (stage + 1)) ** 2
            multiplications += layer.weight.numel() * positions
            outputs += OUTPUTS_PER_CONVOLUTION * layer.out_channels * positions
    parameters = sum(parameter.numel() for parameter in network.parameters())
    return NetworkSize(parameters=parameters, multiplications=multiplications, outputs=outputs)


@functools.cache
def plugged_size(network: str, plugins: tuple[tuple[str, str], ...], size_px: int) -> NetworkSize:
    """Count the network of a plug-in with three input channels, in a forward pass of one image on the CPU."""
    settings = {"model.network": network, **{f"{SECTION}.{name}": sha256 for name, sha256 in plugins}}
    sizes: list[tuple[float, float]] = []

    def count(layer: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        assert isinstance(layer, nn.Conv2d | nn.Linear)
        positions = output.numel() / output.shape[1]
        sizes.append((layer.weight.numel() * positions, OUTPUTS_PER_CONVOLUTION * output.numel()))

    with undisturbed(), torch.no_grad():
        model = build_model(Recipe.from_flat(settings)).eval()
        for layer in model.modules():
            if isinstance(layer, nn.Conv2d | nn.Linear):
                layer.register_forward_hook(count)
        model(torch.zeros(1, 3, size_px, size_px))
    return NetworkSize(
        parameters=sum(parameter.numel() for parameter in model.parameters()),
        multiplications=sum(each for each, _ in sizes),
        outputs=sum(each for _, each in sizes),
    )


def _size_of(recipe: Recipe) -> NetworkSize:
    assert recipe.data.size_px is not None
    if not recipe.model.is_resnet:
        own = tuple(each for each in recipe.plugins if each[0] == recipe.model.network)
        return plugged_size(recipe.model.network, own, recipe.data.size_px)
    return network_size(recipe.model.depth, recipe.model.shortcut, recipe.data.size_px)


def effort(recipe: Recipe) -> float:
    """Operations per training image of a fold: compares recipes of one study, in no unit of time.

    Forward and backward together take three times the multiplications of forward; the cost of an optimizer step is
    divided by the batch size.
    """
    network = _size_of(recipe)
    step = STEP_OPERATIONS * network.parameters / recipe.train.batch_size
    return recipe.train.epochs * (3 * network.multiplications + step)


def memory_mb(recipe: Recipe) -> float:
    """Approximate training memory in MB: weights, gradients and optimizer state in float32, outputs in two bytes."""
    network = _size_of(recipe)
    optimizer = spec_of(recipe.optimizer.name)
    weights = 4 * network.parameters * (2 + optimizer.num_states + optimizer.num_buffers)
    return (weights + 2 * network.outputs * recipe.train.batch_size) / 1e6
