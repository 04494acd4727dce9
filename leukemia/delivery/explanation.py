"""Why a model called an image what it did: where in the image it looked."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

_COLOR = np.array([255, 230, 0], dtype=np.float32)
"""Yellow: stained cells are pink to violet, and normal and leukemic ones alike."""

_OPACITY = 0.7
"""Of the color, where the map is 1."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Explanation:
    """An image as the network sees it, its prediction, and a map of what spoke for the predicted class."""

    name: str
    """Path of the image; of an array ``image N``, its number from 0."""

    pixels: np.ndarray
    """uint8 (S, S, 3), RGB: cut and resized as in training."""

    probability_leukemic: float
    """0..1, the mean over the views of test-time augmentation."""

    predicted: int
    """1 leukemic, 0 normal."""

    relevance: np.ndarray | None
    """float32 (S, S), 0..1: what spoke for ``predicted``; see ``leukemia.training.gradcam``. None in the report of a
    network of a plug-in that has no such map."""

    def overlay(self) -> np.ndarray:
        """The image with the map in yellow: uint8 (S, S, 3), RGB."""
        assert self.relevance is not None
        weight = _OPACITY * self.relevance[..., None]
        return np.rint((1 - weight) * self.pixels + weight * _COLOR).astype(np.uint8)
