"""Decoding of one image file: the same RGB bytes on every machine, or a short reason why it cannot be used."""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

from leukemia.base.errors import UserError, first_line
from leukemia.base.files import open_file
from leukemia.data.conversions import CONVERSIONS, Conversion

MAX_PIXELS = 64_000_000
"""Larger images are rejected by their header, before decoding: a small file can claim any size."""

MAX_BYTES = 1_000_000_000
"""Larger files are rejected unread; an accepted image has at most 512 MB without compression."""

FORMATS = ("BMP", "JPEG", "PNG", "TIFF", "WEBP")
"""Accepted formats; Pillow's other decoders are not used."""

# Pillow's own limit warns from 89 megapixels without naming the size; MAX_PIXELS replaces it.
Image.MAX_IMAGE_PIXELS = None

GIT_LFS = "a pointer of Git LFS, not the image; run `git lfs pull` where the data were cloned"
GIT_ANNEX = "a link of git-annex without its file; run `git annex get .` where the data were cloned"
STAND_INS = (GIT_LFS, GIT_ANNEX)
"""Reasons why all images of a data set may be unreadable, since none has been fetched."""

_MAGIC = (b"BM", b"\xff\xd8\xff", b"\x89PNG", b"II*\0", b"MM\0*", b"RIFF")
# TIFF 6.0, sections 8 and 19.
_BITS_TAG, _PHOTOMETRIC_TAG, _PLANES_TAG, _SAMPLE_FORMAT_TAG = 258, 262, 284, 339
_ORIENTATION_TAG = 0x0112
_MODES: dict[str, Conversion] = {"P": "palette", "PA": "palette", "CMYK": "cmyk", "YCbCr": "ycbcr"}
# The transposition that makes each EXIF orientation upright (CIPA DC-008, section 4.6.5.1).
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


class Unreadable(UserError):
    """An image file that cannot be used; the message is a short reason, such as ``truncated``, without the path."""


def read_size(path: Path) -> tuple[int, int]:
    """Width and height in pixels, after EXIF rotation, from the file's header.

    The pixels are read only for a PNG whose EXIF block follows them.

    Raises:
        Unreadable: missing, empty, not an image, larger than 64 megapixels, or with a damaged header.
    """
    with _opened(path) as image:
        width, height = image.size
        return (height, width) if _orientation(image) >= 5 else (width, height)


@dataclass(frozen=True, kw_only=True, eq=False)
class Decoded:
    """An image, and how it was converted."""

    pixels: np.ndarray
    """(H, W, 3) uint8 RGB in 0..255, rotated upright by the file's EXIF orientation."""

    conversions: tuple[Conversion, ...]
    """How they differ from the values in the file, in the order of ``CONVERSIONS``."""

    @property
    def brightest(self) -> int:
        """The largest value of a deep image, in 0..255; 0 of others."""
        return int(self.pixels.max()) if "deep" in self.conversions else 0


def decode(path: Path) -> np.ndarray:
    """The pixels of ``read_image``; it raises the same errors."""
    return read_image(path).pixels


def read_image(path: Path) -> Decoded:
    """Decode an image file.

    Grey, palette, CMYK and YCbCr images are converted. Of channels of 12 or 16 bits the upper 8 bits are kept, since
    Pillow's own conversion of 16-bit grey would clip almost everything to white. Transparent pixels are shown on black.

    Raises:
        Unreadable: as ``read_size``; and truncated or damaged pixels, several frames, other pixel types (signed or
            32-bit integers, floating point, LAB), transparency of 16-bit grey, and kinds of TIFF that Pillow decodes
            wrongly.
    """
    with _opened(path) as image:
        is_deep = image.format == "PNG" and _is_png_of_16_bits(image)
        try:
            image.load()
        except Exception as error:
            # Pillow's decoders may raise anything on damaged files.
            raise Unreadable(_reason(error)) from None
        # Pillow accepts a PNG whose last chunks are missing.
        if image.format == "PNG" and b"IEND\xae\x42\x60\x82" not in path.read_bytes():
            raise Unreadable("truncated")
        bits = _bits_of_tiff(image) if image.format == "TIFF" else 16
        found = _conversion_of_mode(image.mode)
        if is_deep or (image.format == "TIFF" and bits > 8):
            found.add("deep")
        turn = _UPRIGHT.get(_orientation(image))
        if turn is not None:
            found.add("turned")
        pixels, is_transparent = _rgb(image if turn is None else image.transpose(turn), bits)
        if is_transparent:
            found.add("transparent")
        return Decoded(pixels=pixels, conversions=tuple(each for each in CONVERSIONS if each in found))


def pixel_sha256(array: np.ndarray) -> str:
    """SHA-256, in hexadecimal, of an (H, W, 3) uint8 RGB image: of the text ``HxW`` followed by its bytes."""
    assert array.dtype == np.uint8
    assert array.shape[2:] == (3,)
    digest = hashlib.sha256(f"{array.shape[0]}x{array.shape[1]}".encode())
    digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[Image.Image]:
    """The image with its header read and checked; pixels are not decoded yet."""
    try:
        stream = open_file(path)
    except OSError as error:
        raise Unreadable(_missing(path) if isinstance(error, FileNotFoundError) else _reason(error)) from None
    with stream:
        num_bytes = os.fstat(stream.fileno()).st_size
        if num_bytes == 0:
            raise Unreadable("empty file")
        if num_bytes > MAX_BYTES:
            raise Unreadable(f"a file of {num_bytes / 1e9:.1f} GB, larger than any accepted image")
        try:
            image = Image.open(stream, formats=FORMATS)
        except UnidentifiedImageError:
            stream.seek(0)
            raise Unreadable(_not_identified(stream.read(40))) from None
        except Exception as error:
            raise Unreadable(_reason(error)) from None
        with image:
            _check_header(image)
            yield image


