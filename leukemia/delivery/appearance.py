"""What the training images look like, and whether a new image looks like them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from leukemia.base.record import read_record, write_record
from leukemia.config.fitting import Size
from leukemia.study import layout

FAR_OUT = 3.0
"""Images are unlike the training images beyond so many interquartile ranges from the quartiles: Tukey's "far out"
(Exploratory Data Analysis, 1977, section 2C). Of normally distributed values, 2 in a million are."""

_CHUNK = 64
_LUMINANCE = np.array([0.299, 0.587, 0.114])  # ITU-R BT.601


@dataclass(frozen=True, kw_only=True)
class Feature:
    """A number that describes an image, and words for one that is too low or too high."""

    low: str
    high: str
    least_range: float
    """The interquartile range counts as this at least: the training images may all be equal in it."""

    is_ratio: bool = False
    """Whether it is compared by its logarithm."""


FEATURES = {
    "width": Feature(low="narrower", high="wider", least_range=0.02, is_ratio=True),
    "height": Feature(low="shorter", high="taller", least_range=0.02, is_ratio=True),
    "brightness": Feature(low="darker", high="brighter", least_range=2.0),
    "contrast": Feature(low="hardly any contrast: no cell?", high="more contrast", least_range=0.05, is_ratio=True),
    "red": Feature(low="less red", high="redder", least_range=0.005),
    "blue": Feature(low="less blue", high="bluer", least_range=0.005),
}
"""Width and height of the image, in pixels; of its view the mean and the standard deviation of the luminance, in
0..255, and the shares of red and blue in the sum of the mean channels, in 0..1."""


@dataclass(frozen=True, kw_only=True)
class Bounds:
    """An image whose feature is outside is unlike the training images."""

    low: float
    high: float


@dataclass(frozen=True, kw_only=True)
class Appearance:
    """``appearance.json`` of a delivered model: what its training images look like, as bounds of ``FEATURES``."""

    num_images: int
    bounds: dict[str, Bounds]

    @classmethod
    def of(cls, views: np.ndarray, sizes: Sequence[Size]) -> Appearance:
        """That of a data set.

        Args:
            views: uint8 (n, S, S, 3), memory-mapped or not; n is at least 1.
            sizes: width and height of the n images, in pixels.
        """
        starts = range(0, len(views), _CHUNK)
        values = np.concatenate([_features(views[at : at + _CHUNK], sizes[at : at + _CHUNK]) for at in starts])
        bounds = zip(FEATURES.values(), values.T, strict=True)
        return cls(num_images=len(views), bounds=dict(zip(FEATURES, [_bounds(*each) for each in bounds], strict=True)))

    @classmethod
    def read(cls, folder: Path) -> Appearance | None:
        """As ``write`` has stored it in a model's folder; None if an earlier version delivered the model.

        Raises:
            UserError: the file is damaged.
        """
        path = folder / layout.APPEARANCE
        return read_record(cls, path) if path.is_file() else None

    def write(self, folder: Path) -> None:
        """Store it in a model's folder."""
        write_record(folder / layout.APPEARANCE, asdict(self))

    def difference(self, view: np.ndarray, size: Size) -> str:
        """How an image differs from the training images, in words; empty if it is like them.

        Args:
            view: uint8 (S, S, 3).
            size: width and height of the image, in pixels.
        """
        (values,) = _features(view[np.newaxis], [size])
        found = []
        for (name, feature), value in zip(FEATURES.items(), values, strict=True):
            bounds = self.bounds[name]
            if value < bounds.low:
                found.append(feature.low)
            elif value > bounds.high:
                found.append(feature.high)
        return ", ".join(found)


def _features(views: np.ndarray, sizes: Sequence[Size]) -> np.ndarray:
    """The ``FEATURES`` of images: float64 (n, 6)."""
    pixels = views.astype(np.float32)
    luminance = pixels @ _LUMINANCE.astype(np.float32)
    red, green, blue = pixels.mean(axis=(1, 2), dtype=np.float64).T
    # A black image has no colour.
    total = red + green + blue
    red, blue = (np.divide(each, total, out=np.full(len(views), 1 / 3), where=total > 0) for each in (red, blue))
    flat = luminance.reshape(len(views), -1).astype(np.float64)
    return np.column_stack([np.array(sizes, dtype=np.float64), flat.mean(axis=1), flat.std(axis=1), red, blue])


def _bounds(feature: Feature, values: np.ndarray) -> Bounds:
    # A uniform image has no logarithm of its contrast.
    scaled = np.log(np.maximum(values, 1e-3)) if feature.is_ratio else values
    lower, upper = np.quantile(scaled, (0.25, 0.75))
    reach = FAR_OUT * max(upper - lower, feature.least_range)
    low, high = (np.exp(each) if feature.is_ratio else each for each in (lower - reach, upper + reach))
    return Bounds(low=float(low), high=float(high))
