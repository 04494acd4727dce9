"""Files of decoded images in the cache: their names, and their writing, row by row as images are decoded."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import numpy as np

from leukemia.base.files import cache_dir, make_folder, require_space
from leukemia.data import array_file
from leukemia.data.view import View, framed


def path_of(fingerprint: str, view: View) -> Path:
    """Where a catalogue's images in one view are stored; the folder is created if absent."""
    return _path(fingerprint[:16], view)


def is_written(fingerprint: str, view: View, hashes: Iterable[str]) -> bool:
    """Whether a catalogue's images in one view are stored, or a first reading has stored them for ``adopt``."""
    return path_of(fingerprint, view).exists() or _read_path(hashes, view).exists()


def shape_of(num_images: int, view: View) -> tuple[int, ...]:
    """Shape of the array: (n, size_px, size_px, 3)."""
    return num_images, view.size_px, view.size_px, 3


@contextlib.contextmanager
def written(path: Path, num_images: int, view: View) -> Iterator[Callable[[int, np.ndarray], None]]:
    """Write a view atomically. Nothing else may write ``path``: its temporary files are leftovers, and are removed.

    Yields:
        A function to call once with the number of each row and its decoded image, (H, W, 3) uint8, from any thread. It
        raises as ``framed``.

    Raises:
        UserError: there is not enough disk space.
    """
    for leftover in path.parent.glob(f".{path.name}.*.tmp"):
        leftover.unlink()
    shape = shape_of(num_images, view)
    require_space(path.parent, array_file.size_of(shape), f"the decoded images ({num_images} of {view.size_px} px)")
    with array_file.written(path, shape) as put:
        yield lambda row, image: put(row, framed(image, view))


@contextlib.contextmanager
def first_reading(key: str, num_images: int, view: View) -> Iterator[Callable[[int, np.ndarray, str], None]]:
    """Write a view while the images are hashed, for ``adopt``: the fingerprint of their catalogue is not known yet.

    Args:
        key: identifies the images; nothing else may read images with this key meanwhile.

    Yields:
        As ``written``; the function's last argument is the pixel hash of the image.
    """
    path, hashes = _path(f"reading-{key}", view), [""] * num_images
    with written(path, num_images, view) as put:

        def keep(row: int, image: np.ndarray, sha256: str) -> None:
            put(row, image)
            hashes[row] = sha256

        yield keep
    path.replace(_read_path(hashes, view))


def remove_leftovers(key: str) -> None:
    """Remove what a killed first reading of images with this key has left, in whatever view."""
    for leftover in _folder().glob(f"*reading-{key}-*"):
        leftover.unlink()


def adopt(path: Path, view: View, hashes: Iterable[str]) -> None:
    """Give the view of a first reading its name ``path``, if there is one; it replaces an earlier file.

    Args:
        hashes: pixel hashes of the images, in the order of the rows.
    """
    with contextlib.suppress(FileNotFoundError):
        _read_path(hashes, view).replace(path)


def _read_path(hashes: Iterable[str], view: View) -> Path:
    return _path(f"read-{hashlib.sha256(''.join(hashes).encode()).hexdigest()[:16]}", view)


def _path(name: str, view: View) -> Path:
    folder = _folder()
    make_folder(folder, "set LEUKEMIA_CACHE to a folder that you can write")
    return folder / f"{name}-{view.name}.npy"


def _folder() -> Path:
    return cache_dir() / "views"
