"""Brightness, contrast and saturation of an image on the host, as albumentations' ``ColorJitter`` changes them."""

from __future__ import annotations

from collections.abc import Mapping

import cv2
import numpy as np


def recolor(image: np.ndarray, factors: Mapping[str, float]) -> None:
    """Change the colors of an image in place.

    Brightness and contrast truncate to whole grey levels, and saturation rounds, as the library does.

    Args:
        image: (H, W, 3) uint8 RGB in 0..255.
        factors: multiples of 1 / ``FACTOR_STEPS`` in 0..2 by name, applied in the order of ``COLOR``. 1 changes
            nothing.
    """
    if "brightness" in factors:
        _map_levels(image, factors["brightness"], 0.0)
    if "contrast" in factors:
        factor = factors["contrast"]
        _map_levels(image, factor, cv2.cvtColor(image, cv2.COLOR_RGB2GRAY).mean() * (1 - factor))
    if "saturation" in factors:
        factor = factors["saturation"]
        grey = cv2.cvtColor(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
        cv2.addWeighted(image, factor, grey, 1 - factor, 0.0, dst=image)


def _map_levels(image: np.ndarray, factor: float, offset: float) -> None:
    """Each level x becomes factor * x + offset, in float32, within 0..255 and truncated."""
    levels = np.arange(256, dtype=np.float32) * np.float32(factor) + np.float32(offset)
    image[...] = cv2.LUT(image, levels.clip(0, 255).astype(np.uint8))
