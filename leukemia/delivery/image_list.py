"""The images that a user gives: files, folders, patterns such as ``cells/*.png``, CSVs of paths, or arrays."""

from __future__ import annotations

import glob
import logging
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import numpy as np

from leukemia.base.errors import UserError
from leukemia.data.layouts.detect import find_images
from leukemia.data.layouts.source import IMAGE_SUFFIXES, ignored_files, is_image, is_os_leftover, walk
from leukemia.data.layouts.tables import is_table
from leukemia.data.names import check_names
from leukemia.data.reading import UNLABELLED

log = logging.getLogger(__name__)

Given: TypeAlias = str | Path | np.ndarray | Iterable[str | Path] | Iterable[np.ndarray]
"""One or more paths, each of a file, a folder, a CSV, or a pattern; or whole images as arrays."""


@dataclass(frozen=True, kw_only=True, eq=False)
class NewImage:
    """An image without a label, not read yet."""

    source: Path | np.ndarray
    """Its file, or its pixels: uint8 (H, W, 3), RGB in 0..255."""

    name: str
    """What it is called: in a CSV its ``ID``, or its path as written; otherwise its path, or the number of an array."""

    is_listed: bool = False
    """Whether it is in a CSV."""


def images_of(given: Given) -> list[NewImage]:
    """The given images in their order.

    Raises:
        UserError: none are given, paths and arrays together, an array that is neither an image nor a stack of images;
            or as ``named_images``.
    """
    if isinstance(given, str | Path):
        return named_images([given])
    if isinstance(given, np.ndarray) and given.ndim not in (3, 4):
        raise UserError(f"expected an image (H, W, 3) or images (n, H, W, 3), got an array {given.shape}")
    each = [given] if isinstance(given, np.ndarray) and given.ndim == 3 else list(given)
    if not each:
        raise UserError("expected images, got none")
    paths = [one for one in each if isinstance(one, str | Path)]
    arrays = [one for one in each if isinstance(one, np.ndarray)]
    if len(paths) == len(each):
        return named_images(paths)
    if len(arrays) < len(each):
        kinds = sorted({type(one).__name__ for one in each})
        raise UserError(f"expected paths only, or arrays of numpy only, got {' and '.join(kinds)}")
    return [NewImage(source=array, name=f"image {number}") for number, array in enumerate(arrays)]


def named_images(paths: Iterable[str | Path]) -> list[NewImage]:
    """The images that paths name, in their order: of a CSV those that it lists, of a folder all below it.

    Files that operating systems leave, which ``cells/*`` in a shell may name, are left out. Other files in a folder are
    counted in a warning.

    Raises:
        UserError: a folder has no images, nothing matches a pattern, a folder or CSV cannot be read, or a name is not
            one line of UTF-8.
    """
    given = [each for path in paths for each in _matching(Path(path))]
    found: list[NewImage] = []
    for path in [path for path in given if not is_os_leftover(path.name)] or given[:1]:
        if is_table(path):
            found += _listed(path)
        else:
            found += _in_folder(path) if path.is_dir() else [_file(path)]
    check_names((str(image.source) for image in found), "IMAGE")
    return found


def columns_of(images: Sequence[NewImage]) -> dict[str, list[str] | list[int]]:
    """The columns that name images in a table: ``path``, or ``image`` of arrays; first ``id`` if any is in a CSV."""
    if any(isinstance(image.source, np.ndarray) for image in images):
        return {"image": [int(image.name.rpartition(" ")[2]) for image in images]}
    ids: dict[str, list[str] | list[int]] = {}
    if any(image.is_listed for image in images):
        ids["id"] = [image.name for image in images]
    return {**ids, "path": [str(image.source) for image in images]}


def _listed(table: Path) -> list[NewImage]:
    rows = find_images(table, UNLABELLED, labels=False).rows
    return [
        NewImage(source=row.path, name=str(row.path) if row.name is None else row.name, is_listed=True) for row in rows
    ]


def _in_folder(folder: Path) -> list[NewImage]:
    images = list(filter(is_image, walk(folder)))
    if not images:
        raise UserError(f"{folder}: no images in this folder; expected files named *{', *'.join(IMAGE_SUFFIXES)}")
    for note in ignored_files([folder]):
        log.warning("%s: %s", folder, note)
    return [_file(image) for image in images]


def _file(path: Path) -> NewImage:
    return NewImage(source=path, name=str(path))


def _matching(path: Path) -> list[Path]:
    """What a pattern stands for, sorted; the path itself if it exists, or is no pattern."""
    # Square brackets alone are more often those of a copy, ``cell [1].png``, than a pattern.
    if os.path.lexists(path) or not set("*?") & set(str(path)):
        return [path]
    # The order of a folder's entries differs between file systems. ``Path.glob`` takes no absolute patterns.
    found = [Path(each) for each in sorted(glob.glob(str(path), recursive=True))]  # noqa: PTH207
    if not found:
        raise UserError(f"{path}: no file or folder matches this pattern; correct it")
    return found
