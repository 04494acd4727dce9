"""Reduced copies of images: thumbnails and previews, recognized by their names and sizes or pixels, whatever they are
called."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import TypeAlias

import cv2
import numpy as np

from leukemia.base.errors import UserError
from leukemia.data.layouts.masks import MOST_FOLDERS, Kinds, beginnings, folder_kinds
from leukemia.data.pixels import decode, read_size
from leukemia.data.version_names import is_version_word

LEAST_PAIRS = 2
"""So many images have a copy at least: one alone may be like another by chance."""

MOST_SEEN = 6
"""So many pairs are looked at."""

MOST_SCALE = 0.8
"""A copy has at most such a share of the width and the height of its original."""

LEAST_ALIKE = 0.97
"""The correlation of a copy with its original, both as small as ``_GRID``."""

_GRID = 16
_ROUNDING_PX = 2

Pair: TypeAlias = tuple[Path, Path]
"""What may be a copy, and its original."""


def reduced_folders(root: Path, paths: Sequence[Path]) -> set[str]:
    """The names of folders of reduced copies: each has the same path as a larger image in another folder.

    ``miniaturas/hem/7.png`` is one of ``imagens/hem/7.png``, and ``hem/mini/7.png`` of ``hem/7.png``. Folders that are
    called for versions, such as ``resized``, have versions, which are kept together (``leukemia.data.versions``).

    Args:
        root: the folder above.
        paths: all images below.
    """
    found = set()
    for kinds in folder_kinds(root, paths):
        for name in kinds:
            if name is not None and not is_version_word(name) and _has_copies(name, kinds):
                found.add(name)
    return found


def reduced_endings(paths: Iterable[Path]) -> set[str]:
    """The ends of names of reduced copies beside their originals, such as ``_klein`` of ``7_klein.jpg`` beside
    ``7.bmp``.

    Args:
        paths: all images.
    """
    originals = {(path.parent, path.stem): path for path in paths}
    pairs: dict[str, list[Pair]] = {}
    for (folder, stem), path in originals.items():
        for beginning in beginnings(stem):
            if (folder, beginning) in originals:
                pairs.setdefault(stem[len(beginning) :], []).append((path, originals[folder, beginning]))
    if len(pairs) > MOST_FOLDERS:
        return set()
    return {end for end, found in pairs.items() if not _is_of_version(end) and _are_copies(found)}


def _is_of_version(end: str) -> bool:
    return is_version_word(end.strip("_-. ()"))


def _has_copies(name: str, kinds: Kinds) -> bool:
    """Whether one of several kinds of images has copies of one of the others."""
    own = kinds[name]
    for other, images in kinds.items():
        if other == name:
            continue
        pairs = []
        for (*folders, stem), path in own.items():
            stems = (stem, *beginnings(stem))
            original = next((images[place] for each in stems if (place := (*folders, each)) in images), None)
            if original is not None:
                pairs.append((path, original))
        if 2 * len(pairs) > len(own) and _are_copies(pairs):
            return True
    return False


def _are_copies(pairs: Sequence[Pair]) -> bool:
    """Whether the first of each two images is the second, but smaller.

    Either their sizes say so, if these differ between images and all have one scale; or their pixels do, if each is
    more like its original than like the others'.
    """
    if len(pairs) < LEAST_PAIRS:
        return False
    seen = pairs[:: -(-len(pairs) // MOST_SEEN)]
    sizes = []
    for copy, original in seen:
        one, other = _size(copy), _size(original)
        if one is None or other is None or any(a > MOST_SCALE * b for a, b in zip(one, other, strict=True)):
            return False
        sizes.append((one, other))
    if len({other for _, other in sizes}) > LEAST_PAIRS and _have_one_scale(sizes):
        return True
    return are_alike(seen)


def are_alike(pairs: Sequence[Pair]) -> bool:
    """Whether each first image is like the second one of its pair in its pixels, and less like those of the others."""
    small = [_small(copy) for copy, _ in pairs]
    large = [_small(original) for _, original in pairs]
    if any(each is None for each in (*small, *large)):
        return False
    alike = np.corrcoef(np.array([*small, *large]))[: len(pairs), len(pairs) :]
    # Images without any contrast have no correlation.
    best = np.nan_to_num(alike, nan=-1.0)
    return bool(np.all(np.diag(best) >= LEAST_ALIKE) and np.all(np.argmax(best, axis=1) == np.arange(len(pairs))))


def _have_one_scale(sizes: Sequence[tuple[tuple[int, int], tuple[int, int]]]) -> bool:
    """Whether all copies are smaller by one factor, or have one longer side and the shapes of their originals."""
    scales = [max(one) / max(other) for one, other in sizes]
    is_shaped = all(
        abs(a - scale * b) <= _ROUNDING_PX
        for (one, other), scale in zip(sizes, scales, strict=True)
        for a, b in zip(one, other, strict=True)
    )
    are_equal = all(abs(max(one) - scales[0] * max(other)) <= _ROUNDING_PX for one, other in sizes)
    # Squares of any size have the shape of a square.
    shapes = {round(width / height, 1) for _, (width, height) in sizes}
    return is_shaped and (are_equal or (len({max(one) for one, _ in sizes}) == 1 and len(shapes) > LEAST_PAIRS))


def _size(path: Path) -> tuple[int, int] | None:
    try:
        return read_size(path)
    except UserError:
        # Unreadable images are listed later, all of them.
        return None


def _small(path: Path) -> np.ndarray | None:
    """An image in grey levels, (``_GRID`` ** 2,) float32; None if it cannot be read."""
    try:
        state = path.stat()
        return _shrunk(path, state.st_mtime_ns, state.st_size)
    except (OSError, UserError):
        return None


# The same few images are asked for by each refusal and its advice.
@lru_cache(maxsize=1024)
def _shrunk(path: Path, changed: int, num_bytes: int) -> np.ndarray:
    """As ``_small``, of a file that is the same as long as its time and size are."""
    pixels = decode(path)
    grey = pixels.mean(axis=2, dtype=np.float32)
    return cv2.resize(grey, (_GRID, _GRID), interpolation=cv2.INTER_AREA).ravel()
