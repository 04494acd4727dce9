"""The architecture of a ResNet, as given by a recipe or by the names and shapes of a state dict."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from leukemia.config.recipe import Recipe
from leukemia.training.resnet import BLOCKS, ResNet


@dataclass(frozen=True, kw_only=True)
class Architecture:
    """All that determines names and shapes of a state dict, apart from the number of classes."""

    depth: int
    shortcut: str
    in_channels: int

    @classmethod
    def of(cls, recipe: Recipe) -> Architecture:
        """The architecture of a recipe."""
        return cls(
            depth=recipe.model.depth, shortcut=recipe.model.shortcut, in_channels=1 if recipe.data.grayscale else 3
        )

    def network(self) -> ResNet:
        """A new network with two classes."""
        return ResNet(self.depth, self.shortcut, self.in_channels)

    def state(self) -> dict[str, Tensor]:
        """The state dict of ``network``, without memory: tensors on the device ``meta``."""
        with torch.device("meta"):
            return self.network().state_dict()

    def describe(self) -> str:
        """As text.

        >>> Architecture(depth=18, shortcut="add", in_channels=3).describe()
        'ResNet-18, shortcut add, 3-channel input'
        """
        return f"ResNet-{self.depth}, shortcut {self.shortcut}, {self.in_channels}-channel input"


def blocks_of(state: Mapping[str, Tensor]) -> tuple[int, ...]:
    """Number of blocks in each of the four stages of a state dict with torchvision's names."""
    return tuple(len({name.split(".")[1] for name in state if name.startswith(f"layer{i}.")}) for i in (1, 2, 3, 4))


def architecture_of(state: Mapping[str, Tensor]) -> Architecture | None:
    """The architecture that a state dict appears to have; None if it is no ResNet with torchvision's names."""
    is_bottleneck, first = "layer1.0.conv3.weight" in state, state.get("conv1.weight")
    found = [depth for depth, blocks in BLOCKS.items() if blocks == blocks_of(state) and (depth >= 50) == is_bottleneck]
    if not found or first is None or first.dim() != 4:
        return None
    joins = {name.split(".join.")[1] for name in state if ".join." in name}
    shortcut = "add" if not joins else "concat" if joins == {"conv.weight"} else "weighted"
    return Architecture(depth=found[0], shortcut=shortcut, in_channels=first.shape[1])


def mismatches(state: Mapping[str, Tensor], expected: Mapping[str, Tensor], optional: str = "") -> list[str]:
    """Differences in names and shapes, and weights that are integers, one line each.

    Args:
        optional: names with this ending may be missing; none if empty.
    """
    missing = [key for key in expected if key not in state and not (optional and key.endswith(optional))]
    return [
        *(f"missing: {key}" for key in missing),
        *(f"unexpected: {key}" for key in state if key not in expected),
        *(
            f"{key}: expected shape {tuple(expected[key].shape)}, got {tuple(value.shape)}"
            for key, value in state.items()
            if key in expected and value.shape != expected[key].shape
        ),
        # Counters may be of floating point, as after a conversion of the whole state dict.
        *(
            f"{key}: expected numbers of floating point, got {value.dtype}"
            for key, value in state.items()
            if key in expected and expected[key].is_floating_point() and not value.is_floating_point()
        ),
    ]
