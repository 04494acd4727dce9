"""The view of an image: the square in which a network sees it."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from leukemia.base.errors import UserError
from leukemia.config.recipe import Recipe
from leukemia.config.sections import Small

# OpenCV's threads would compete with torch's and with the loader's processes, and images are too small to gain.
cv2.setNumThreads(0)


@dataclass(frozen=True)
class View:
    """How every image is brought into the network's square input, the same for training and evaluation."""

    crop_px: int | None
    """Side of the centred square crop, in pixels. None: the whole image."""

    size_px: int
    """Side of the input, in pixels."""

    small: Small = "refuse"
    """As ``data.small`` of a recipe."""

    @property
    def name(self) -> str:
        """Names the view in file names. Refused images are in no file, so ``small`` makes no difference."""
        return f"{'whole' if self.crop_px is None else f'c{self.crop_px}'}-s{self.size_px}"

    @property
    def least(self) -> str:
        """What an image must fill not to be padded, for messages."""
        return f"input of {self.size_px} px" if self.crop_px is None else f"crop of {self.crop_px} px"

    def is_small(self, width: int, height: int) -> bool:
        """Whether an image of this size, in pixels, does not fill the square without padding or enlarging it."""
        return max(width, height) < self.size_px if self.crop_px is None else min(width, height) < self.crop_px


def view_of(recipe: Recipe) -> View:
    """The view of a resolved recipe."""
    data = recipe.data
    assert data.is_resolved
    assert data.size_px is not None
    return View(crop_px=data.crop_px, size_px=data.size_px, small=data.small)


def framed(image: np.ndarray, view: View) -> np.ndarray:
    """An image in a view: its centred square crop, resized; or the whole image, scaled down; padded with black.

    Both resize by area averaging (OpenCV's ``INTER_AREA``, which its documentation recommends for shrinking), and only
    if the size differs.

    Args:
        image: (H, W, 3) uint8. If a margin is odd, the extra pixel is at the bottom or the right.
        view: crop and final size.

    Returns:
        (size_px, size_px, 3) uint8, contiguous.

    Raises:
        UserError: the image is too small, and the view refuses it; the message does not name the image.
    """
    height, width = image.shape[:2]
    if view.small == "refuse" and view.is_small(width, height):
        raise UserError(f"{width}x{height} px is smaller than the {view.least}")
    if view.crop_px is None:
        scale = min(1.0, view.size_px / max(width, height))
        return _padded(_resized(image, max(1, round(width * scale)), max(1, round(height * scale))), view.size_px)
    top, left = max(0, height - view.crop_px) // 2, max(0, width - view.crop_px) // 2
    square = _padded(image[top : top + view.crop_px, left : left + view.crop_px], view.crop_px)
    return np.ascontiguousarray(_resized(square, view.size_px, view.size_px))


def _resized(image: np.ndarray, width: int, height: int) -> np.ndarray:
    if image.shape[:2] == (height, width):
        return image
    return cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)


def _padded(image: np.ndarray, side_px: int) -> np.ndarray:
    """The image in the centre of a black square; itself if it fills the square."""
    height, width = image.shape[:2]
    if height == width == side_px:
        return image
    square = np.zeros((side_px, side_px, 3), np.uint8)
    top, left = (side_px - height) // 2, (side_px - width) // 2
    square[top : top + height, left : left + width] = image
    return square
