"""Estimated compute and memory of a recipe, counted on its network without running it."""

from __future__ import annotations

import functools
from dataclasses import dataclass

import torch
from torch import nn

from leukemia.config.optimizers import OPTIMIZERS
from leukemia.config.recipe import Recipe
from leukemia.training.model import build_model

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


def _size_of(recipe: Recipe) -> NetworkSize:
    assert recipe.data.size_px is not None
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
    optimizer = OPTIMIZERS[recipe.optimizer.name]
    weights = 4 * network.parameters * (2 + optimizer.num_states + optimizer.num_buffers)
    return (weights + 2 * network.outputs * recipe.train.batch_size) / 1e6
