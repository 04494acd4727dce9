"""The random parameters of a batch, drawn from the keys of its images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from leukemia.config.sections import COLOR, TRANSFORMATIONS, Augment
from leukemia.data.augment import CUTOUT_SIDE, Key
from leukemia.data.augmentation.philox import philox

STREAMS = (
    "horizontal_flip",
    "vertical_flip",
    "transpose",
    "rotate",
    "blur",
    "noise",
    "cutout",
    "brightness",
    "contrast",
    "saturation",
)
"""The position of a field selects its random stream: append new ones, or the random numbers of recipes change."""

WORDS = 2**32

FACTOR_STEPS = 2**14
"""Factors of color are multiples of 1 / 2**14, so that float32 multiplies grey levels by them exactly, and all forms
round alike."""


@dataclass(frozen=True, kw_only=True)
class Draws:
    """What is done to each of n images. Parameters are drawn whether or not their transformation is applied."""

    applied: dict[str, np.ndarray]
    """bool (n,) for each transformation."""

    angle: np.ndarray
    """float64 (n,), rotation in degrees, counterclockwise, uniform in -``rotate_limit``..``rotate_limit``."""

    factor: dict[str, np.ndarray]
    """float64 (n,) for each of ``COLOR``: uniform in 1 - v..1 + v for a strength v, so 1 for a strength of 0."""

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
    applied = {name: uniform[:, STREAMS.index(name)] < getattr(augment, name) for name in TRANSFORMATIONS}
    rotate, noise, cutout = (words[:, STREAMS.index(name), 1:3] for name in ("rotate", "noise", "cutout"))
    hole_px = int(side_px * CUTOUT_SIDE)
    # Multiplying and shifting maps 32-bit words to places evenly but for 1 in 2**32 / places.
    places = np.uint64(side_px - hole_px + 1)
    return Draws(
        applied=applied,
        angle=rotate[:, 0] * (2 * augment.rotate_limit / WORDS) - augment.rotate_limit,
        factor={name: _factor(uniform[:, STREAMS.index(name)], getattr(augment, name)) for name in COLOR},
        noise_key=noise,
        hole=((cutout * places) >> np.uint64(32)).astype(np.int64),
        hole_px=hole_px,
    )


def _factor(uniform: np.ndarray, strength: float) -> np.ndarray:
    return 1 + np.rint((2 * uniform - 1) * (strength * FACTOR_STEPS)) / FACTOR_STEPS


def _words(keys: Sequence[Key]) -> np.ndarray:
    """Random words, uint32 (n, streams, 4); only those of one image and stream share a counter."""
    seed, fold, epoch, row = np.array(keys, dtype=np.uint32).T[:, :, None]
    counter = np.empty((len(keys), len(STREAMS), 4), np.uint32)
    counter[..., 0] = np.arange(len(STREAMS))
    counter[..., 1], counter[..., 2], counter[..., 3] = row, epoch, fold
    return philox(counter, np.stack([seed, np.zeros_like(seed)], axis=-1))
