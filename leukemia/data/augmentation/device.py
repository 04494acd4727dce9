"""The batch form of augmentation for a GPU: torch, with the same operations and shapes whatever is drawn."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from leukemia.config.recipe import Recipe
from leukemia.config.sections import COLOR
from leukemia.data.augment import Key, channel_statistics
from leukemia.data.augmentation.draws import Draws, draw
from leukemia.data.augmentation.host import blur_kernel
from leukemia.data.augmentation.noise import FIRST, LEVELS, SECOND, SHIFTS
from leukemia.data.augmentation.rows import on_device, sent

LUMINANCE = (9798, 19235, 3735)
"""Weights of red, green and blue in OpenCV's luminance of uint8 images, in units of 2**-15."""

COLUMNS = {"source": 4, "blur": 2, "noise": 1, "color": len(COLOR), "noise_key": 2, "hole": 2}
"""What is sent for each image, and how many numbers it takes."""

PADDING_MODES = {"constant": "zeros", "reflect": "reflection"}
"""``grid_sample``'s names of ``augment.border``; with its ``align_corners=False``, reflection is OpenCV's."""


class DeviceBatches:
    """From rows of an array of images to the network's input, on the device: the same as ``HostBatches``.

    Without rotation equal to the last bit, but for ``_blurred``; with it within 0.1 grey levels in the mean, since
    coordinates are rounded differently. An image does not depend on its batch. Nothing waits for the device. Tested on
    a CPU only: its CUDA path has been neither run nor measured.
    """

    def __init__(self, recipe: Recipe, images: np.ndarray, device: torch.device) -> None:
        """Args:
        recipe: provides probabilities and strengths, and whether images are grayscale.
        images: (n, side, side, 3) uint8 RGB.
        device: of the network.
        """
        assert images.dtype == np.uint8
        side = images.shape[1]
        assert images.shape[1:] == (side, side, 3)
        self._augment, self._grayscale, self._side, self._device = recipe.augment, recipe.data.grayscale, side, device
        self._color = [name for name in COLOR if getattr(recipe.augment, name) > 0]
        self._padding_mode = PADDING_MODES[recipe.augment.border]
        self._rows = on_device(images, device)
        statistics = (torch.from_numpy(255 * values).to(device) for values in channel_statistics(self._grayscale))
        self._mean, self._std = (values.view(1, -1, 1, 1) for values in statistics)
        self._levels = torch.from_numpy(LEVELS).float().to(device)
        self._words = torch.arange((side * side * 3 + 1) // 2, dtype=torch.int32, device=device)
        # grid_sample's coordinates of the centres of the pixels: -1 and 1 are the outer edges of the image.
        self._axis = ((torch.arange(side) - (side - 1) / 2) * (2 / side)).to(device)
        # Twice the index of a row or a column, compared with twice the centre of the hole.
        self._doubled = (2 * torch.arange(side, dtype=torch.int32)).to(device)
        self._luminance = (torch.tensor(LUMINANCE) / 2**15).view(1, 3, 1, 1).to(device)
        # On the device, since torch divides by a number of the host by multiplying with its inverse.
        self._pixels = torch.tensor(float(side**2), dtype=torch.float64).to(device)

    def __call__(self, keys: Sequence[Key]) -> Tensor:
        """The network's input for a batch, (B, C, side, side) float32 in channels-last memory on the device.

        Args:
            keys: (seed, fold, epoch, image row) of each image of the batch.
        """
        normalized = (self.transformed(keys) - self._mean) / self._std
        return normalized.contiguous(memory_format=torch.channels_last)

    def transformed(self, keys: Sequence[Key]) -> Tensor:
        """The batch before normalization, (B, C, side, side) float32, whole grey levels in 0..255."""
        draws = draw(self._augment, keys, self._side)
        sizes = list(COLUMNS.values())
        columns = sent(torch.from_numpy(_packed(draws)), self._device).split(sizes, dim=1)
        values = dict(zip(COLUMNS, columns, strict=True))
        image = self._rows([key[3] for key in keys]).permute(0, 3, 1, 2).float()
        image = self._warped(image, values["source"].view(torch.float32))
        image = self._recolored(image, values["color"].view(torch.float32))
        image = _blurred(image, values["blur"].view(torch.float32))
        image = self._noisy(image, values["noise"].view(torch.float32), values["noise_key"])
        image = self._holed(image, values["hole"], draws.hole_px)
        return self._grey(image) if self._grayscale else image

    def _warped(self, image: Tensor, source: Tensor) -> Tensor:
        """Flips, transpose and rotation in one bilinear interpolation."""
        x, y = source.view(-1, 1, 1, 2, 2).unbind(dim=-1)
        grid = torch.addcmul(self._axis.view(1, 1, -1, 1) * x, self._axis.view(1, -1, 1, 1), y)
        sampled = F.grid_sample(image, grid, mode="bilinear", padding_mode=self._padding_mode, align_corners=False)
        return sampled.round_()

    def _recolored(self, image: Tensor, factors: Tensor) -> Tensor:
        """``recolor``; products are exact, so that its sums round as on the host."""
        brightness, contrast, saturation = factors.view(-1, len(COLOR), 1, 1, 1).unbind(dim=1)
        if "brightness" in self._color:
            image = (image * brightness).clamp_(0, 255).floor_()
        if "contrast" in self._color:
            mean = self._grey(image).sum(dim=(1, 2, 3), keepdim=True, dtype=torch.float64) / self._pixels
            offset = (mean * (1 - contrast.double())).float()
            image = torch.addcmul(offset, image, contrast).clamp_(0, 255).floor_()
        if "saturation" in self._color:
            grey = self._grey(image) * (1 - saturation)
            image = torch.addcmul(grey, image, saturation).clamp_(0, 255).round_()
        return image

    def _noisy(self, image: Tensor, applied: Tensor, key: Tensor) -> Tensor:
        """``noise`` in int32, whose shifts copy the sign, which the masks remove."""
        word = self._words ^ key[:, :1]
        word ^= (word >> SHIFTS[0]) & (0xFFFFFFFF >> SHIFTS[0])
        word *= _signed(FIRST)
        word ^= key[:, 1:]
        word ^= (word >> SHIFTS[1]) & (0xFFFFFFFF >> SHIFTS[1])
        word *= _signed(SECOND)
        word ^= (word >> SHIFTS[2]) & (0xFFFFFFFF >> SHIFTS[2])
        # Halves are signed too, and negative indices count from the end of the table, as they should.
        halves = word.view(torch.int16)[:, : self._side**2 * 3].int()
        noise = self._levels[halves].view(-1, self._side, self._side, 3).permute(0, 3, 1, 2)
        return torch.addcmul(image, noise, applied.view(-1, 1, 1, 1)).clamp_(0, 255)

    def _holed(self, image: Tensor, center: Tensor, hole_px: int) -> Tensor:
        inside = (self._doubled - center.unsqueeze(2)).abs_() < hole_px
        return image.masked_fill_(inside[:, 0, :, None].logical_and(inside[:, 1, None, :]).unsqueeze(1), 0)

    def _grey(self, image: Tensor) -> Tensor:
        """OpenCV's luminance; all sums are exact in float32."""
        return (image * self._luminance).sum(dim=1, keepdim=True).add_(0.5).floor_()


def _blurred(image: Tensor, kernel: Tensor) -> Tensor:
    """A blur with a kernel (side, middle) per image, in the order of OpenCV's multiplications and additions.

    Equal to OpenCV's to the last bit where both fuse them; without, about 1 of 200,000 values differs by one level.
    """
    side, middle = kernel.view(-1, 2, 1, 1, 1).unbind(dim=1)
    padded = F.pad(image, (1, 1, 1, 1), mode="reflect")
    rows = torch.addcmul(padded[..., :-2] * side, padded[..., 1:-1], middle).addcmul_(padded[..., 2:], side)
    both = torch.addcmul(rows[:, :, 1:-1] * middle, rows[:, :, :-2] + rows[:, :, 2:], side)
    return both.round_()


def _packed(draws: Draws) -> np.ndarray:
    """The parameters of a batch in one array, int32 (n, sum of ``COLUMNS``), with floats by their bits."""
    applied = draws.applied
    side, middle, _ = blur_kernel()
    kernel = np.where(applied["blur"][:, None], (side, middle), (0.0, 1.0))
    # A hole at the negative of its side covers nothing.
    hole = np.where(applied["cutout"][:, None], 2 * draws.hole + draws.hole_px - 1, -2 * draws.hole_px)
    factors = [draws.factor[name] for name in COLOR]
    columns = [draws.source().reshape(-1, 4), kernel, applied["noise"], *factors]
    floats = np.column_stack(columns).astype(np.float32)
    return np.column_stack([floats.view(np.int32), draws.noise_key.view(np.int32), hole.astype(np.int32)])


def _signed(word: int) -> int:
    """The int32 with the bits of a uint32."""
    return word - 2**32 if word >= 2**31 else word
