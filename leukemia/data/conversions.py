"""What was done to images that are not stored as 8-bit RGB, and what is said about it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Literal, TypeAlias, get_args

from leukemia.base.quantity import are, have

Conversion: TypeAlias = Literal["deep", "grey", "palette", "cmyk", "ycbcr", "transparent", "turned"]
"""A way in which the pixels of an image differ from those in its file."""

CONVERSIONS: tuple[Conversion, ...] = get_args(Conversion)

_TEXTS: dict[Conversion, str] = {
    "deep": "have more than 8 bits per channel: scaled to 8 by their range, of 16 bits the upper 8",
    "grey": "are grey: all three channels have the grey value",
    "palette": "have a palette: its colours were taken",
    "cmyk": "are CMYK: converted to RGB without a colour profile",
    "ycbcr": "are YCbCr: converted to RGB",
    "transparent": "are partly transparent: shown on black, like the background of C-NMC's images",
    "turned": "are stored turned or mirrored: upright by their EXIF orientation",
}

# The highest values of 14 bits, which cameras have at most if they do not have 16.
_DARK = 2**14 // 256


def conversion_notes(images: Iterable[tuple[tuple[Conversion, ...], int]]) -> tuple[str, ...]:
    """What was done to how many images of a data set, one line each, without names.

    Values of 12 bits are scaled by 12 only where the file says that it has 12. Where it says 16, they stay dark: no
    image tells its camera's range, the largest value differs by image, and the tag MaxSampleValue must not affect the
    appearance (TIFF 6.0, section 8). This is the same for every image, in training and in prediction.

    Args:
        images: the conversions of each image, and the largest value of a deep one after its conversion, in 0..255.
    """
    images = list(images)
    counts = Counter(each for found, _ in images for each in found)
    notes = [
        f"{number} of {len(images)} images {_text(each, number)}" for each in CONVERSIONS if (number := counts[each])
    ]
    largest = max((brightest for found, brightest in images if "deep" in found), default=_DARK)
    if largest < _DARK:
        notes.append(
            f"no image of more than 8 bits has a value above {largest} of 255, as if cameras of 10 to 14 bits stored "
            "theirs in 16: the images are dark and have few levels; multiply their values, those of 12 bits by 16, and "
            "save them again"
        )
    return tuple(notes)


def _text(conversion: Conversion, number: int) -> str:
    verb, _, rest = _TEXTS[conversion].partition(" ")
    return f"{have(number) if verb == 'have' else are(number)} {rest}"
