"""The network: ResNet-18/34/50/101/152 with one of three shortcuts; new, from ImageNet weights, or from a file.

State-dict names, shapes and outputs of ``shortcut="add"`` match torchvision's ResNets, whose weights can be loaded.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import ClassVar

import torch
from torch import Tensor, nn

from leukemia import CLASS_NAMES
from leukemia.base.errors import UserError, listed
from leukemia.config.recipe import Recipe
from leukemia.training.weights import read_weights, write_weights

BLOCKS = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3), 50: (3, 4, 6, 3), 101: (3, 4, 23, 3), 152: (3, 8, 36, 3)}
"""Number of blocks in each of the four stages, by depth (He et al., arXiv:1512.03385, table 1)."""

IMAGENET_CLASSES = 1000
"""Outputs of the ImageNet head, which is replaced."""


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
            if isinstance(module, nn.Conv2d):
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


def build_model(recipe: Recipe) -> ResNet:
    """A new network for a recipe: 2 logits (0 ``hem``, 1 ``all``), 3 input channels or 1 for grayscale, on the CPU.

    Initial weights are drawn from torch's global generator, which the caller seeds. With ``model.pretrained`` all
    weights except the head and the shortcuts' parameters come from that file; for grayscale the first convolution is
    summed over its input channels, which is equivalent to repeating the gray image in three channels.

    Raises:
        MissingFile: no file at ``model.pretrained``.
        UserError: the file is not a state dict, or not of this network.
    """
    model = _new_network(recipe)
    if recipe.model.pretrained is not None:
        _load_pretrained(model, Path(recipe.model.pretrained), recipe)
    return model


def save_model(model: ResNet, path: Path) -> None:
    """Write the state dict as safetensors with a checksum, atomically; as ``write_weights``."""
    write_weights(model.state_dict(), path)


def load_model(path: Path, recipe: Recipe) -> ResNet:
    """The network written by ``save_model``, on the CPU, in evaluation mode. Draws no random numbers.

    Raises:
        MissingFile: no file at ``path``.
        UserError: the file is damaged, or its network differs from the recipe's.
    """
    state = read_weights(path, own=True)
    with torch.device("meta"):
        model = _new_network(recipe)
    expected = model.state_dict()
    wanted = _describe(recipe.model.depth, recipe.model.shortcut, model.conv1.in_channels, len(CLASS_NAMES))
    _require_match(state, expected, expected, path, wanted)
    model.load_state_dict({key: value.to(expected[key].dtype) for key, value in state.items()}, assign=True)
    return model.eval()


def _new_network(recipe: Recipe) -> ResNet:
    return ResNet(recipe.model.depth, recipe.model.shortcut, 1 if recipe.data.grayscale else 3)


def _load_pretrained(model: ResNet, path: Path, recipe: Recipe) -> None:
    state = read_weights(path)
    with torch.device("meta"):
        expected = ResNet(recipe.model.depth, num_classes=IMAGENET_CLASSES).state_dict()
    # torchvision's ImageNet files predate these counters, which are not used here.
    required = {key for key in expected if not key.endswith(".num_batches_tracked")}
    _require_match(state, expected, required, path, _describe(recipe.model.depth, "add", 3, IMAGENET_CLASSES))
    body = {key: value for key, value in state.items() if not key.startswith("fc.")}
    if recipe.data.grayscale:
        body["conv1.weight"] = body["conv1.weight"].sum(dim=1, keepdim=True)
    model.load_state_dict(body, strict=False)


def _require_match(
    state: Mapping[str, Tensor], expected: Mapping[str, Tensor], required: Collection[str], path: Path, wanted: str
) -> None:
    problems = [f"missing: {key}" for key in expected if key in required and key not in state]
    problems += [f"unexpected: {key}" for key in state if key not in expected]
    problems += [
        f"{key}: expected shape {tuple(expected[key].shape)}, got {tuple(value.shape)}"
        for key, value in state.items()
        if key in expected and value.shape != expected[key].shape
    ]
    if problems:
        raise UserError(
            f"{path} does not match the recipe: expected {wanted}, got what appears to be {_guess(state)}; "
            f"change the recipe's model or data.grayscale, or give another file\n{listed(problems, limit=6)}"
        )


def _describe(depth: int, shortcut: str, in_channels: int, num_classes: int) -> str:
    return f"ResNet-{depth}, shortcut {shortcut}, {in_channels}-channel input, {num_classes} classes"


def _guess(state: Mapping[str, Tensor]) -> str:
    """A description of the network of a state dict, guessed from its names, for error messages."""
    counts = tuple(len({name.split(".")[1] for name in state if name.startswith(f"layer{i}.")}) for i in (1, 2, 3, 4))
    is_bottleneck = "layer1.0.conv3.weight" in state
    depths = [depth for depth, blocks in BLOCKS.items() if blocks == counts and (depth >= 50) == is_bottleneck]
    first, head = state.get("conv1.weight"), state.get("fc.weight")
    if not depths or first is None or first.dim() != 4 or head is None or head.dim() != 2:
        return "not a ResNet with torchvision's names"
    joins = {name.split(".join.")[1] for name in state if ".join." in name}
    shortcut = "add" if not joins else "concat" if joins == {"conv.weight"} else "weighted"
    return _describe(depths[0], shortcut, first.shape[1], head.shape[0])
