"""Images whose files are empty or cut off, found without decoding the others: said together with what else is wrong."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from leukemia.base.errors import with_line
from leukemia.data.classes import LabelError
from leukemia.data.layouts.last_resort import folder_of_images
from leukemia.data.layouts.source import is_image, walk
from leukemia.data.pixels import Unreadable, read_image
from leukemia.data.reading import Reading
from leukemia.data.subjects import some

_ENDS = {".jpg": b"\xff\xd9", ".jpeg": b"\xff\xd9", ".png": b"IEND\xae\x42\x60\x82"}
"""What a whole file has at its end, by suffix."""

_NUM_BYTES = 64
"""Programs may add some bytes after the end."""


@contextlib.contextmanager
def naming_cut_off(data: Path, reading: Reading) -> Iterator[None]:
    """Adds a line on images that are cut off to a refusal about labels or classes, which comes before any is decoded.

    Args:
        data: what is read: a folder, or the first of one or more CSVs.
        reading: the user's options.
    """
    try:
        yield
    except LabelError as error:
        folder = folder_of_images(data, reading)
        images = [path for path in walk(folder) if is_image(path)] if folder.is_dir() else []
        found = [path.relative_to(folder).as_posix() for path in images if _is_cut_off(path)]
        if not found:
            raise
        raise with_line(
            error,
            f"whatever the labels, {len(found)} of {len(images)} images cannot be used, since their files are empty or "
            f"cut off: restore or remove them, or remove their rows from a CSV of all images: {some(found)}",
        ) from None


def _is_cut_off(path: Path) -> bool:
    """Whether a file lacks its end, and cannot be decoded."""
    end = _ENDS.get(path.suffix.lower())
    try:
        with path.open("rb") as stream:
            num_bytes = stream.seek(0, os.SEEK_END)
            stream.seek(max(0, num_bytes - _NUM_BYTES))
            if num_bytes and (end is None or end in stream.read()):
                return False
        read_image(path)
    except Unreadable:
        return True
    except OSError:
        # Reading the image will report the reason.
        return False
    return False
