"""Pixel hashes of many images, read in parallel and cached on disk."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import sys
from collections.abc import Collection, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import astuple, dataclass
from pathlib import Path

import PIL
from rich.console import Console
from rich.progress import track

from leukemia.base import files, locks
from leukemia.base.cpus import available_cpus
from leukemia.base.errors import UserError, listed
from leukemia.data.pixels import Unreadable, decode, pixel_sha256

FileState = tuple[int, int, int, int]
"""Size in bytes, modification and change time in nanoseconds, inode."""

log = logging.getLogger(__name__)

_PROGRESS_FROM = 500
_SCHEMA = 2
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


def hash_images(root: Path, paths: Sequence[Path]) -> list[Hashed]:
    """The pixel hash and size of each image, in the order of ``paths``, which are below ``root``.

    Cached images are not read again unless the size, a time or the inode of their file has changed.

    Raises:
        UserError: some images cannot be read; all are listed with the reason.
    """
    cache = _cache_path(root)
    cached = _cached_rows(cache)
    wanted = {path.relative_to(root).as_posix(): path for path in paths}
    states = {name: _file_state(path) for name, path in wanted.items()}
    rows = {name: cached[name] for name in wanted if name in cached and _state_of(cached[name]) == states[name]}
    failed: dict[str, str] = {}
    uncached = {name: path for name, path in wanted.items() if name not in rows}
    num_cached = len(rows)
    try:
        _read(uncached, states, rows, failed)
    finally:
        # Also after Ctrl-C: reading may have taken minutes.
        if len(rows) > num_cached:
            _add_to_cache(cache, rows)
    if failed:
        lines = listed((f"{name}: {failed[name]}" for name in sorted(failed)), limit=len(failed))
        raise UserError(
            f"{root}: {len(failed)} of {len(wanted)} images cannot be used; restore or remove them:\n{lines}"
        )
    return [rows[name] for name in wanted]


def forget(root: Path, image_ids: Collection[str]) -> None:
    """Remove images from the cache, so that the next command reads them again.

    Args:
        image_ids: paths relative to ``root``.
    """
    cache = _cache_path(root)
    with locks.locked(cache.with_suffix(".lock")):
        _write_cache(cache, {name: row for name, row in _cached_rows(cache).items() if name not in image_ids})


def _read(
    uncached: dict[str, Path], states: dict[str, FileState], rows: dict[str, Hashed], failed: dict[str, str]
) -> None:
    pool = ThreadPoolExecutor(available_cpus())
    try:
        futures = {pool.submit(_hash, path): name for name, path in uncached.items()}
        done = track(
            as_completed(futures),
            description="reading images",
            total=len(futures),
            console=Console(stderr=True),
            disable=len(futures) <= _PROGRESS_FROM or not sys.stderr.isatty(),
        )
        for future in done:
            name = futures[future]
            try:
                sha256, width, height = future.result()
                rows[name] = Hashed(*states[name], sha256, width, height)
            except Unreadable as reason:
                failed[name] = str(reason)
    finally:
        pool.shutdown(cancel_futures=True)


def _hash(path: Path) -> tuple[str, int, int]:
    array = decode(path)
    return pixel_sha256(array), array.shape[1], array.shape[0]


def _file_state(path: Path) -> FileState:
    try:
        stat = path.stat()
    except OSError:
        # The decoder will report the reason.
        return (-1, -1, -1, -1)
    return (stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino)


def _state_of(row: Hashed) -> FileState:
    return (row.num_bytes, row.mtime_ns, row.ctime_ns, row.inode)


def _cache_path(root: Path) -> Path:
    folder = files.cache_dir() / "hashes"
    files.make_folder(folder, "set LEUKEMIA_CACHE to a folder that you can write")
    return folder / f"{hashlib.sha256(os.fsencode(root.resolve())).hexdigest()[:32]}.json"


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
        rows = {name: Hashed(*values) for name, values in content["images"].items()}
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return {}
    return rows if all(map(_is_valid, rows.values())) else {}


def _is_valid(row: Hashed) -> bool:
    numbers = (*_state_of(row), row.width, row.height)
    return all(type(number) is int for number in numbers) and type(row.sha256) is str and len(row.sha256) == 64


def _add_to_cache(cache: Path, rows: dict[str, Hashed]) -> None:
    """Add rows to the cache, under a lock so that concurrent commands do not lose each other's rows."""
    with locks.locked(cache.with_suffix(".lock")):
        _write_cache(cache, {**_cached_rows(cache), **rows})


def _write_cache(cache: Path, rows: dict[str, Hashed]) -> None:
    files.require_space(cache.parent, len(rows) * _BYTES_PER_ROW, "the cache of pixel hashes")
    images = {name: list(astuple(row)) for name, row in rows.items()}
    content = {"schema": _SCHEMA, "pillow": PIL.__version__, "sha256": _sha256(images), "images": images}
    files.write_json(cache, content)


def _sha256(images: object) -> str:
    return hashlib.sha256(json.dumps(images, sort_keys=True).encode()).hexdigest()
