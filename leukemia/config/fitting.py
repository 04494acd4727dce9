"""How images are fitted into the network's square input: decided once per data set, from the sizes of its images."""

from __future__ import annotations

import dataclasses
import statistics
from collections.abc import Collection

from leukemia.base.errors import UserError
from leukemia.config.sections import DEFAULT_CROP_PX, DEFAULT_SIZE_PX, SMALLEST_SIZE_PX, Data

Size = tuple[int, int]
"""Width and height of an image, in pixels."""

LEAST_KEPT = 0.5
"""If a crop keeps less than this share of the median image's area, ``auto`` resizes, and a warning is given."""


def kept_share(size: Size, crop_px: int | None) -> float:
    """The share of an image's area inside of the centred crop, in 0..1; 1 without a crop.

    >>> kept_share((450, 450), 384), kept_share((100, 800), 200), kept_share((2592, 1944), None)
    (0.7281777777777778, 0.25, 1.0)
    """
    width, height = size
    return 1.0 if crop_px is None else min(width, crop_px) * min(height, crop_px) / (width * height)


def median_kept(sizes: Collection[Size], crop_px: int | None) -> float:
    """The median of ``kept_share`` over the images."""
    return statistics.median(kept_share(size, crop_px) for size in sizes)


def fitted(data: Data, sizes: Collection[Size]) -> Data:
    """The section with ``fit``, ``crop_px`` and ``size_px`` decided for images of these sizes, at least one.

    Medians decide, so that a few small or large images do not change how all others are seen.

    Raises:
        UserError: the crop or the input is larger than every image, or images are too small and are to be refused.
    """
    crop_px = data.crop_px or _within(DEFAULT_CROP_PX, statistics.median_low(map(min, sizes)))
    fit = data.fit
    if fit == "auto":
        # A crop that the user has set is meant.
        lossy = data.crop_px is None and median_kept(sizes, crop_px) < LEAST_KEPT
        fit = "resize" if lossy else "crop"
    if fit == "crop":
        _require("data.crop_px", "crop", "shorter side", crop_px, list(map(min, sizes)), data)
        size_px = data.size_px or min(DEFAULT_SIZE_PX, crop_px)
        return dataclasses.replace(data, fit=fit, crop_px=crop_px, size_px=size_px)
    size_px = data.size_px or _within(DEFAULT_SIZE_PX, statistics.median_low(map(max, sizes)))
    _require("data.size_px", "input", "longer side", size_px, list(map(max, sizes)), data)
    return dataclasses.replace(data, fit=fit, size_px=size_px)


def _within(default_px: int, median_px: int) -> int:
    """The default, or less if the median image is smaller."""
    return max(SMALLEST_SIZE_PX, min(default_px, median_px))


def _require(key: str, what: str, side: str, wanted_px: int, sides_px: list[int], data: Data) -> None:
    smallest_px, largest_px = min(sides_px), max(sides_px)
    # Images of less than the smallest input are padded, without a crop that the user could lower.
    if wanted_px > max(largest_px, SMALLEST_SIZE_PX):
        raise UserError(
            f"{key}: the {what} is {wanted_px} px, but the largest image's {side} is {largest_px} px; set {key} to at "
            f"most {max(largest_px, SMALLEST_SIZE_PX)}"
        )
    if data.small == "pad" or smallest_px >= wanted_px:
        return
    number = sum(side_px < wanted_px for side_px in sides_px)
    lower = f"set {key} to at most {smallest_px}, or " if smallest_px >= SMALLEST_SIZE_PX else "set "
    raise UserError(
        f"data.small: {number} of {len(sides_px)} images are smaller than the {what} of {wanted_px} px, the smallest "
        f"{side} is {smallest_px} px; {lower}data.small=pad, or remove them from the data"
    )
