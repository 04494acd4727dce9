"""A uint8 array in a ``.npy`` file with checksums, checked once per process before it is memory-mapped."""

from __future__ import annotations

import contextlib
import io
import logging
import math
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from leukemia.base import checksums
from leukemia.base.files import atomic

log = logging.getLogger(__name__)

_intact: set[tuple[int, ...]] = set()
"""Files that this process has checked, by device, inode, size and times."""


def size_of(shape: tuple[int, ...]) -> int:
    """Size in bytes of the file of an array."""
    return checksums.size_with_checksums(len(_header(shape)) + math.prod(shape))


@contextlib.contextmanager
def written(path: Path, shape: tuple[int, ...]) -> Iterator[Callable[[int, np.ndarray], None]]:
    """Write an array atomically, in any order of its rows.

    Yields:
        A function to call once with the number and the values of each row (contiguous uint8), from any thread.
    """
    start, row_bytes, rows = len(_header(shape)), math.prod(shape[1:]), set[int]()
    with atomic(path) as temporary:
        # Not written through a memory map: a full disk then raises an error instead of SIGBUS.
        with temporary.open("wb", buffering=0) as stream:
            _write_at(stream.fileno(), _header(shape), 0)

            def put(row: int, values: np.ndarray) -> None:
                assert values.dtype == np.uint8
                assert values.shape == shape[1:]
                _write_at(stream.fileno(), values.data.cast("B"), start + row * row_bytes)
                rows.add(row)

            yield put
        assert rows == set(range(shape[0])), "rows of the array are missing"
        checksums.append_checksums(temporary)


def _write_at(file: int, content: bytes | memoryview, offset: int) -> None:
    rest = memoryview(content)
    while rest:
        # On a full disk first a part, then nothing.
        num_written = os.pwrite(file, rest, offset)
        rest, offset = rest[num_written:], offset + num_written


def bind(path: Path, shape: tuple[int, ...]) -> None:
    """Bind an array to the name of its file, so that ``is_intact`` notices another one that was copied over it.

    A file that cannot be changed stays as it is.
    """
    with contextlib.suppress(OSError):
        checksums.bind(path, len(_header(shape)) + math.prod(shape), path.name)


def is_intact(path: Path, shape: tuple[int, ...], *, again: bool = False) -> bool:
    """Whether a file has an array of this shape and agrees with its checksums under its name.

    A file of an earlier version, without checksums, is accepted once and gets them.

    Args:
        again: check the file even if this process has checked it.

    Raises:
        OSError: the file cannot be read.
    """
    if not again and _identity(path) in _intact:
        return True
    header, size = _header(shape), path.stat().st_size
    with path.open("rb") as stream:
        if stream.read(len(header)) != header:
            return False
    if size == len(header) + math.prod(shape):
        _add_checksums(path)
    elif size != size_of(shape) or checksums.check(path, path.name) != "intact":
        return False
    _intact.add(_identity(path))
    return True


def _add_checksums(path: Path) -> None:
    accepted = f"{path} has no checksums (it is of an earlier version): it is used unchecked"
    try:
        checksums.append_checksums(path)
    except OSError as error:
        log.warning("%s, and none can be added (%s)", accepted, error.strerror)
    else:
        log.warning("%s once, and has checksums now", accepted)


def mapped(path: Path) -> np.memmap:
    """The array, read-only and memory-mapped. It is not checked.

    Raises:
        OSError: the file cannot be read, or is shorter than its array.
    """
    try:
        array: np.memmap = np.load(path, mmap_mode="r")
    except (ValueError, EOFError) as error:
        raise OSError(f"{path} is damaged ({error})") from None
    return array


def _header(shape: tuple[int, ...]) -> bytes:
    buffer = io.BytesIO()
    np.lib.format.write_array_header_1_0(buffer, {"descr": "|u1", "fortran_order": False, "shape": shape})
    return buffer.getvalue()


def _identity(path: Path) -> tuple[int, ...]:
    status = path.stat()
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns
