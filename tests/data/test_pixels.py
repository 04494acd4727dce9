"""Image files are decoded like by an independent decoder, or rejected with a reason."""

from __future__ import annotations

import contextlib
import hashlib
import os
import random
import struct
import time
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from leukemia.data.hashes import hash_images
from leukemia.data.pixels import Unreadable, decode, pixel_sha256, read_image, read_size


@pytest.fixture
def rgb() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (30, 40, 3), dtype=np.uint8)


def saved(path: Path, array: np.ndarray, mode: str | None = None, **options: object) -> Path:
    image = Image.fromarray(array)
    (image.convert(mode) if mode else image).save(path, **options)
    return path


@pytest.mark.parametrize("suffix", ["bmp", "png", "tif"])
def test_lossless_formats_round_trip(tmp_path: Path, rgb: np.ndarray, suffix: str) -> None:
    path = saved(tmp_path / f"x.{suffix}", rgb)
    array = decode(path)
    assert array.dtype == np.uint8
    np.testing.assert_array_equal(array, rgb)
    assert read_size(path) == (40, 30)


def test_jpeg_agrees_with_opencv(tmp_path: Path) -> None:
    ramp = np.linspace(0, 255, 40 * 30 * 3).reshape(30, 40, 3).astype(np.uint8)
    path = saved(tmp_path / "x.jpg", ramp)
    opencv = cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2RGB)
    assert np.abs(decode(path).astype(int) - opencv).max() <= 3


@pytest.mark.parametrize(
    ("orientation", "turned"),
    [
        (1, lambda a: a),
        (2, np.fliplr),
        (3, lambda a: np.rot90(a, 2)),
        (4, np.flipud),
        (5, lambda a: a.transpose(1, 0, 2)),
        (6, lambda a: np.rot90(a, -1)),
        (7, lambda a: np.rot90(a, 2).transpose(1, 0, 2)),
        (8, np.rot90),
    ],
)
def test_exif_orientation_is_applied(tmp_path: Path, rgb: np.ndarray, orientation: int, turned) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = saved(tmp_path / "x.png", rgb, exif=exif)
    np.testing.assert_array_equal(decode(path), turned(rgb))
    assert read_size(path) == decode(path).shape[1::-1]


