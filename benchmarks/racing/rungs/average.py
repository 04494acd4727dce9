"""A running average of a network's weights over the steps of its training."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn


class PowerAverage:
    """The average in which step i of t has a weight proportional to i^exponent, whatever the training's length.

    Power-function averaging of Karras et al. (2024), "Analyzing and Improving the Training Dynamics of Diffusion
    Models", arXiv:2312.02696, section 3.1: it forgets the first steps by itself, and needs one copy of the weights.
    """

    def __init__(self, model: nn.Module, exponent: float) -> None:
        self.model = copy.deepcopy(model)
        """With the averaged weights; its BatchNorm statistics belong to no weights until they are computed."""

        self._exponent = exponent
        self._num_steps = 0

    @torch.no_grad()
    def update(self, model: nn.Module) -> None:
        """Add the weights after a step."""
        self._num_steps += 1
        share = 1 - (1 - 1 / self._num_steps) ** (self._exponent + 1)
        mine: list[Tensor] = list(self.model.parameters())
        torch._foreach_lerp_(mine, list[Tensor](model.parameters()), share)
