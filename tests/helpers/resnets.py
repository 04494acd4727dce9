"""Names, shapes and small files of torchvision's ResNets, from its naming rules."""

from __future__ import annotations

import torch
from torch import Tensor

NUM_BLOCKS = {18: [2, 2, 2, 2], 34: [3, 4, 6, 3], 50: [3, 4, 6, 3], 101: [3, 4, 23, 3], 152: [3, 8, 36, 3]}


def torchvision_shapes(depth: int, num_classes: int) -> dict[str, tuple[int, ...]]:
    """Names and shapes of torchvision's state dict, in order, from its naming rules."""
    shapes: dict[str, tuple[int, ...]] = {}

    def conv_and_norm(conv: str, norm: str, out_channels: int, in_channels: int, kernel: int) -> None:
        shapes[f"{conv}.weight"] = (out_channels, in_channels, kernel, kernel)
        for name in ("weight", "bias", "running_mean", "running_var"):
            shapes[f"{norm}.{name}"] = (out_channels,)
        shapes[f"{norm}.num_batches_tracked"] = ()

    conv_and_norm("conv1", "bn1", 64, 3, 7)
    channels = 64
    for stage, num_blocks in enumerate(NUM_BLOCKS[depth]):
        width = 64 * 2**stage
        kernels = [3, 3] if depth < 50 else [1, 3, 1]
        outs = [width, width] if depth < 50 else [width, width, 4 * width]
        for index in range(num_blocks):
            block = f"layer{stage + 1}.{index}"
            ins = [channels, *outs[:-1]]
            for number, (out_channels, in_channels, kernel) in enumerate(zip(outs, ins, kernels, strict=True), 1):
                conv_and_norm(f"{block}.conv{number}", f"{block}.bn{number}", out_channels, in_channels, kernel)
            if index == 0 and channels != outs[-1]:
                conv_and_norm(f"{block}.downsample.0", f"{block}.downsample.1", outs[-1], channels, 1)
            channels = outs[-1]
    shapes["fc.weight"] = (num_classes, channels)
    shapes["fc.bias"] = (num_classes,)
    return shapes


def small_state(
    depth: int = 18, num_classes: int = 1000, start: float = 1.0, in_channels: int = 3
) -> dict[str, Tensor]:
    """A state dict of torchvision whose tensors have one value each, all different: files of it are small."""
    state = {}
    for number, (name, shape) in enumerate(torchvision_shapes(depth, num_classes).items()):
        value = torch.tensor([start + number / 1024]) if shape else torch.tensor([number])
        shape = (64, in_channels, 7, 7) if name == "conv1.weight" else shape
        state[name] = value.expand(shape) if shape else value[0]
    return state


def renamed(state: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """The state with a prefix before every name."""
    return {f"{prefix}{name}": value for name, value in state.items()}
