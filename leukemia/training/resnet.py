"""The network: ResNet-18/34/50/101/152 with one of three shortcuts.

State-dict names, shapes and outputs of ``shortcut="add"`` match torchvision's ResNets, whose weights can be loaded.
"""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn

from leukemia import CLASS_NAMES

BLOCKS = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3), 50: (3, 4, 6, 3), 101: (3, 4, 23, 3), 152: (3, 8, 36, 3)}
"""Number of blocks in each of the four stages, by depth (He et al., arXiv:1512.03385, table 1)."""


class Add(nn.Module):
    """Branch + shortcut, as in the original ResNet. Has no parameters."""

    def forward(self, branch: Tensor, shortcut: Tensor) -> Tensor:
        """Both (N, C, H, W); so is the result."""
        return branch + shortcut


class Concat(nn.Module):
    """Concatenation of branch and shortcut, then a 3x3 convolution without bias back to C channels.

    The convolution has 18 C^2 weights: ResNet-18 grows from 11 to 24 million parameters,
    ResNet-152 from 58 million to 1,005 million.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = _conv3x3(2 * channels, channels)

    def forward(self, branch: Tensor, shortcut: Tensor) -> Tensor:
        """Both (N, C, H, W); so is the result."""
        return self.conv(torch.cat([branch, shortcut], dim=1))


class Weighted(nn.Module):
    """A learned weight per channel for branch and shortcut, both initially 1: it starts as plain addition."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.branch_weight = nn.Parameter(torch.ones(channels))
        self.shortcut_weight = nn.Parameter(torch.ones(channels))

    def forward(self, branch: Tensor, shortcut: Tensor) -> Tensor:
        """Both (N, C, H, W); so is the result, in the branch's dtype."""
        # Without the cast, float32 weights would promote all later activations from bfloat16 under autocast.
        for_branch = self.branch_weight.to(branch.dtype).view(1, -1, 1, 1)
        for_shortcut = self.shortcut_weight.to(branch.dtype).view(1, -1, 1, 1)
        return branch * for_branch + shortcut * for_shortcut


def _join(shortcut: str, channels: int) -> nn.Module:
    if shortcut == "add":
        return Add()
    return Concat(channels) if shortcut == "concat" else Weighted(channels)


def _conv3x3(in_channels: int, out_channels: int, stride: int = 1) -> nn.Conv2d:
    return nn.Conv2d(in_channels, out_channels, 3, stride=stride, padding=1, bias=False)


def _conv1x1(in_channels: int, out_channels: int, stride: int = 1) -> nn.Conv2d:
    return nn.Conv2d(in_channels, out_channels, 1, stride=stride, bias=False)


class BasicBlock(nn.Module):
    """Two 3x3 convolutions with a shortcut; the block of depths 18 and 34."""

    expansion: ClassVar[int] = 1
    """Output channels per unit of ``width``."""

    def __init__(self, in_channels: int, width: int, stride: int, downsample: nn.Module | None, join: nn.Module):
        super().__init__()
        self.conv1 = _conv3x3(in_channels, width, stride)
        self.bn1 = nn.BatchNorm2d(width)
        self.relu = nn.ReLU(inplace=True)
        self.conv2 = _conv3x3(width, width)
        self.bn2 = nn.BatchNorm2d(width)
        self.downsample = downsample
        self.join = join

    def forward(self, x: Tensor) -> Tensor:
        """(N, in_channels, H, W) -> (N, width, H / stride, W / stride)."""
        branch = self.relu(self.bn1(self.conv1(x)))
        branch = self.bn2(self.conv2(branch))
        shortcut = x if self.downsample is None else self.downsample(x)
        return self.relu(self.join(branch, shortcut))


class Bottleneck(nn.Module):
    """1x1, 3x3 and 1x1 convolutions with a shortcut; the block of depths 50, 101 and 152.

    The stride is in the 3x3 convolution ("v1.5"), as in torchvision; in the paper it is in the first 1x1.
    """

    expansion: ClassVar[int] = 4
    """Output channels per unit of ``width``."""

    def __init__(self, in_channels: int, width: int, stride: int, downsample: nn.Module | None, join: nn.Module):
        super().__init__()
        self.conv1 = _conv1x1(in_channels, width)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = _conv3x3(width, width, stride)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = _conv1x1(width, width * self.expansion)
        self.bn3 = nn.BatchNorm2d(width * self.expansion)
        self.relu = nn.ReLU(inplace=True)
        self.downsample = downsample
        self.join = join

    def forward(self, x: Tensor) -> Tensor:
        """(N, in_channels, H, W) -> (N, 4 width, H / stride, W / stride)."""
        branch = self.relu(self.bn1(self.conv1(x)))
        branch = self.relu(self.bn2(self.conv2(branch)))
        branch = self.bn3(self.conv3(branch))
        shortcut = x if self.downsample is None else self.downsample(x)
        return self.relu(self.join(branch, shortcut))


class ResNet(nn.Module):
    """A residual network (He et al., arXiv:1512.03385) in torchvision's layout.

    Args:
        depth: 18, 34, 50, 101 or 152.
        shortcut: ``add``, ``concat`` or ``weighted``: how every block joins branch and shortcut.
        in_channels: 3 for colour, 1 for grayscale.
        num_classes: number of logits; with the default of two, in the order 0 ``hem``, 1 ``all``.
    """

    def __init__(self, depth: int, shortcut: str = "add", in_channels: int = 3, num_classes: int = len(CLASS_NAMES)):
        super().__init__()
        block = BasicBlock if depth < 50 else Bottleneck
        blocks = BLOCKS[depth]
        self.conv1 = nn.Conv2d(in_channels, 64, 7, stride=2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(3, stride=2, padding=1)
        self.layer1 = _stage(block, shortcut, 64, 64, blocks[0], stride=1)
        self.layer2 = _stage(block, shortcut, 64 * block.expansion, 128, blocks[1], stride=2)
        self.layer3 = _stage(block, shortcut, 128 * block.expansion, 256, blocks[2], stride=2)
        self.layer4 = _stage(block, shortcut, 256 * block.expansion, 512, blocks[3], stride=2)
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(512 * block.expansion, num_classes)
        # BatchNorm and Linear keep torch's default initialization, as in torchvision.
        for module in self.modules():
            # Those on the device meta have no values; torch takes seconds to draw none.
            if isinstance(module, nn.Conv2d) and not module.weight.is_meta:
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, images: Tensor) -> Tensor:
        """Logits of normalized images: (N, in_channels, H, W) floats, any H and W -> (N, num_classes)."""
        x = self.maxpool(self.relu(self.bn1(self.conv1(images))))
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        return self.fc(torch.flatten(self.avgpool(x), 1))


Block = type[BasicBlock] | type[Bottleneck]


def _stage(block: Block, shortcut: str, in_channels: int, width: int, num_blocks: int, stride: int) -> nn.Sequential:
    out_channels = width * block.expansion
    downsample = None
    if stride != 1 or in_channels != out_channels:
        downsample = nn.Sequential(_conv1x1(in_channels, out_channels, stride), nn.BatchNorm2d(out_channels))
    layers = [block(in_channels, width, stride, downsample, _join(shortcut, out_channels))]
    layers += [block(out_channels, width, 1, None, _join(shortcut, out_channels)) for _ in range(num_blocks - 1)]
    return nn.Sequential(*layers)
