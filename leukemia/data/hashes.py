"""Pixel hashes of many images: read in parallel, and remembered between commands."""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import astuple, dataclass
from pathlib import Path

import PIL
from rich.console import Console
from rich.progress import track

from leukemia.base import files
from leukemia.base.errors import UserError, listed
from leukemia.data.pixels import Unreadable, decode, pixel_sha256

_MANY = 500
_SCHEMA = 1
_BYTES_PER_ROW = 400


@dataclass(frozen=True)
class Hashed:
    """What is remembered of one image, and the file's size and time by which a changed file is noticed."""

    num_bytes: int
    mtime_ns: int
    sha256: str
    width: int
    height: int


def hash_images(root: Path, paths: Sequence[Path]) -> list[Hashed]:
    """The pixel hash and the size of each image, in the order of ``paths``, which lie below ``root``.

    Images that an earlier call has read are not read again while size and time of their file stay the same.

    Raises:
        UserError: images that cannot be read, all of them listed with the reason.
    """
    cache = _cache_path(root)
    known = _remembered(cache)
    wanted = {path.relative_to(root).as_posix(): path for path in paths}
    states = {name: _state(path) for name, path in wanted.items()}
    fresh = {name: known[name] for name in wanted if name in known and astuple(known[name])[:2] == states[name]}
    failed: dict[str, str] = {}
    unread = {name: path for name, path in wanted.items() if name not in fresh}
    num_known = len(fresh)
    try:
        _read(unread, states, fresh, failed)
    finally:
        # Also after Ctrl-C: what has been read in minutes is not read again.
        if len(fresh) > num_known:
            _remember(cache, fresh)
    if failed:
        lines = listed((f"{name}: {failed[name]}" for name in sorted(failed)), limit=len(failed))
        raise UserError(
            f"{root}: {len(failed)} of {len(wanted)} images cannot be used; restore them, or take them out:\n{lines}"
        )
    return [fresh[name] for name in wanted]


def _read(
    unread: dict[str, Path], states: dict[str, tuple[int, int]], fresh: dict[str, Hashed], failed: dict[str, str]
) -> None:
    pool = ThreadPoolExecutor(os.cpu_count())
    try:
        futures = {pool.submit(_hash, path): name for name, path in unread.items()}
        done = track(
            as_completed(futures),
            description="reading images",
            total=len(futures),
            console=Console(stderr=True),
            disable=len(futures) <= _MANY or not sys.stderr.isatty(),
        )
        for future in done:
            name = futures[future]
            try:
                sha256, width, height = future.result()
                fresh[name] = Hashed(*states[name], sha256, width, height)
            except Unreadable as reason:
                failed[name] = str(reason)
    finally:
        pool.shutdown(cancel_futures=True)


def _hash(path: Path) -> tuple[str, int, int]:
    array = decode(path)
    return pixel_sha256(array), array.shape[1], array.shape[0]


def _state(path: Path) -> tuple[int, int]:
    try:
        stat = path.stat()
    except OSError:
        # The decoder will name the reason.
        return (-1, -1)
    return (stat.st_size, stat.st_mtime_ns)


def _cache_path(root: Path) -> Path:
    folder = files.cache_dir() / "hashes"
    files.make_folder(folder, "set LEUKEMIA_CACHE to a folder that you can write")
    return folder / f"{hashlib.sha256(os.fsencode(root.resolve())).hexdigest()[:32]}.json"


def _remembered(cache: Path) -> dict[str, Hashed]:
    """What is in the cache; nothing where it is absent, damaged or another decoder's: it is then written anew."""
    try:
        content = files.read_json(cache)
        if (content["schema"], content["pillow"]) != (_SCHEMA, PIL.__version__):
            return {}
        rows = {name: Hashed(*values) for name, values in content["images"].items()}
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return {}
    return rows if all(map(_is_sound, rows.values())) else {}


def _is_sound(row: Hashed) -> bool:
    numbers = (row.num_bytes, row.mtime_ns, row.width, row.height)
    return all(type(number) is int for number in numbers) and type(row.sha256) is str and len(row.sha256) == 64


def _remember(cache: Path, fresh: dict[str, Hashed]) -> None:
    """Add to the cache under a lock, so that two commands at once keep each other's rows."""
    with files.locked(cache.with_suffix(".lock")):
        rows = {**_remembered(cache), **fresh}
        files.require_space(cache.parent, len(rows) * _BYTES_PER_ROW, "the cache of pixel hashes")
        images = {name: astuple(row) for name, row in rows.items()}
        files.write_json(cache, {"schema": _SCHEMA, "pillow": PIL.__version__, "images": images})