def test_palette_and_grey_are_converted_to_rgb(tmp_path: Path, rgb: np.ndarray) -> None:
    grey = rgb[:, :, 0]
    np.testing.assert_array_equal(decode(saved(tmp_path / "g.bmp", grey)), np.stack([grey] * 3, axis=2))
    indexed = Image.fromarray(grey // 128)
    indexed.putpalette([1, 2, 3, 200, 100, 50])
    indexed.save(tmp_path / "p.png")
    palette = np.array([[1, 2, 3], [200, 100, 50]], dtype=np.uint8)
    np.testing.assert_array_equal(decode(tmp_path / "p.png"), palette[grey // 128])


@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_16_bit_grey_keeps_its_upper_byte(tmp_path: Path, suffix: str) -> None:
    deep = np.arange(30 * 40, dtype=np.uint16).reshape(30, 40) * 54
    array = decode(saved(tmp_path / f"x.{suffix}", deep))
    np.testing.assert_array_equal(array, np.stack([(deep // 256).astype(np.uint8)] * 3, axis=2))


def test_16_bit_colour_keeps_its_upper_byte(tmp_path: Path) -> None:
    deep = np.random.default_rng(1).integers(0, 65536, (8, 9, 3), dtype=np.uint16)
    path = tmp_path / "x.png"
    cv2.imwrite(str(path), deep[:, :, ::-1])
    np.testing.assert_array_equal(decode(path), (deep // 256).astype(np.uint8))


def test_opaque_alpha_is_dropped_and_transparency_is_on_black(tmp_path: Path, rgb: np.ndarray) -> None:
    alpha = np.full((30, 40, 1), 255, dtype=np.uint8)
    opaque = read_image(saved(tmp_path / "o.png", np.concatenate([rgb, alpha], axis=2)))
    np.testing.assert_array_equal(opaque.pixels, rgb)
    assert opaque.conversions == ()
    alpha[:2], alpha[3:5] = 0, 128
    expected = np.rint(rgb * (alpha / 255)).astype(np.uint8)
    for suffix in ("png", "tif"):
        found = read_image(saved(tmp_path / f"t.{suffix}", np.concatenate([rgb, alpha], axis=2)))
        np.testing.assert_array_equal(found.pixels, expected)
        assert found.conversions == ("transparent",)
    grey = np.concatenate([rgb[:, :, :1], alpha], axis=2)
    Image.fromarray(grey, "LA").save(tmp_path / "la.png")
    np.testing.assert_array_equal(decode(tmp_path / "la.png"), np.repeat(expected[:, :, :1], 3, axis=2))
    assert read_image(tmp_path / "la.png").conversions == ("grey", "transparent")


def test_a_transparent_colour_is_on_black(tmp_path: Path, rgb: np.ndarray) -> None:
    grey = rgb[:, :, 0]
    keyed = saved(tmp_path / "k.png", grey, transparency=int(grey[0, 0]))
    expected = np.where(grey == grey[0, 0], 0, grey)
    np.testing.assert_array_equal(decode(keyed), np.stack([expected] * 3, axis=2))
    deep = saved(tmp_path / "d.png", grey.astype(np.uint16) * 256, transparency=int(grey[0, 0]) * 256)
    with pytest.raises(Unreadable, match="has transparency; save it without an alpha channel"):
        decode(deep)


@pytest.mark.parametrize("suffix", ["jpg", "tif"])
def test_cmyk_is_converted(tmp_path: Path, suffix: str) -> None:
    inks = np.zeros((32, 32, 4), dtype=np.uint8)
    inks[:, 16:] = (0, 255, 255, 51)
    Image.fromarray(inks, "CMYK").save(tmp_path / f"c.{suffix}")
    found = read_image(tmp_path / f"c.{suffix}")
    assert found.conversions == ("cmyk",)
    assert np.abs(found.pixels[:, :12].astype(int) - 255).max() <= 3
    assert np.abs(found.pixels[:, 20:].astype(int) - (204, 0, 0)).max() <= 3


@pytest.mark.filterwarnings("ignore:Truncated File Read")
@pytest.mark.parametrize("suffix", ["bmp", "jpg", "png", "tif", "webp"])
def test_truncated_files_are_never_partly_decoded(tmp_path: Path, rgb: np.ndarray, suffix: str) -> None:
    whole = saved(tmp_path / f"x.{suffix}", rgb).read_bytes()
    cut = tmp_path / f"cut.{suffix}"
    for kept in (len(whole) - 1, len(whole) - 20, len(whole) * 3 // 4, len(whole) // 2, 60):
        cut.write_bytes(whole[:kept])
        with pytest.raises(Unreadable, match=r"truncated|damaged"):
            decode(cut)


@pytest.mark.parametrize("suffix", ["bmp", "jpg", "png"])
def test_truncation_is_the_reported_reason(tmp_path: Path, rgb: np.ndarray, suffix: str) -> None:
    path = saved(tmp_path / f"x.{suffix}", rgb)
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(Unreadable, match=r"^truncated$"):
        decode(path)


def test_a_truncated_grey_bmp_is_rejected(tmp_path: Path, rgb: np.ndarray) -> None:
    # Pillow memory-maps 8-bit bitmaps instead of decoding them.
    path = saved(tmp_path / "x.bmp", rgb[:, :, 0])
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(Unreadable, match=r"^truncated$"):
        decode(path)


def test_a_damaged_png_is_rejected(tmp_path: Path, rgb: np.ndarray) -> None:
    path = saved(tmp_path / "x.png", rgb)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    path.write_bytes(content)
    with pytest.raises(Unreadable, match=r"damaged|truncated"):
        decode(path)


def test_missing_empty_and_other_files_are_reported(tmp_path: Path) -> None:
    with pytest.raises(Unreadable, match=r"^missing$"):
        decode(tmp_path / "absent.bmp")
    with pytest.raises(Unreadable, match=r"is a directory"):
        decode(tmp_path)
    path = tmp_path / "x.bmp"
    path.write_bytes(b"")
    with pytest.raises(Unreadable, match=r"^empty file$"):
        decode(path)
    path.write_text("hello, I am not an image")
    with pytest.raises(Unreadable, match=r"^not an image \(BMP, JPEG, PNG, TIFF or WebP\)$"):
        decode(path)
    path.write_bytes(b"\x89PNG\r\n")
    with pytest.raises(Unreadable, match="truncated or damaged header"):
        decode(path)


def png_header(width: int, height: int) -> bytes:
    chunk = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    data = b"IDAT" + zlib.compress(b"\0" * 100)
    parts = [struct.pack(">I", len(part) - 4) + part + struct.pack(">I", zlib.crc32(part)) for part in (chunk, data)]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


@pytest.mark.parametrize("side", [8001, 10_000, 60_000])
def test_huge_images_are_rejected_by_their_header(tmp_path: Path, side: int) -> None:
    path = tmp_path / "x.png"
    path.write_bytes(png_header(side, 8000))
    for read in (decode, read_size):
        with pytest.raises(Unreadable, match=rf"^larger than 64 megapixels \({side} x 8000\)$"):
            read(path)


def test_other_pixel_types_and_several_frames_are_reported(tmp_path: Path, rgb: np.ndarray) -> None:
    with pytest.raises(Unreadable, match="pixels of type LAB"):
        decode(saved(tmp_path / "c.tif", rgb, "LAB"))
    with pytest.raises(Unreadable, match="pixels of type F"):
        decode(saved(tmp_path / "f.tif", rgb[:, :, 0].astype(np.float32)))
    frames = [Image.fromarray(rgb), Image.fromarray(rgb[::-1].copy())]
    frames[0].save(tmp_path / "m.tif", save_all=True, append_images=frames[1:])
    with pytest.raises(Unreadable, match="has several frames"):
        decode(tmp_path / "m.tif")


def test_pixel_sha256_covers_size_and_bytes(rgb: np.ndarray) -> None:
    assert pixel_sha256(rgb) == hashlib.sha256(b"30x40" + rgb.tobytes()).hexdigest()
    assert pixel_sha256(rgb[:, ::-1]) == pixel_sha256(rgb[:, ::-1].copy())
    assert pixel_sha256(rgb.reshape(40, 30, 3)) != pixel_sha256(rgb)


@pytest.mark.skipif("LEUKEMIA_DATA" not in os.environ, reason="LEUKEMIA_DATA is unset: no real images available")
def test_real_images_agree_with_opencv() -> None:
    data = Path(os.environ["LEUKEMIA_DATA"])
    cell = next((data / "cnmc").rglob("*.bmp"))
    np.testing.assert_array_equal(decode(cell), cv2.cvtColor(cv2.imread(str(cell)), cv2.COLOR_BGR2RGB))
    smear = next((data / "taleqani" / "images").glob("*.jpg"))
    assert np.abs(decode(smear).astype(int) - cv2.cvtColor(cv2.imread(str(smear)), cv2.COLOR_BGR2RGB)).max() <= 3


def test_a_pipe_is_rejected_without_blocking(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.png")
    with pytest.raises(Unreadable, match=r"^a pipe, not a file$"):
        decode(tmp_path / "pipe.png")


def tiff_of(num_directories: int) -> bytes:
    """A TIFF of 1x1 grey images; each directory follows the one before."""
    entries = [(256, 3, 1, 1), (257, 3, 1, 1), (258, 3, 1, 8), (259, 3, 1, 1), (262, 3, 1, 1), (273, 4, 1, 8)]
    entries += [(277, 3, 1, 1), (278, 3, 1, 1), (279, 4, 1, 1)]
    size = 2 + 12 * len(entries) + 4
    body = struct.pack("<H", len(entries)) + b"".join(struct.pack("<HHII", *entry) for entry in entries)
    nexts = [10 + (number + 1) * size for number in range(num_directories - 1)]
    directories = b"".join(body + struct.pack("<I", offset) for offset in [*nexts, 0])
    return struct.pack("<2sHI", b"II", 42, 10) + b"\x80\0" + directories


def test_a_tiff_of_many_directories_is_rejected_in_linear_time(tmp_path: Path) -> None:
    path = tmp_path / "many.tif"
    path.write_bytes(tiff_of(1))
    assert decode(path).shape == (1, 1, 3)
    path.write_bytes(tiff_of(32_000))
    start = time.monotonic()
    with pytest.raises(Unreadable, match=r"^has several frames; save a single frame$"):
        read_size(path)
    # Counting them takes 12 s.
    assert time.monotonic() - start < 2


@pytest.mark.parametrize("suffix", ["png", "webp"])
def test_animations_are_rejected(suffix: str, tmp_path: Path) -> None:
    frames = [Image.new("RGB", (40, 30), color) for color in ("red", "green", "blue")]
    frames[0].save(tmp_path / f"a.{suffix}", save_all=True, append_images=frames[1:])
    with pytest.raises(Unreadable, match=r"^has several frames"):
        read_size(tmp_path / f"a.{suffix}")


def test_a_huge_file_is_not_read(tmp_path: Path, rgb: np.ndarray) -> None:
    path = saved(tmp_path / "huge.png", rgb)
    with path.open("r+b") as stream:
        # No disk space is used.
        stream.truncate(3_000_000_000)
    with pytest.raises(Unreadable, match=r"^a file of 3.0 GB, larger than any accepted image$"):
        decode(path)


@pytest.mark.parametrize("target", [os.devnull, "/dev/zero"])
def test_a_device_is_not_read(tmp_path: Path, target: str) -> None:
    (tmp_path / "device.png").symlink_to(target)
    with pytest.raises(Unreadable, match=r"^a device, not a file$"):
        decode(tmp_path / "device.png")


def test_an_offset_that_is_text_is_damage_and_names_the_file(tmp_path: Path, rgb: np.ndarray) -> None:
    path = tmp_path / "x.tif"
    Image.fromarray(rgb[:4, :5]).save(path)
    content = bytearray(path.read_bytes())
    entry = content.index(struct.pack("<HH", 273, 4))
    content[entry + 2] = 2
    path.write_bytes(content)
    with pytest.raises(Unreadable, match=r"^damaged \('str' object cannot be interpreted as an integer\)$"):
        decode(path)
    with pytest.raises(ValueError, match=r"1 of 1 images cannot be used.*\n  x.tif: damaged \("):
        hash_images(tmp_path, {"x.tif": path})


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("suffix", ["tif", "png", "bmp", "jpg", "webp"])
def test_changed_bytes_raise_no_other_error(tmp_path: Path, rgb: np.ndarray, suffix: str) -> None:
    path, generator = tmp_path / f"x.{suffix}", random.Random(0)
    Image.fromarray(rgb[:4, :5]).save(path, exif=Image.Exif())
    whole = path.read_bytes()
    for _ in range(60):
        content = bytearray(whole)
        for position in generator.sample(range(len(content)), 2):
            content[position] = generator.randrange(256)
        path.write_bytes(content)
        with contextlib.suppress(Unreadable):
            assert decode(path).dtype == np.uint8
