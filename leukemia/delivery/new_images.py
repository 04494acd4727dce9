"""Images to classify: each is looked at first, then read in the view of the training."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from operator import itemgetter
from pathlib import Path

import numpy as np

from leukemia.base.errors import UserError
from leukemia.base.threads import completed
from leukemia.config.fitting import Size
from leukemia.data.conversions import Conversion, conversion_notes
from leukemia.data.layouts.masks import looks_like_mask, mask_note
from leukemia.data.pixels import Decoded, read_image
from leukemia.data.survival import survival_notes
from leukemia.data.view import View, framed
from leukemia.delivery.appearance import Appearance
from leukemia.delivery.image_list import NewImage

CHUNK = 256
"""Images in memory at a time. Whole batches, so that predictions do not depend on it."""


@dataclass(frozen=True, kw_only=True)
class Look:
    """What was found when an image was looked at."""

    image: NewImage
    problem: str = ""
    """Why it cannot be used; empty if it can."""

    difference: str = ""
    """How it is unlike the training images; empty if it is not, or if that is not known."""

    is_small: bool = False
    """Whether it is padded."""

    size: Size = (0, 0)
    conversions: tuple[Conversion, ...] = ()
    brightest: int = 0
    """As ``Decoded.brightest``."""

    is_mask: bool = False
    """Whether it has the few values of a mask, or of a blank image."""

    def warning(self, view: View) -> str:
        """What a user must know about a usable image; empty if there is nothing."""
        found = [f"smaller than the {view.least}: padded with black"] if self.is_small else []
        if self.is_mask:
            found.append("few grey levels: a mask, or blank")
        return "; ".join([*found, *([f"unlike the training images: {self.difference}"] if self.difference else [])])


def look_at(images: Sequence[NewImage], view: View, appearance: Appearance | None) -> list[Look]:
    """Read each image once, in threads; one that cannot be used is no error here.

    Args:
        appearance: of the training images; None if it is not known.
    """

    def look(row: int) -> Look:
        try:
            image = _decoded(images[row])
            seen = framed(image.pixels, view)
        except UserError as reason:
            return Look(image=images[row], problem=str(reason))
        size = (image.pixels.shape[1], image.pixels.shape[0])
        return Look(
            image=images[row],
            difference="" if appearance is None else appearance.difference(seen, size),
            is_small=view.is_small(*size),
            size=size,
            conversions=image.conversions,
            brightest=image.brightest,
            is_mask=looks_like_mask(image.pixels),
        )

    return [found for _, found in sorted(completed(look, range(len(images)), "checking images"), key=itemgetter(0))]


def notes_on(looks: Sequence[Look], view: View) -> tuple[str, ...]:
    """What a user must know about usable images, one line each: conversions, padding and heavy losses, masks."""
    masks = [look.image.name for look in looks if look.is_mask]
    unlike = sum(bool(look.difference) for look in looks)
    notes = (
        *conversion_notes((look.conversions, look.brightest) for look in looks),
        *survival_notes(view, [look.size for look in looks]),
        *([mask_note(masks, len(looks))] if masks else []),
        *([f"{unlike} of {len(looks)} images are unlike the training images, as their warnings say"] if unlike else []),
    )
    return tuple(note.removeprefix("warning: ") for note in notes)


def read_views(images: Sequence[NewImage], view: View) -> Iterator[np.ndarray]:
    """The views of images in their order, as uint8 arrays (n, S, S, 3) of at most ``CHUNK`` images.

    Raises:
        UserError: an image cannot be used, as after it has changed since ``look_at``.
    """

    def read(row: int) -> np.ndarray:
        try:
            return framed(_decoded(images[row]).pixels, view)
        except UserError as reason:
            raise UserError(f"{images[row].name}: {reason}") from None

    for start in range(0, len(images), CHUNK):
        rows = range(start, min(start + CHUNK, len(images)))
        yield np.stack([image for _, image in sorted(completed(read, rows, "reading images"), key=itemgetter(0))])


def _decoded(image: NewImage) -> Decoded:
    if isinstance(image.source, Path):
        return read_image(image.source)
    pixels = image.source
    if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3 or not pixels.size:
        raise UserError(
            f"expected uint8 (H, W, 3), RGB in 0..255, got {pixels.dtype} {pixels.shape}; convert it, or give its file"
        )
    return Decoded(pixels=pixels, conversions=())
