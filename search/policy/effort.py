"""What a recipe asks of a device, counted on its network without computing anything."""

from __future__ import annotations

import functools
from dataclasses import dataclass

import torch
from torch import nn

from leukemia.config.optimizers import OPTIMIZERS
from leukemia.config.recipe import Recipe
from leukemia.training.model import build_model

STEP_OPERATIONS = 100
"""Operations on each parameter in a step of the optimizer, about: they read memory more than they compute."""

KEPT = 2
"""Of a convolution: its output and that of the normalization behind it, which backward needs."""


@dataclass(frozen=True, kw_only=True)
class Network:
    """What is counted of a network, about: at a stage's first strided block maps are larger than assumed here."""

    parameters: int
    multiplications: float
    """Of one image forward."""

    outputs: float
    """Numbers that forward keeps for backward, for one image."""


@functools.cache
def network_of(depth: int, shortcut: str, size_px: int) -> Network:
    """Count a network of three channels, whose weights are not made."""
    with torch.device("meta"):
        network = build_model(Recipe().with_settings({"model.depth": depth, "model.shortcut": shortcut}))
    multiplications = outputs = 0.0
    for name, layer in network.named_modules():
        if isinstance(layer, nn.Conv2d):
            # conv1 halves the side, its pooling halves it again, and so does each stage after the first.
            stage = int(name.removeprefix("layer")[0]) if name.startswith("layer") else 0
            positions = (size_px / 2 ** (stage + 1)) ** 2
            multiplications += layer.weight.numel() * positions
            outputs += KEPT * layer.out_channels * positions
    parameters = sum(parameter.numel() for parameter in network.parameters())
    return Network(parameters=parameters, multiplications=multiplications, outputs=outputs)


def _network(recipe: Recipe) -> Network:
    assert recipe.data.size_px is not None
    return network_of(recipe.model.depth, recipe.model.shortcut, recipe.data.size_px)


def effort(recipe: Recipe) -> float:
    """Operations of a fold for each training image: compares recipes of one study, and means no seconds.

    Forward and backward take three times the multiplications of forward alone; a step of the optimizer is shared by
    the images of its batch.
    """
    network = _network(recipe)
    step = STEP_OPERATIONS * network.parameters / recipe.train.batch_size
    return recipe.train.epochs * (3 * network.multiplications + step)


def memory_mb(recipe: Recipe) -> float:
    """Memory of a training, about: weights, gradients, the optimizer's state in float32, outputs in two bytes."""
    network = _network(recipe)
    weights = 4 * network.parameters * (2 + OPTIMIZERS[recipe.optimizer.name].num_states)
    return (weights + 2 * network.outputs * recipe.train.batch_size) / 1e6
