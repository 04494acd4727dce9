"""The square in which a network sees an image: cropped or whole, and padded with black."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from leukemia.base.errors import UserError
from leukemia.config.recipe import Recipe
from leukemia.data.catalog import read_catalog
from leukemia.data.images import open_images
from leukemia.data.survival import survival_notes
from leukemia.data.view import View, framed, view_of
from leukemia.delivery.image_list import named_images
from leukemia.delivery.new_images import read_views


def noise(height: int, width: int) -> np.ndarray:
    return np.random.default_rng(0).integers(1, 256, (height, width, 3), dtype=np.uint8)


def test_an_image_smaller_than_the_crop_is_padded_with_black() -> None:
    image = noise(7, 12)
    square = framed(image, View(crop_px=10, size_px=10, small="pad"))
    # Of the height a margin of 1 above and 2 below is missing, of the width 1 is cut on each side.
    assert np.array_equal(square[1:8], image[:, 1:11])
    assert not square[:1].any()
    assert not square[8:].any()
    assert square.flags.c_contiguous


def test_a_padded_crop_is_resized() -> None:
    image = noise(8, 8)
    square = framed(image, View(crop_px=16, size_px=8, small="pad"))
    mean = image.reshape(4, 2, 4, 2, 3).mean(axis=(1, 3))
    assert np.abs(square[2:6, 2:6] - mean).max() <= 0.5
    assert square.sum() == square[2:6, 2:6].sum()


def test_a_whole_image_is_scaled_to_its_longer_side() -> None:
    image = noise(24, 64)
    square = framed(image, View(crop_px=None, size_px=16))
    expected = np.asarray(Image.fromarray(image).resize((16, 6), Image.Resampling.BOX), np.int64)
    assert np.abs(square[5:11] - expected).max() <= 1
    assert square.sum() == square[5:11].sum()
    assert np.array_equal(framed(image.transpose(1, 0, 2), View(None, 16)), square.transpose(1, 0, 2))


def test_a_line_of_pixels_stays_visible() -> None:
    assert framed(noise(1, 1000), View(crop_px=None, size_px=32))[15].any()


def test_a_whole_image_is_not_enlarged() -> None:
    image, view = noise(4, 6), View(crop_px=None, size_px=8, small="pad")
    assert np.array_equal(framed(image, view)[2:6, 1:7], image)
    with pytest.raises(UserError, match=r"^6x4 px is smaller than the input of 8 px$"):
        framed(image, View(crop_px=None, size_px=8))


def test_a_view_is_stored_under_its_own_name() -> None:
    assert View(crop_px=384, size_px=224).name == View(crop_px=384, size_px=224, small="pad").name == "c384-s224"
    assert View(crop_px=None, size_px=224).name == "whole-s224"


def test_padding_and_losses_are_counted() -> None:
    sizes = [(450, 450)] * 3 + [(100, 300), (383, 500)]
    assert survival_notes(View(384, 224), [(450, 450)]) == ()
    assert survival_notes(View(384, 224, "pad"), sizes) == (
        "2 of 5 images are smaller than the crop of 384 px (the smallest is 100x300 px): padded with black; "
        "data.small=refuse refuses them",
    )
    assert survival_notes(View(384, 224), [(2592, 1944)] * 2) == (
        "warning: the crop of 384 px keeps 2.9 % of the median image's area; training with data.fit=resize takes whole "
        "images",
    )
    assert survival_notes(View(None, 224), [(2592, 1944)]) == ()


@pytest.mark.parametrize(("width", "name"), [(60, "c45-s45"), (120, "whole-s122")], ids=["crop", "whole"])
def test_training_and_prediction_see_the_same(
    width: int, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LEUKEMIA_CACHE", str(tmp_path / "cache"))
    for number, height in enumerate((30, 45, 50, 30, 45, 50)):
        path = tmp_path / "set" / ("hem", "all")[number % 2] / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(noise(height, width + number)).save(path)
    # In one pass with the hashes, and as a delivered model does.
    catalog = read_catalog(tmp_path / "set", recipe=Recipe())
    view = view_of(Recipe().resolved(catalog.sizes))
    monkeypatch.setattr("leukemia.data.images._build", None)
    images = open_images(catalog, view)
    (predicted,) = read_views(named_images(catalog.table["path"]), view)
    assert np.array_equal(images, predicted)
    assert [path.name for path in (tmp_path / "cache" / "views").glob("*.npy")] == [
        f"{catalog.fingerprint[:16]}-{name}.npy"
    ]
