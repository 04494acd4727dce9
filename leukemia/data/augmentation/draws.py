"""The random parameters of a batch, drawn from the keys of its images."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from leukemia.config.sections import Augment
from leukemia.data.augment import CUTOUT_SIDE, Key
from leukemia.data.augmentation.philox import philox

TRANSFORMATIONS = tuple(field.name for field in dataclasses.fields(Augment))
"""In the order in which they are applied; a transformation's position selects its random stream."""

WORDS = 2**32


@dataclass(frozen=True, kw_only=True)
class Draws:
    """What is done to each of n images. Parameters are drawn whether or not their transformation is applied."""

    applied: dict[str, np.ndarray]
    """bool (n,) for each transformation."""

    angle: np.ndarray
    """float64 (n,), rotation in degrees, counterclockwise, uniform in -180..180."""

    noise_key: np.ndarray
    """uint32 (n, 2), key of the noise of each image."""

    hole: np.ndarray
    """int64 (n, 2), first row and first column of the hole, uniform over all places inside the image."""

    hole_px: int
    """Side of the hole."""

    def source(self) -> np.ndarray:
        """Flips, transpose and rotation as one linear map, float64 (n, 2, 2).

        The map takes (x, y) of an output pixel to (x, y) of its source, both relative to the centre of the image, which
        is (side - 1) / 2.
        """
        angle = np.deg2rad(np.where(self.applied["rotate"], self.angle, 0.0))
        cos, sin = np.cos(angle), np.sin(angle)
        # The inverse of OpenCV's rotation [[cos, sin], [-sin, cos]], then of the transpose, then of the flips.
        inverse = np.stack([np.stack([cos, -sin], axis=-1), np.stack([sin, cos], axis=-1)], axis=-2)
        inverse = np.where(self.applied["transpose"][:, None, None], inverse[:, ::-1], inverse)
        flips = np.stack([self.applied["horizontal_flip"], self.applied["vertical_flip"]], axis=-1)
        return np.where(flips[:, :, None], -inverse, inverse)


def draw(augment: Augment, keys: Sequence[Key], side_px: int) -> Draws:
    """The parameters of a batch, each image's a function of its key alone.

    A transformation of probability p is applied if a uniform number in 0..1 is below p. The hole has the side, rounded
    down, and the places of albumentations' ``CoarseDropout``.

    Args:
        keys: (seed, fold, epoch, image row) of each image, each in 0..2**32 - 1.
        side_px: height and width of the images, at least 1.
    """
    words = _words(keys)
    uniform = words[..., 0] / WORDS
    applied = {name: uniform[:, index] < getattr(augment, name) for index, name in enumerate(TRANSFORMATIONS)}
    rotate, noise, cutout = (words[:, TRANSFORMATIONS.index(name), 1:3] for name in ("rotate", "noise", "cutout"))
    hole_px = int(side_px * CUTOUT_SIDE)
    # Multiplying and shifting maps 32-bit words to places evenly but for 1 in 2**32 / places.
    places = np.uint64(side_px - hole_px + 1)
    return Draws(
        applied=applied,
        angle=rotate[:, 0] * (360 / WORDS) - 180,
        noise_key=noise,
        hole=((cutout * places) >> np.uint64(32)).astype(np.int64),
        hole_px=hole_px,
    )


def _words(keys: Sequence[Key]) -> np.ndarray:
    """Random words, uint32 (n, transformations, 4); only those of one image and transformation share a counter."""
    seed, fold, epoch, row = np.array(keys, dtype=np.uint32).T[:, :, None]
    counter = np.empty((len(keys), len(TRANSFORMATIONS), 4), np.uint32)
    counter[..., 0] = np.arange(len(TRANSFORMATIONS))
    counter[..., 1], counter[..., 2], counter[..., 3] = row, epoch, fold
    return philox(counter, np.stack([seed, np.zeros_like(seed)], axis=-1))
