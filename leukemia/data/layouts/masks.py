"""Masks in a folder that ``--classes`` calls a class, recognized by their pixels."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from leukemia.base.errors import UserError
from leukemia.data.layouts.companions import names_companions
from leukemia.data.layouts.folder_advice import unknown_folders
from leukemia.data.layouts.source import Source
from leukemia.data.pixels import decode
from leukemia.data.reading import Reading

NUM_SEEN = 3
"""So many images of a folder are decoded."""


def refuse_masks(data: Path, source: Source, reading: Reading) -> None:
    """Refuse class folders that are named for companions, such as ``seg``, if their images have only two values.

    Raises:
        UserError: which folders these are, and what to type instead.
    """
    if source.layout != "folders" or not reading.reads_labels:
        return
    words = sorted({row.word for row in source.rows if row.word is not None and names_companions(row.word)})
    for word in words:
        paths = [row.path for row in source.rows if row.word == word]
        if all(map(_is_mask, paths[:NUM_SEEN])):
            masks = f"the {len(paths)} images in folders {word} are masks (black and white)"
            raise unknown_folders(f"{data}: {masks}; the cells are in folders", data, None)


def _is_mask(path: Path) -> bool:
    try:
        return len(np.unique(decode(path))) <= 2
    except UserError:
        # Unreadable images are listed later, all of them.
        return False
