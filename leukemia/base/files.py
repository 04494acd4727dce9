"""Files that are whole or absent: written under a temporary name and renamed; locks; room on the disk; the cache."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from leukemia.base.errors import UserError


def cache_dir() -> Path:
    """Where decoded images and the sample set lie: ``LEUKEMIA_CACHE``, else ``~/.cache/leukemia``; made if absent.

    Raises:
        UserError: the folder cannot be made or written.
    """
    folder = Path(os.environ.get("LEUKEMIA_CACHE") or Path.home() / ".cache" / "leukemia")
    make_folder(folder, "set LEUKEMIA_CACHE to a folder that you can write")
    return folder


def make_folder(folder: Path, advice: str) -> None:
    """Make a folder, its parents too, or say in one line why not and what to do (``advice``)."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"cannot make the folder {folder} ({error.strerror}); {advice}") from None
    if not os.access(folder, os.W_OK):
        raise UserError(f"cannot write to the folder {folder}; {advice}")


@contextlib.contextmanager
def atomic(path: Path) -> Iterator[Path]:
    """A temporary path beside ``path`` to write to; renamed to ``path`` at the end, removed when anything fails."""
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.tmp")
    try:
        yield temporary
        # The rename must not reach the disk before the bytes do.
        with temporary.open("rb") as stream:
            os.fsync(stream.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 text, whole or not at all."""
    with atomic(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path, value: Any) -> None:
    """Write JSON, whole or not at all. NaN and infinity are refused: they are not JSON."""
    write_text(path, json.dumps(value, indent=2, allow_nan=False) + "\n")


def read_json(path: Path) -> Any:
    """Read JSON, or say in one line what is wrong with the file."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise UserError(
            f"{path}: expected JSON, got something else ({error}); restore the file from a backup"
        ) from None
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}); restore the file from a backup") from None


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold an exclusive lock on the file ``path``, waiting for it; the system releases it when a process dies."""
    with path.open("a") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        yield


def require_space(folder: Path, num_bytes: int, what: str) -> None:
    """Refuse to begin what the disk cannot hold.

    Raises:
        UserError: ``folder``'s disk has less than ``num_bytes`` free.
    """
    free = shutil.disk_usage(folder).free
    if free < num_bytes:
        raise UserError(
            f"no disk space for {what}: it needs {num_bytes / 1e6:,.0f} MB in {folder}, {free / 1e6:,.0f} MB are free; "
            "make room, or set LEUKEMIA_CACHE or --runs to another disk"
        )
