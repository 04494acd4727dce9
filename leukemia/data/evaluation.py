"""Batches of images for evaluation: nothing random, so whole batches are converted at once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import cv2
import numpy as np
import torch
from torch import Tensor

from leukemia.config.recipe import Recipe
from leukemia.data.augment import channel_statistics


def evaluation_batches(
    images: np.ndarray, rows: Sequence[int] | np.ndarray, recipe: Recipe, batch_size: int, device: torch.device
) -> Iterator[Tensor]:
    """The inputs of the network for the given rows, in their order; equal to ``evaluation_pipeline``'s to the last bit.

    The images are taken from the array and transferred as uint8, a quarter of the bytes, and normalized on the device.

    Args:
        images: uint8 (n, H, W, 3) RGB in 0..255.
        batch_size: images per batch; the last may be smaller.

    Yields:
        float32 (B, C, H, W) on the device, channels last; C = 1 for grayscale, else 3.
    """
    assert images.dtype == np.uint8
    assert images.shape[3:] == (3,)
    mean, std = (torch.from_numpy(255 * values).to(device) for values in channel_statistics(recipe.data.grayscale))
    for start in range(0, len(rows), batch_size):
        batch = images[np.asarray(rows[start : start + batch_size], dtype=np.int64)]
        if recipe.data.grayscale:
            batch = _gray(batch)
        inputs = (torch.from_numpy(batch).to(device) - mean) / std
        yield inputs.permute(0, 3, 1, 2)


def _gray(batch: np.ndarray) -> np.ndarray:
    """Luminance, uint8 (B, H, W, 1): of all images in one call, one below the other."""
    count, height, width, _ = batch.shape
    return cv2.cvtColor(batch.reshape(count * height, width, 3), cv2.COLOR_RGB2GRAY).reshape(count, height, width, 1)
