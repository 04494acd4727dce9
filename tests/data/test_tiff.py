"""TIFFs of more than 8 bits are decoded to the values in the file, or rejected."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest

from leukemia.data.pixels import Unreadable, decode

GREY = np.random.default_rng(0).integers(0, 65536, (4, 5), dtype=np.uint16)
"""An odd width, so that rows of 12-bit values end within a byte."""

UPPER = np.repeat((GREY // 256).astype(np.uint8)[:, :, np.newaxis], 3, axis=2)
SIGNED, PLANES = {339: 2}, {284: 2}


def write_tiff(path: Path, strips: list[bytes], bits: int, tags: dict[int, int], order: str = "<") -> Path:
    """Write an uncompressed TIFF of ``GREY``'s shape, with one strip or one per channel; ``tags`` are short values."""
    values = {256: [5], 257: [4], 258: [bits] * len(strips), 259: [1], 262: [1], 277: [len(strips)], 278: [4]}
    values |= {tag: [value] for tag, value in tags.items()}
    data = b"".join(strips)
    values[273] = [8 + sum(map(len, strips[:number])) for number in range(len(strips))]
    values[279] = [len(strip) for strip in strips]
    position = 8 + len(data)
    entries, longer = b"", b""
    for tag, numbers in sorted(values.items()):
        packed = struct.pack(f"{order}{len(numbers)}H", *numbers)
        if len(packed) > 4:
            place = position + 2 + 12 * len(values) + 4 + len(longer)
            packed, longer = struct.pack(f"{order}I", place), longer + packed
        entries += struct.pack(f"{order}HHI", tag, 3, len(numbers)) + packed.ljust(4, b"\0")
    head = (b"II" if order == "<" else b"MM") + struct.pack(f"{order}HI", 42, position)
    path.write_bytes(head + data + struct.pack(f"{order}H", len(values)) + entries + bytes(4) + longer)
    return path


def packed_12(values: np.ndarray) -> bytes:
    """Rows of 12-bit values, the first in the highest bits; each row starts at a byte."""
    bits = (values[:, :, np.newaxis] >> np.arange(11, -1, -1)) & 1
    return np.packbits(bits.reshape(len(values), -1).astype(np.uint8), axis=1).tobytes()


@pytest.mark.parametrize("order", ["<", ">"])
def test_16_bits_of_either_byte_order_keep_the_upper_8(tmp_path: Path, order: str) -> None:
    path = write_tiff(tmp_path / "x.tif", [GREY.astype(f"{order}u2").tobytes()], 16, {}, order)
    np.testing.assert_array_equal(decode(path), UPPER)


@pytest.mark.parametrize("orientation", [1, 6])
def test_12_bits_keep_the_upper_8(tmp_path: Path, orientation: int) -> None:
    path = write_tiff(tmp_path / "x.tif", [packed_12(GREY >> 4)], 12, {274: orientation})
    np.testing.assert_array_equal(decode(path), UPPER if orientation == 1 else np.rot90(UPPER, -1))


def test_8_bits_with_0_as_white_are_inverted(tmp_path: Path) -> None:
    path = write_tiff(tmp_path / "x.tif", [(255 - UPPER[:, :, 0]).tobytes()], 8, {262: 0})
    np.testing.assert_array_equal(decode(path), UPPER)


@pytest.mark.parametrize(
    ("num_strips", "dtype", "tags", "message"),
    [
        (1, "<u2", {262: 0}, r"^a TIFF of 16 bits in which 0 is white; save it with 0 as black$"),
        (3, "<u2", {262: 2, **PLANES}, r"^a TIFF of 16 bits with a plane for each colour; save its colours interl"),
        (1, "<u1", SIGNED, r"^has signed pixel values; save it as 8-bit RGB or grey$"),
        (1, "<u2", SIGNED, r"^has signed pixel values"),
        (1, ">u2", {262: 0}, r"^truncated or damaged header, or an unknown type of pixels$"),
    ],
)
def test_what_pillow_decodes_to_other_values_is_rejected(
    tmp_path: Path, num_strips: int, dtype: str, tags: dict[int, int], message: str
) -> None:
    strips = [GREY.astype(dtype).tobytes()] * num_strips
    path = write_tiff(tmp_path / "x.tif", strips, 8 * np.dtype(dtype).itemsize, tags, dtype[0])
    with pytest.raises(Unreadable, match=message):
        decode(path)


def test_planes_of_8_bits_are_decoded(tmp_path: Path) -> None:
    planes = [(UPPER[:, :, 0] + number).tobytes() for number in range(3)]
    path = write_tiff(tmp_path / "x.tif", planes, 8, {262: 2, **PLANES})
    np.testing.assert_array_equal(decode(path), UPPER + np.arange(3, dtype=np.uint8))