def _missing(path: Path) -> str:
    is_annexed = path.is_symlink() and "/annex/objects/" in path.readlink().as_posix()
    return GIT_ANNEX if is_annexed else "missing"


def _not_identified(start: bytes) -> str:
    """Why Pillow knows no image that begins with these bytes."""
    if start.startswith(b"version https://git-lfs.github.com/spec/"):
        return GIT_LFS
    if start.startswith(b"/annex/objects/"):
        return GIT_ANNEX
    if start.startswith(_MAGIC):
        return "truncated or damaged header, or an unknown type of pixels"
    return "not an image (BMP, JPEG, PNG, TIFF or WebP)"


def _check_header(image: Image.Image) -> None:
    width, height = image.size
    if width * height > MAX_PIXELS:
        raise Unreadable(f"larger than {MAX_PIXELS // 1_000_000} megapixels ({width} x {height})")
    # Known from the first header; counting the frames takes time quadratic in a TIFF's directories. An MPO is a
    # camera's JPEG followed by a preview: its first frame is the photo.
    if getattr(image, "is_animated", False) and image.format != "MPO":
        raise Unreadable("has several frames; save a single frame")


def _orientation(image: Image.Image) -> int:
    try:
        value = image.getexif().get(_ORIENTATION_TAG, 1)
    except Exception as error:
        raise Unreadable(f"EXIF block: {_reason(error)}") from None
    return value if isinstance(value, int) else 1


def _is_png_of_16_bits(image: Image.Image) -> bool:
    """Whether channels have 16 bits; known before Pillow decodes them, when it keeps the upper 8 bits of colours."""
    return any("16" in str(tile.args) for tile in image.tile)  # type: ignore[attr-defined]


def _bits_of_tiff(image: Image.Image) -> int:
    """Bits of each channel, once it is certain that Pillow, which has decoded the image, gives the file's values."""
    tags = image.tag_v2  # type: ignore[attr-defined]
    bits = tags.get(_BITS_TAG, (1,))
    if 2 in tags.get(_SAMPLE_FORMAT_TAG, (1,)):
        raise Unreadable("has signed pixel values; save it as 8-bit RGB or grey")
    # Pillow 13.0 inverts up to 8 bits only, and takes uncompressed planes of 16 bits for planes of 8.
    if bits[0] > 8 and tags.get(_PHOTOMETRIC_TAG, 0) == 0:
        raise Unreadable(f"a TIFF of {bits[0]} bits in which 0 is white; save it with 0 as black")
    if bits[0] > 8 and tags.get(_PLANES_TAG, 1) == 2 and len(bits) > 1 and image.info["compression"] == "raw":
        raise Unreadable(f"a TIFF of {bits[0]} bits with a plane for each colour; save its colours interleaved")
    return bits[0]


def _conversion_of_mode(mode: str) -> set[Conversion]:
    """How pixels of a type of Pillow become RGB; empty if they are."""
    if mode in ("1", "L", "LA", "I") or mode.startswith("I;16"):
        return {"grey"}
    return {_MODES[mode]} if mode in _MODES else set()


def _rgb(image: Image.Image, bits: int) -> tuple[np.ndarray, bool]:
    """The pixels of ``Decoded``, and whether some were transparent.

    Args:
        bits: those of a grey value that Pillow gives as 16 bits.
    """
    if image.mode.startswith("I;16") or (image.mode == "I" and image.format == "PNG"):
        if "transparency" in image.info:
            raise Unreadable("has transparency; save it without an alpha channel")
        grey = (np.asarray(image).astype(np.uint16) >> (bits - 8)).astype(np.uint8)
        return np.repeat(grey[:, :, np.newaxis], 3, axis=2), False
    if image.has_transparency_data:
        return _on_black(np.asarray(image.convert("RGBA")))
    if image.mode not in ("1", "L", "P", "RGB", "CMYK", "YCbCr"):
        raise Unreadable(f"pixels of type {image.mode}; save it as 8-bit RGB or grey")
    return np.array(image.convert("RGB")), False


def _on_black(rgba: np.ndarray) -> tuple[np.ndarray, bool]:
    alpha = rgba[:, :, 3:]
    if alpha.min() == 255:
        return rgba[:, :, :3].copy(), False
    return ((rgba[:, :, :3].astype(np.uint16) * alpha + 127) // 255).astype(np.uint8), True


def _reason(error: BaseException) -> str:
    text = (error.strerror if isinstance(error, OSError) else None) or first_line(error)
    lowered = text.lower()
    if "truncated" in lowered or "buffer is not large enough" in lowered:
        return "truncated"
    return f"damaged ({text})" if not isinstance(error, OSError) or error.errno is None else text.lower()
