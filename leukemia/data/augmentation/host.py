"""The batch form of augmentation for a CPU: OpenCV on one image after the other, into one buffer."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from leukemia.config.recipe import Recipe
from leukemia.config.sections import COLOR
from leukemia.data.augment import BLUR_SIGMA_PX, BORDER_MODES, Key, channel_statistics
from leukemia.data.augmentation.color import recolor
from leukemia.data.augmentation.draws import Draws, draw
from leukemia.data.augmentation.noise import noise
from leukemia.data.plugged_transforms import PluggedTransforms


def blur_kernel() -> np.ndarray:
    """albumentations' Gaussian kernel, float64 (3,), with sum 1."""
    kernel = np.exp(-0.5 * (np.arange(-1, 2) / BLUR_SIGMA_PX) ** 2)
    return kernel / kernel.sum()


class HostBatches:
    """From rows of an array of images to the network's input: what ``training_pipeline`` does, batch by batch.

    Has no random state, but for transforms of plug-ins: safe in processes, and without these in threads.
    """

    def __init__(self, recipe: Recipe) -> None:
        """Args:
        recipe: provides probabilities and strengths, and whether images are grayscale.

        Raises:
            UserError: as ``PluggedTransforms``.
        """
        self._plugged = PluggedTransforms(recipe)
        self._augment, self._grayscale = recipe.augment, recipe.data.grayscale
        self._color = [name for name in COLOR if getattr(recipe.augment, name) > 0]
        self._border = BORDER_MODES[recipe.augment.border]
        mean, std = (255 * values for values in channel_statistics(recipe.data.grayscale))
        self._normalized = ((np.arange(256, dtype=np.float32)[:, None] - mean) / std)[None]
        self._kernel = blur_kernel()

    def __call__(self, images: np.ndarray, keys: Sequence[Key]) -> np.ndarray:
        """The network's input for a batch.

        Args:
            images: (n, side, side, 3) uint8 RGB, memory-mapped or not; not modified.
            keys: (seed, fold, epoch, image row) of each image of the batch.

        Returns:
            (B, C, side, side) float32 in channels-last memory, normalized like ``Pipeline``.
        """
        transformed = self.transformed(images, keys)
        batch = np.empty(transformed.shape, np.float32)
        for image, normalized in zip(transformed, batch, strict=True):
            cv2.LUT(image, self._normalized, dst=normalized)
        return batch.transpose(0, 3, 1, 2)

    def transformed(self, images: np.ndarray, keys: Sequence[Key]) -> np.ndarray:
        """The batch before normalization, (B, side, side, C) uint8 in 0..255; arguments as for ``__call__``."""
        assert images.dtype == np.uint8
        side = images.shape[1]
        assert images.shape[1:] == (side, side, 3)
        draws = draw(self._augment, keys, side)
        sources = draws.source()
        batch = np.empty((len(keys), side, side, 3), np.uint8)
        for index, (key, image) in enumerate(zip(keys, batch, strict=True)):
            self._transform(self._plugged(np.asarray(images[key[3]]), key), draws, sources[index], index, image)
        if not self._grayscale:
            return batch
        luminance = np.empty((len(keys), side, side, 1), np.uint8)
        for image, grey in zip(batch, luminance, strict=True):
            cv2.cvtColor(image, cv2.COLOR_RGB2GRAY, dst=grey)
        return luminance

    def _transform(self, image: np.ndarray, draws: Draws, source: np.ndarray, index: int, out: np.ndarray) -> None:
        """Write one image, transformed by the draws at ``index``, to ``out``."""
        applied = {name: bool(flags[index]) for name, flags in draws.applied.items()}
        if applied["rotate"]:
            _warp(image, source, self._border, out)
        else:
            _flip(image, applied, out)
        if self._color:
            recolor(out, {name: float(draws.factor[name][index]) for name in self._color})
        if applied["blur"]:
            cv2.sepFilter2D(out, -1, self._kernel, self._kernel, dst=out)
        if applied["noise"]:
            # Saturates at 0 and 255.
            cv2.add(out, noise(draws.noise_key[index], out.shape), dst=out, dtype=cv2.CV_8U)
        if applied["cutout"]:
            top, left = draws.hole[index]
            out[top : top + draws.hole_px, left : left + draws.hole_px] = 0


def _warp(image: np.ndarray, source: np.ndarray, border: int, out: np.ndarray) -> None:
    """Flips, transpose and rotation in one bilinear interpolation; ``border`` is OpenCV's mode for what lies outside of
    the image."""
    side = len(image)
    center = np.full(2, (side - 1) / 2)
    matrix = np.column_stack([source, center - source @ center])
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    cv2.warpAffine(image, matrix, (side, side), dst=out, flags=flags, borderMode=border)


def _flip(image: np.ndarray, applied: dict[str, bool], out: np.ndarray) -> None:
    """Flips, then transpose, without interpolation."""
    horizontal, vertical = applied["horizontal_flip"], applied["vertical_flip"]
    if applied["transpose"]:
        image = cv2.transpose(image)
        # After the transpose, the flip of columns is one of rows.
        horizontal, vertical = vertical, horizontal
    if horizontal or vertical:
        # OpenCV's codes: 1 flips left to right, 0 top to bottom, -1 both.
        cv2.flip(image, -1 if horizontal and vertical else int(horizontal), dst=out)
    else:
        out[...] = image
