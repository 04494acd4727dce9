"""A delivered model as one graph for ONNX: from the uint8 pixels of a view to the probability of class 1."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from leukemia import ALL
from leukemia.config.sections import Tta
from leukemia.data.augment import channel_statistics
from leukemia.scoring.calibration import TINY
from leukemia.training.inference import NUM_VIEWS, views_of

_LUMINANCE, _SHIFT = (9798, 19235, 3735), 15
"""OpenCV's 8-bit RGB2GRAY: ITU-R 601's weights in units of 2^-15, rounded half up."""


class Graph(nn.Module):
    """Grayscale if the network has it, normalization, the views of test-time augmentation, their mean, and scaling."""

    mean: Tensor
    std: Tensor

    def __init__(self, network: nn.Module, tta: Tta, temperature: float, *, grayscale: bool) -> None:
        """Use a network, which is left in eval mode.

        Args:
            temperature: as of ``leukemia.study.decision.Decision``.
            grayscale: whether the network has one input channel.
        """
        super().__init__()
        self.network, self.tta, self.temperature = network.eval(), tta, temperature
        self.grayscale = grayscale
        mean, std = channel_statistics(self.grayscale)
        self.register_buffer("mean", 255 * torch.from_numpy(mean).float().view(1, -1, 1, 1))
        self.register_buffer("std", 255 * torch.from_numpy(std).float().view(1, -1, 1, 1))

    def forward(self, pixels: Tensor) -> Tensor:
        """uint8 (N, S, S, 3), RGB in 0..255 -> float32 (N,), the probability of class 1 (leukemic)."""
        channels = pixels.permute(0, 3, 1, 2).float()
        if self.grayscale:
            channels = self.gray(channels)
        inputs = (channels - self.mean) / self.std
        found = self.network(views_of(inputs, self.tta)).softmax(dim=1)[:, ALL]
        mean = found.reshape(NUM_VIEWS[self.tta], -1).mean(dim=0)
        if self.temperature == 1:
            return mean
        kept = mean.clamp(TINY, 1 - TINY)
        return torch.sigmoid((torch.log(kept) - torch.log(1 - kept)) / self.temperature)

    @staticmethod
    def gray(channels: Tensor) -> Tensor:
        """Luminance as OpenCV rounds it: float32 (N, 3, S, S) of whole numbers -> (N, 1, S, S)."""
        weights = torch.tensor(_LUMINANCE, dtype=torch.float32, device=channels.device).view(1, 3, 1, 1)
        # All values are below 2^24, and so exact.
        total = (channels * weights).sum(dim=1, keepdim=True) + 2.0 ** (_SHIFT - 1)
        return torch.floor(total / 2.0**_SHIFT)
