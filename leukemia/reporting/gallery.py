"""Images on a page, each with a few lines of text, and their encoding."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

LARGEST_PX = 192
"""Longer side of an image on a page: sharp on screens with two pixels per CSS pixel."""

QUALITY = 90
"""Of JPEG, without subsampling of colours: a PNG of a stained cell takes five times as many bytes."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Exhibit:
    """A few versions of an image side by side, and what there is to say about it."""

    title: str
    lines: Sequence[str]
    versions: Sequence[tuple[NDArray[np.uint8], str]]
    """RGB (H, W, 3), with a description of each."""

    is_wrong: bool = False
    """Whether it is marked as a mistake."""

    @property
    def pictures(self) -> list[tuple[str, str]]:
        """The address of each version, which has its content, and its description."""
        return [(jpeg_url(pixels), text) for pixels, text in self.versions]


@dataclass(frozen=True, kw_only=True)
class Row:
    """Exhibits under a heading of their own."""

    title: str
    exhibits: Sequence[Exhibit]


def jpeg_url(pixels: NDArray[np.uint8]) -> str:
    """An image as a JPEG in a data URL, made smaller if it has a side above ``LARGEST_PX``.

    Args:
        pixels: RGB (H, W, 3).
    """
    image, stream = Image.fromarray(pixels), io.BytesIO()
    image.thumbnail((LARGEST_PX, LARGEST_PX), Image.Resampling.LANCZOS)
    image.save(stream, format="JPEG", quality=QUALITY, subsampling=0)
    return f"data:image/jpeg;base64,{base64.b64encode(stream.getvalue()).decode('ascii')}"
