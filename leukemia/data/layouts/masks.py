"""Masks among images in folders, recognized by their pixels: few values, and the same names as cells elsewhere."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from leukemia.base.errors import UserError
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
    return f"{len(names)} of {count} images have few grey levels, so they may be masks, or blank: {some(names)}"


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
    inside = [(path, path.relative_to(root).parts[:-1]) for path in paths]
    found = set()
    for level in range(max((len(folders) for _, folders in inside), default=0)):
        # By folder at this level, None for images beside these folders: its images by their path without it.
        kinds: dict[str | None, dict[tuple[str, ...], Path]] = {}
        for path, folders in inside:
            name = folders[level] if len(folders) > level else None
            kinds.setdefault(name, {})[(*folders[:level], *folders[level + 1 :], path.stem)] = path
        if 1 < len(kinds) <= MOST_FOLDERS:
            found |= {name for name in kinds if name is not None and _has_masks(name, kinds)}
    return found


def _has_masks(name: str, kinds: dict[str | None, dict[tuple[str, ...], Path]]) -> bool:
    """Whether one of several kinds of images has masks of the others."""
    others = {place: path for kind, images in kinds.items() if kind != name for place, path in images.items()}
    pairs = []
    for (*folders, stem), path in kinds[name].items():
        cell = next((others[place] for each in _stems(stem) if (place := (*folders, each)) in others), None)
        if cell is not None:
            pairs.append((path, cell))
    if 2 * len(pairs) <= len(kinds[name]):
        return False
    seen = pairs[:NUM_SEEN]
    return are_masks(mask for mask, _ in seen) and not are_masks(cell for _, cell in seen)


def _stems(stem: str) -> list[str]:
    """What the cell of a mask may be called: as the mask, or as the mask without its last word."""
    ends = [stem.rpartition(separator)[0] for separator in "_-. "]
    return [stem, *filter(None, ends)]
