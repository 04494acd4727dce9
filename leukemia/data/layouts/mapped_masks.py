"""Masks in a folder that ``--classes`` calls a class."""

from __future__ import annotations

from pathlib import Path

from leukemia.data.layouts.companions import names_companions
from leukemia.data.layouts.folder_advice import unmapped
from leukemia.data.layouts.masks import NUM_SEEN, are_masks, mask_folders
from leukemia.data.layouts.source import Source
from leukemia.data.reading import Reading


def refuse_mapped_masks(data: Path, source: Source, reading: Reading) -> None:
    """Refuse class folders of masks: named like ``seg`` with masks in them, or with masks of images in other folders.

    Raises:
        UserError: which folders these are, and what to type instead.
    """
    if source.layout != "folders" or reading.classes is None or not reading.reads_labels:
        return
    paths: dict[str, list[Path]] = {}
    for row in source.rows:
        if row.word is not None:
            paths.setdefault(row.word, []).append(row.path)
    masks = mask_folders(source.root, [row.path for row in source.rows])
    for word, images in sorted(paths.items()):
        if word in masks or (names_companions(word) and are_masks(images[:NUM_SEEN])):
            found = f"the {len(images)} images in folders {word} are masks (few grey levels)"
            raise unmapped(f"{data}: {found}; the cells are in folders", None)
