"""A sheet of augmented training images."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from leukemia.reporting.canvas import INK, new_figure, save_figure


def plot_augmented(images: NDArray[np.uint8], path: Path) -> None:
    """Draw a contact sheet of images (rows, columns, height, width, 3), uint8: one image per row, the original first.

    Raises:
        ValueError: another shape or dtype.
    """
    if images.ndim != 5 or images.shape[-1] != 3 or images.dtype != np.uint8 or not images.size:
        raise ValueError(f"images: expected (rows, columns, height, width, 3) uint8, got {images.shape} {images.dtype}")
    rows, columns, height, width, _ = images.shape
    figure = new_figure(1.25 * columns + 0.2, 1.25 * rows * height / width + 0.4)
    for number, axes in enumerate(figure.subplots(rows, columns, squeeze=False).flat):
        row, column = divmod(number, columns)
        axes.imshow(images[row, column], interpolation="nearest")
        axes.set_axis_off()
        if row == 0:
            axes.set_title("original" if column == 0 else f"augmented {column}", fontsize=9, color=INK)
    save_figure(figure, path)
