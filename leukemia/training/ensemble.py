"""Several networks of one recipe as one network, whose probabilities are the mean of theirs."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import TypeAlias, TypeVar, cast

import torch
from torch import Tensor, nn

from leukemia.training.resnet import ResNet


class Ensemble(nn.Module):
    """The mean of the probabilities of its members (soft voting, as nnU-Net averages the models of its folds).

    In its state dict, the names of each member follow ``prefix_of`` its number.
    """

    def __init__(self, members: Iterable[ResNet]) -> None:
        super().__init__()
        self.members = nn.ModuleList(members)

    def forward(self, images: Tensor) -> Tensor:
        """Log-probabilities of normalized images: (N, in_channels, H, W) floats -> float32 (N, num_classes).

        Their softmax is the mean of the members' probabilities, so they take the place of a ResNet's logits.
        """
        # In logarithms, a probability near 0 keeps its digits.
        found = torch.stack([member(images).float().log_softmax(dim=1) for member in self.members])
        return found.logsumexp(dim=0) - math.log(len(self.members))


Network: TypeAlias = ResNet | Ensemble
"""What classifies images: one network, or the mean of several."""

AnyNetwork = TypeVar("AnyNetwork", bound=Network)


def members_of(network: Network) -> list[ResNet]:
    """The networks whose probabilities are averaged; of a single one, itself."""
    return cast("list[ResNet]", list(network.members)) if isinstance(network, Ensemble) else [network]


def prefix_of(number: int) -> str:
    """What the names of a member, counted from 0, begin with in the state dict of an ensemble.

    >>> prefix_of(2)
    'members.2.'
    """
    return f"members.{number}."
