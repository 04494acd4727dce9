"""Pixel hashes of many images, read in parallel and cached on disk."""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import os
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import astuple, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import PIL

from leukemia.base import files, locks, progress
from leukemia.base.errors import UserError, listed
from leukemia.base.threads import completed
from leukemia.config.fitting import Size
from leukemia.config.recipe import Recipe
from leukemia.data import view_file
from leukemia.data.conversions import CONVERSIONS, Conversion
from leukemia.data.pixels import STAND_INS, Unreadable, pixel_sha256, read_image, read_size
from leukemia.data.view import View, view_of
from leukemia.data.view_file import first_reading

FileState = tuple[int, int, int, int]
"""Size in bytes, modification and change time in nanoseconds, inode."""

log = logging.getLogger(__name__)

_SCHEMA = 4
_BYTES_PER_ROW = 500


@dataclass(frozen=True)
class Hashed:
    """The cached entry of an image; the state of its file reveals changes."""

    num_bytes: int
    mtime_ns: int
    ctime_ns: int
    """Changes with any write; unlike ``mtime_ns`` it cannot be set, as an archive does when it is unpacked."""

    inode: int
    """Reveals a file that was replaced by another one."""

    sha256: str
    width: int
    height: int
    conversions: tuple[Conversion, ...]
    brightest: int
    """As in ``pixels.Decoded``."""


def hash_images(root: Path, images: Mapping[str, Path], recipe: Recipe | None = None) -> list[Hashed]:
    """The pixel hash and size of each image, in the order of ``images``.

    Cached images are not read again unless the size, a time or the inode of their file has changed. Safe for concurrent
    processes: one reads, the others wait.

    Args:
        root: folder that contains the images.
        images: paths by image id (POSIX path relative to ``root``), sorted by it.
        recipe: the view that it asks for is stored too if no image is cached, so that each is decoded only once.

    Raises:
        UserError: some images cannot be read, and all are listed with the reason; or there is not enough disk space.
    """
    cache, states = _cache_path(root), _file_states(images)
    rows = _unchanged(_cached_rows(cache), states)
    if len(rows) < len(images):
        with locks.locked(_lock_path(cache)):
            # Another process may have read them meanwhile.
            cached = _cached_rows(cache)
            rows = _unchanged(cached, states)
            num_cached = len(rows)
            view_file.remove_leftovers(_key(root))
            view = None if rows or recipe is None else _fitting_view(recipe, images.values())
            with first_reading(_key(root), len(images), view) if view else contextlib.nullcontext(_not_kept) as keep:
                try:
                    _read(root, images, states, rows, keep)
                finally:
                    # Also after Ctrl-C, and before the view reaches the disk: reading may have taken minutes.
                    if len(rows) > num_cached:
                        _write_cache(cache, {**cached, **rows})
    return [rows[image_id] for image_id in images]


def forget(root: Path, image_ids: Collection[str]) -> None:
    """Remove images from the cache, so that the next command reads them again.

    Args:
        image_ids: paths relative to ``root``.
    """
    cache = _cache_path(root)
    with locks.locked(_lock_path(cache)):
        _write_cache(cache, {name: row for name, row in _cached_rows(cache).items() if name not in image_ids})


def remove_leftovers(root: Path) -> None:
    """Remove the view of a first reading that was killed after its hashes were stored."""
    # Not while another process reads images of this folder: it has removed the leftovers, and writes its own view.
    with contextlib.suppress(BlockingIOError), locks.locked(_lock_path(_cache_path(root)), wait=False):
        view_file.remove_leftovers(_key(root))


def _read(
    root: Path,
    images: Mapping[str, Path],
    states: Mapping[str, FileState],
    rows: dict[str, Hashed],
    keep: Callable[[int, np.ndarray, str], None],
) -> None:
    """Add the rows that are missing, and give their images to ``keep``."""
    number = {image_id: row for row, image_id in enumerate(images)}
    failed: dict[str, str] = {}

    def read(image_id: str) -> Hashed | str:
        try:
            image = read_image(images[image_id])
            sha256 = pixel_sha256(image.pixels)
            keep(number[image_id], image.pixels, sha256)
        except UserError as reason:
            return str(reason)
        height, width, _ = image.pixels.shape
        return Hashed(*states[image_id], sha256, width, height, image.conversions, image.brightest)

    for image_id, result in completed(read, [each for each in images if each not in rows], "reading images"):
        if isinstance(result, Hashed):
            rows[image_id] = result
        else:
            failed[image_id] = result
    for reason in STAND_INS:
        if number_of := list(failed.values()).count(reason):
            raise UserError(f"{root}: {number_of} of {len(images)} images cannot be used; each is {reason}")
    if failed:
        lines = listed(f"{image_id}: {failed[image_id]}" for image_id in sorted(failed))
        raise UserError(
            f"{root}: {len(failed)} of {len(images)} images cannot be used; restore or remove them:\n{lines}"
        )


