"""Masks among images in folders, recognized by their pixels: few values, and the same names as cells elsewhere."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TypeAlias

import numpy as np

from leukemia.base.errors import UserError
from leukemia.base.quantity import have
from leukemia.data.pixels import decode
from leukemia.data.subjects import some

MOST_VALUES = 8
"""A mask has at most so many values: background, nucleus, cytoplasm and the like, or colours for these."""

EXTREME = 16
"""JPEG blurs black and white by less than this."""

LEAST_EXTREME = 0.95
"""Such a share of a JPEG mask is black or white, and each of both is a hundredth at least."""

NUM_SEEN = 3
"""So many images of a folder are decoded."""

MOST_FOLDERS = 20
"""Levels with more different folders have patients or slides, not kinds of images; they are not looked at."""

Kinds: TypeAlias = Mapping[str | None, Mapping[tuple[str, ...], Path]]
"""By folder of one level, None for images beside these folders: its images by their path without it and without their
suffix."""


def looks_like_mask(pixels: np.ndarray) -> bool:
    """Whether an image, uint8 of any shape, is a mask by its values.

    >>> ramp = np.arange(256, dtype=np.uint8)
    >>> looks_like_mask(ramp), looks_like_mask(ramp // 128 * 255), looks_like_mask(ramp % 4)
    (False, True, True)
    """
    numbers = np.bincount(pixels.ravel(), minlength=256)
    if np.count_nonzero(numbers) <= MOST_VALUES:
        return True
    black, white = (float(part.sum()) / pixels.size for part in (numbers[:EXTREME], numbers[-EXTREME:]))
    return black + white >= LEAST_EXTREME and min(black, white) >= 0.01


def mask_note(names: Sequence[str], count: int) -> str:
    """A note on images that look like masks.

    Args:
        names: at least one, of these images.
        count: of all images.
    """
    return (
        f"{len(names)} of {count} images {have(len(names))} few grey levels, and may be masks, or blank: {some(names)}"
    )


def are_masks(paths: Iterable[Path]) -> bool:
    """Whether all of these images, of which there must be one, are masks; those that cannot be read are none."""
    found = False
    for path in paths:
        try:
            found = looks_like_mask(decode(path))
        except UserError:
            # Unreadable images are listed later, all of them.
            return False
        if not found:
            return False
    return found


def mask_folders(root: Path, paths: Sequence[Path]) -> set[str]:
    """The names of folders of masks, whatever they are called: each has the same path as an image that is no mask.

    ``bw/hem/7.png`` is one of ``cells/hem/7.png``, ``hem/bw/7.png`` of ``hem/7.png``, and ``bw/7_bw.png`` of ``7.png``.

    Args:
        root: the folder above.
        paths: all images below.
    """
    return {
        name for kinds in folder_kinds(root, paths) for name in kinds if name is not None and _has_masks(name, kinds)
    }


def folder_kinds(root: Path, paths: Sequence[Path]) -> Iterator[Kinds]:
    """The images by the names of their folders, for each level that has a few different ones.

    Args:
        root: the folder above.
        paths: all images below.
    """
    inside = [(path, path.relative_to(root).parts[:-1]) for path in paths]
    for level in range(max((len(folders) for _, folders in inside), default=0)):
        kinds: dict[str | None, dict[tuple[str, ...], Path]] = {}
        for path, folders in inside:
            name = folders[level] if len(folders) > level else None
            kinds.setdefault(name, {})[(*folders[:level], *folders[level + 1 :], path.stem)] = path
        if 1 < len(kinds) <= MOST_FOLDERS:
            yield kinds


def mask_endings(paths: Iterable[Path]) -> set[str]:
    """The ends of names of masks beside their cells, such as ``_bw`` of ``7_bw.png`` beside ``7.png``; not of copies.

    Args:
        paths: all images.
    """
    cells = {(path.parent, path.stem): path for path in paths}
    pairs: dict[str, list[tuple[Path, Path]]] = {}
    for (folder, stem), path in cells.items():
        for beginning in beginnings(stem):
            if (folder, beginning) in cells:
                pairs.setdefault(stem[len(beginning) :], []).append((path, cells[folder, beginning]))
    return {end for end, found in pairs.items() if len(pairs) <= MOST_FOLDERS and _are_masks_of_cells(found)}


def mask_suffixes(paths: Iterable[Path]) -> set[str]:
    """The suffixes of masks that are called like their cells, such as ``.png`` of ``7.png`` beside ``7.bmp``.

    Args:
        paths: all images.
    """
    places: dict[Path, list[Path]] = {}
    for path in paths:
        places.setdefault(path.with_suffix(""), []).append(path)
    pairs: dict[str, list[tuple[Path, Path]]] = {}
    for same in (same for same in places.values() if len(same) == 2):
        for mask, cell in (same, reversed(same)):
            pairs.setdefault(mask.suffix, []).append((mask, cell))
    return {suffix for suffix, found in pairs.items() if _are_masks_of_cells(found)}


def _has_masks(name: str, kinds: Kinds) -> bool:
    """Whether one of several kinds of images has masks of the others."""
    others = {place: path for kind, images in kinds.items() if kind != name for place, path in images.items()}
    pairs = []
    for (*folders, stem), path in kinds[name].items():
        stems = (stem, *beginnings(stem))
        cell = next((others[place] for each in stems if (place := (*folders, each)) in others), None)
        if cell is not None:
            pairs.append((path, cell))
    return 2 * len(pairs) > len(kinds[name]) and _are_masks_of_cells(pairs)


def _are_masks_of_cells(pairs: Sequence[tuple[Path, Path]]) -> bool:
    """Whether the first of each two images is a mask, and the second none."""
    seen = pairs[:NUM_SEEN]
    return are_masks(mask for mask, _ in seen) and not are_masks(cell for _, cell in seen)


def beginnings(stem: str) -> list[str]:
    """What is before the last word of a name, for each separator that it has."""
    return [beginning for separator in "_-. " if (beginning := stem.rpartition(separator)[0])]
