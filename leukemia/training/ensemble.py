"""Several networks of one recipe as one network, whose probabilities are the mean of theirs."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import TypeVar

import torch
from torch import Tensor, nn


class Ensemble(nn.Module):
    """The mean of the probabilities of its members (soft voting, as nnU-Net averages the models of its folds).

    In its state dict, the names of each member follow ``prefix_of`` its number.
    """

    def __init__(self, members: Iterable[nn.Module]) -> None:
        super().__init__()
        self.members = nn.ModuleList(members)

    def forward(self, images: Tensor) -> Tensor:
        """Log-probabilities of normalized images: (N, in_channels, H, W) floats -> float32 (N, num_classes).

        Their softmax is the mean of the members' probabilities, so they take the place of a network's logits.
        """
        # In logarithms, a probability near 0 keeps its digits.
        found = torch.stack([member(images).float().log_softmax(dim=1) for member in self.members])
        return found.logsumexp(dim=0) - math.log(len(self.members))


AnyNetwork = TypeVar("AnyNetwork", bound=nn.Module)
"""What classifies images: one network, or the mean of several."""


def members_of(network: nn.Module) -> list[nn.Module]:
    """The networks whose probabilities are averaged; of a single one, itself."""
    return list(network.members) if isinstance(network, Ensemble) else [network]


def prefix_of(number: int) -> str:
    """What the names of a member, counted from 0, begin with in the state dict of an ensemble.

    >>> prefix_of(2)
    'members.2.'
    """
    return f"members.{number}."