def _fitting_view(recipe: Recipe, paths: Iterable[Path]) -> View | None:
    """The view that a recipe asks for; None if the images do not allow it, which the recipe's user will explain."""
    sizes = [size for _, size in completed(_size, paths, "reading image sizes")]
    known = [size for size in sizes if size is not None]
    if len(known) < len(sizes):
        return None
    try:
        # Only its data section depends on the images, or matters here.
        return view_of(Recipe(data=recipe.data).resolved(known))
    except UserError:
        return None


def _size(path: Path) -> Size | None:
    try:
        return read_size(path)
    except Unreadable:
        # The decoder will report the reason.
        return None


def _not_kept(row: int, image: np.ndarray, sha256: str) -> None:
    """Keep no view."""


def _file_states(images: Mapping[str, Path]) -> dict[str, FileState]:
    with progress.bar("looking for changed images", len(images)) as advance:
        states = {}
        for image_id, path in images.items():
            states[image_id] = _file_state(path)
            advance()
        return states


def _file_state(path: Path) -> FileState:
    try:
        stat = path.stat()
    except OSError:
        # The decoder will report the reason.
        return (-1, -1, -1, -1)
    return (stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino)


def _unchanged(cached: Mapping[str, Hashed], states: Mapping[str, FileState]) -> dict[str, Hashed]:
    """The cached rows whose files have these states."""
    return {
        image_id: cached[image_id]
        for image_id, state in states.items()
        if image_id in cached and _state_of(cached[image_id]) == state
    }


def _state_of(row: Hashed) -> FileState:
    return (row.num_bytes, row.mtime_ns, row.ctime_ns, row.inode)


def _cache_path(root: Path) -> Path:
    folder = files.cache_dir() / "hashes"
    files.make_folder(folder, "set LEUKEMIA_CACHE to a folder that you can write")
    return folder / f"{_key(root)}.json"


def _key(root: Path) -> str:
    """Identifies a data folder in the cache."""
    return hashlib.sha256(os.fsencode(root.resolve())).hexdigest()[:32]


def _lock_path(cache: Path) -> Path:
    return cache.with_suffix(".lock")


def _cached_rows(cache: Path) -> dict[str, Hashed]:
    """The rows of the cache; empty if it is absent, damaged, or from another version of this file or of Pillow."""
    try:
        content = files.read_json(cache)
        if (content["schema"], content["pillow"]) != (_SCHEMA, PIL.__version__):
            return {}
        if content["sha256"] != _sha256(content["images"]):
            log.warning("%s is damaged; reading the images again", cache)
            cache.unlink(missing_ok=True)
            return {}
        rows = {name: _row_of(values) for name, values in content["images"].items()}
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return {}
    return rows if all(map(_is_valid, rows.values())) else {}


def _row_of(values: Sequence[Any]) -> Hashed:
    row = Hashed(*values)
    return replace(row, conversions=tuple(row.conversions))


def _is_valid(row: Hashed) -> bool:
    numbers = (*_state_of(row), row.width, row.height, row.brightest)
    return (
        all(type(number) is int for number in numbers)
        and type(row.sha256) is str
        and len(row.sha256) == 64
        and set(row.conversions) <= set(CONVERSIONS)
    )


def _write_cache(cache: Path, rows: dict[str, Hashed]) -> None:
    """Replace the cache. Requires its lock: concurrent commands must not lose each other's rows."""
    files.require_space(cache.parent, len(rows) * _BYTES_PER_ROW, "the cache of pixel hashes")
    images = {name: list(astuple(row)) for name, row in rows.items()}
    content = {"schema": _SCHEMA, "pillow": PIL.__version__, "sha256": _sha256(images), "images": images}
    files.write_json(cache, content)


def _sha256(images: object) -> str:
    return hashlib.sha256(json.dumps(images, sort_keys=True).encode()).hexdigest()
