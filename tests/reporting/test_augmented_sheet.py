"""The sheet of augmented images."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from leukemia.reporting import augmented_sheet, canvas
from leukemia.reporting.augmented_sheet import plot_augmented


def drawn_images(rows: int = 2) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (rows, 3, 16, 16, 3), dtype=np.uint8)


def test_the_first_image_of_a_row_is_the_original(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    figures: list[Figure] = []

    def save(figure: Figure, path: Path) -> None:
        figures.append(figure)
        canvas.save_figure(figure, path)

    monkeypatch.setattr(augmented_sheet, "save_figure", save)
    images = drawn_images()
    plot_augmented(images, tmp_path / "x.png")
    (figure,) = figures
    assert [each.get_title() for each in figure.axes] == ["original", "augmented 1", "augmented 2", "", "", ""]
    np.testing.assert_array_equal(np.asarray(figure.axes[4].images[0].get_array()), images[1, 1])


def test_equal_sheets_are_equal_files(tmp_path: Path) -> None:
    for name in ("a.png", "b.png"):
        plot_augmented(drawn_images(), tmp_path / name)
    assert len(list(tmp_path.iterdir())) == 2, "temporary files are left behind"
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    with Image.open(tmp_path / "a.png") as image:
        assert image.format == "PNG"
        assert min(image.size) > 300


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (np.zeros((1, 2, 8, 8, 3)), r"images: expected .* uint8, got .* float64"),
        (np.zeros((2, 8, 8, 3), np.uint8), r"got \(2, 8, 8, 3\)"),
    ],
)
def test_other_arrays_are_rejected_and_nothing_is_written(images: Any, message: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=message):
        plot_augmented(images, tmp_path / "x.png")
    assert not list(tmp_path.iterdir())
