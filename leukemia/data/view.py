"""The view of an image: the centred crop and the size in which a network sees it."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from leukemia.base.errors import UserError
from leukemia.config.recipe import Recipe

# OpenCV's threads would compete with torch's and with the loader's processes, and images are too small to gain.
cv2.setNumThreads(0)


@dataclass(frozen=True)
class View:
    """Crop and size of every image, the same for training and evaluation."""

    crop_px: int
    """Side of the centred square crop, in pixels."""

    size_px: int
    """Side after resizing, in pixels."""


def view_of(recipe: Recipe) -> View:
    """Crop and size of the network's input, from a resolved recipe."""
    assert recipe.data.crop_px is not None
    assert recipe.data.size_px is not None
    return View(crop_px=recipe.data.crop_px, size_px=recipe.data.size_px)


def crop_and_resize(image: np.ndarray, view: View) -> np.ndarray:
    """The centred square crop of an image, resized by area averaging if the size differs.

    Args:
        image: (H, W, 3) uint8. If the margin is odd, the extra pixel is cut at the bottom or the right.
        view: crop and final size.

    Returns:
        (size_px, size_px, 3) uint8, contiguous.

    Raises:
        UserError: the image is smaller than the crop; the message does not name the image.
    """
    height, width = image.shape[:2]
    if min(height, width) < view.crop_px:
        raise UserError(f"{width}x{height} px is smaller than the crop of {view.crop_px} px")
    top, left = (height - view.crop_px) // 2, (width - view.crop_px) // 2
    square = image[top : top + view.crop_px, left : left + view.crop_px]
    if view.size_px == view.crop_px:
        return np.ascontiguousarray(square)
    return cv2.resize(square, (view.size_px, view.size_px), interpolation=cv2.INTER_AREA)
