"""What was done to images that are not 8-bit RGB is counted, without names, also by the second reading."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from leukemia.data import hashes
from leukemia.data.catalog import read_catalog
from leukemia.data.conversions import CONVERSIONS, conversion_notes


def pixels(number: int, *shape: int, dtype: type = np.uint8, end: int = 256) -> np.ndarray:
    return np.random.default_rng(number).integers(0, end, (32, 32, *shape)).astype(dtype)


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A data set with an image of every kind, and an empty cache."""
    monkeypatch.setenv("LEUKEMIA_CACHE", str(tmp_path / "cache"))
    folder = tmp_path / "data"
    for label in ("hem", "all"):
        (folder / label).mkdir(parents=True)
        Image.new("RGB", (160, 16), (ord(label[0]), 2, 3)).save(folder / label / "of 16.png")
        Image.fromarray(pixels(ord(label[0]), 3)).save(folder / label / "plain.png")
    Image.fromarray(pixels(1)).save(folder / "all/grey.jpg")
    Image.fromarray(pixels(2, dtype=np.uint16, end=2**16)).save(folder / "all/grey16.tif")
    cv2.imwrite(str(folder / "all/colour16.png"), pixels(3, 3, dtype=np.uint16, end=2**16))
    cv2.imwrite(str(folder / "all/colours16.tif"), pixels(4, 4, dtype=np.uint16, end=2**16))
    Image.fromarray(pixels(5)).convert("P").save(folder / "all/palette.png")
    Image.fromarray(pixels(6, 4)).convert("CMYK").save(folder / "all/cmyk.jpg")
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(pixels(7, 3)).save(folder / "hem/turned.jpg", exif=exif)
    return folder


def test_conversions_are_counted_by_every_reading(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = read_catalog(data)
    assert [note.split(":")[0] for note in first.notes[1:]] == [
        "3 of 11 images have more than 8 bits per channel",
        "2 of 11 images are grey",
        "1 of 11 images has a palette",
        "1 of 11 images is CMYK",
        "1 of 11 images is partly transparent",
        "1 of 11 images is stored turned or mirrored",
    ]
    monkeypatch.setattr(hashes, "read_image", None)
    assert read_catalog(data).notes == first.notes


def test_a_conversion_of_the_cache_that_is_unknown_is_not_believed(data: Path, tmp_path: Path) -> None:
    first = read_catalog(data)
    (cache,) = (tmp_path / "cache/hashes").glob("*.json")
    rows = hashes._cached_rows(cache)
    hashes._write_cache(cache, {name: replace(row, conversions=("negative",)) for name, row in rows.items()})
    assert read_catalog(data).notes == first.notes


@pytest.mark.parametrize("num_channels", [1, 3])
@pytest.mark.parametrize(("bits", "is_dark"), [(10, True), (12, True), (14, True), (16, False)])
def test_values_of_12_bits_in_16_stay_dark_and_that_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bits: int, is_dark: bool, num_channels: int
) -> None:
    monkeypatch.setenv("LEUKEMIA_CACHE", str(tmp_path / "cache"))
    for number, label in enumerate(("hem", "all")):
        (tmp_path / "data" / label).mkdir(parents=True)
        values = pixels(number, num_channels, dtype=np.uint16, end=2**bits)
        cv2.imwrite(str(tmp_path / "data" / label / "x.tif"), values)
    notes = read_catalog(tmp_path / "data").notes
    dark = [note for note in notes if note.startswith("no image of more than 8 bits has a value above")]
    assert bool(dark) == is_dark
    assert all(f" {2 ** (bits - 8) - 1} of 255, as if" in note for note in dark)


def test_each_conversion_has_its_line() -> None:
    assert conversion_notes([((), 0)]) == ()
    notes = conversion_notes([(CONVERSIONS, 30), (("deep",), 200)])
    assert len(notes) == len(CONVERSIONS)
    assert notes[0].startswith("2 of 2 images have more than 8 bits per channel: scaled to 8")
