"""Atomic writes, checked JSON, disk-space checks, and the cache directory."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import shutil
import stat
import tempfile
import uuid
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

from leukemia.base.errors import UserError, first_line

MIN_INODES = 100
"""Free inodes needed to write anything; a study has about ten files per trial."""


CACHE_ADVICE = "set LEUKEMIA_CACHE to a folder that you can write"


def cache_path() -> Path:
    """Where the cache is or would be: ``LEUKEMIA_CACHE``, default ``~/.cache/leukemia``; nothing is created.

    Absolute, since Ray's workers have other working directories; ``~`` is expanded.

    Raises:
        UserError: there is no home directory or no working directory.
    """
    named = os.environ.get("LEUKEMIA_CACHE") or "~/.cache/leukemia"
    try:
        return Path(named).expanduser().absolute()
    except (OSError, RuntimeError) as error:
        raise UserError(f"cannot use the folder {named} ({first_line(error)}); {CACHE_ADVICE}") from None


def cache_dir() -> Path:
    """The directory for decoded images and the sample set, as in ``cache_path``; created if absent.

    Raises:
        UserError: as in ``cache_path``; or the folder cannot be created or is not writable.
    """
    folder = cache_path()
    make_folder(folder, CACHE_ADVICE)
    return folder


def resolved(path: Path, advice: str) -> Path:
    """The absolute path, without links.

    Raises:
        UserError: links form a circle, or the working directory was removed; the message ends with ``advice``.
    """
    try:
        return path.resolve()
    except (OSError, RuntimeError) as error:
        # Of a circle, RuntimeError before Python 3.13, and no error of ``resolve`` since.
        raise UserError(f"{path}: not a valid path ({first_line(error)}); {advice}") from None


def make_folder(folder: Path, advice: str) -> None:
    """Create a folder and its parents if absent.

    Raises:
        UserError: that fails, or the folder is not writable; the message ends with ``advice``.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"cannot create the folder {folder} ({error.strerror}); {advice}") from None
    if not os.access(folder, os.W_OK):
        raise UserError(f"cannot write to the folder {folder}; {advice}")


def require_creatable(folder: Path, advice: str) -> None:
    """Check that a folder exists and is writable, or can be created; no file remains.

    Raises:
        UserError: it is not; the message ends with ``advice``.
    """
    # The working directory exists, and ends the parents of a relative path.
    existing = next(each for each in (folder, *folder.parents) if os.path.lexists(each))
    if not existing.is_dir():
        raise UserError(f"cannot create the folder {folder} ({existing} is not a folder); {advice}")
    try:
        # Permissions alone do not tell, least of all those of root.
        with tempfile.TemporaryFile(dir=existing):
            pass
    except OSError:
        raise UserError(f"cannot write to the folder {existing}; {advice}") from None


@contextlib.contextmanager
def atomic(path: Path) -> Iterator[Path]:
    """A temporary path next to ``path``: renamed to ``path`` on success, deleted on failure."""
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.tmp")
    try:
        yield temporary
        # The rename must not reach the disk before the bytes do.
        with temporary.open("rb") as stream:
            os.fsync(stream.fileno())
        temporary.replace(path)
        _sync_folder(path.parent)
    except OSError as error:
        # An error of a write does not name the file.
        error.filename = error.filename or str(path)
        raise
    finally:
        temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def atomic_folder(path: Path) -> Iterator[Path]:
    """A temporary folder next to ``path``: renamed to ``path`` on success, deleted on failure.

    Raises:
        OSError: ``path`` exists and is not an empty folder; it is unchanged.
    """
    # A link to an empty folder stays a link.
    path = path.resolve()
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.tmp")
    try:
        temporary.mkdir()
        yield temporary
        temporary.rename(path)
        _sync_folder(path.parent)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _sync_folder(folder: Path) -> None:
    """Have the disk store the names in a folder: without it, a rename may be lost when the machine loses power."""
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    except PermissionError:
        # A folder may be writable without being readable.
        return
    try:
        os.fsync(descriptor)
    except OSError as error:
        # Some network file systems cannot sync a folder.
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):
            raise
    finally:
        os.close(descriptor)


def is_temporary(path: Path) -> bool:
    """Whether ``atomic`` or ``atomic_folder`` has made this path; left behind only by a crash."""
    return path.name.startswith(".") and path.name.endswith(".tmp")


@contextlib.contextmanager
def removing_empty(folder: Path) -> Iterator[None]:
    """Afterwards, remove the folder and its parents as far as they did not exist before and are empty."""
    absent = [each for each in (folder, *folder.parents) if not each.exists()]
    try:
        yield
    finally:
        for each in absent:
            with contextlib.suppress(OSError):
                each.rmdir()


_NOT_FILES = {
    stat.S_IFIFO: "a pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


def open_file(path: Path) -> BinaryIO:
    """Open a file for reading.

    Raises:
        OSError: it cannot be opened, or is a pipe, socket or device: to read one may wait or go on for ever.
    """
    if what := _NOT_FILES.get(stat.S_IFMT(path.stat().st_mode)):
        raise OSError(errno.EINVAL, f"{what}, not a file", str(path))
    return path.open("rb")


def read_file(path: Path) -> bytes:
    """The content of a file.

    Raises:
        OSError: as for ``open_file``.
    """
    with open_file(path) as stream:
        return stream.read()


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 text atomically."""
    with atomic(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path, value: Any) -> None:
    """Write JSON atomically.

    Raises:
        ValueError: NaN or infinity, which JSON does not have.
    """
    write_text(path, json.dumps(value, indent=2, allow_nan=False) + "\n")


def parse_json(content: str | bytes) -> Any:
    """The value of a JSON text in UTF-8, which may come from a stranger.

    Raises:
        ValueError: it is not JSON, or nested too deeply.
    """
    try:
        return json.loads(content if isinstance(content, str) else content.decode())
    except RecursionError as error:
        raise ValueError(str(error)) from None


def read_json(path: Path) -> Any:
    """Read JSON.

    Raises:
        UserError: the file cannot be read or is not JSON.
    """
    try:
        return parse_json(read_file(path))
    except ValueError as error:
        raise UserError(f"{path}: expected JSON ({error}); restore the file from a backup") from None
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}); restore the file from a backup") from None


def require_writable(folder: Path) -> None:
    """Check that files can be created in a folder, by creating one: permissions alone do not tell.

    Raises:
        UserError: they cannot.
    """
    try:
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise not_writable(folder, error) from None


def refuse_links(folder: Path, names: Iterable[str]) -> None:
    """Refuse files that are about to be changed in place if they are links: others' files would be changed.

    Raises:
        UserError: one is a link.
    """
    for path in (folder / name for name in names):
        if path.is_symlink():
            raise UserError(f"{path}: expected a file, got a link, whose target would be changed; remove it")


def not_writable(folder: Path, error: OSError) -> UserError:
    """The error for a folder in which no file can be created."""
    return UserError(
        f"cannot write to {folder} ({error.strerror}); make it writable, or copy it to a place where you can write"
    )


def require_space(folder: Path, num_bytes: int, what: str) -> None:
    """Check that there is enough disk space before writing ``what``.

    Raises:
        UserError: ``folder``'s disk has less than ``num_bytes`` free, or can hold no more files.
    """
    status = os.statvfs(folder)
    # File systems without a fixed number of inodes report 0.
    if status.f_files and status.f_favail < MIN_INODES:
        raise UserError(
            f"not enough free inodes for {what}: the disk of {folder} can hold {status.f_favail} more files; remove "
            "files, or set LEUKEMIA_CACHE or --runs to another disk"
        )
    free = shutil.disk_usage(folder).free
    if free < num_bytes:
        raise UserError(
            f"not enough disk space for {what}: {_megabytes(num_bytes)} needed in {folder}, {_megabytes(free)} free; "
            "free some space, or set LEUKEMIA_CACHE or --runs to another disk"
        )


def _megabytes(num_bytes: int) -> str:
    """A size in MB, with decimals below 10.

    >>> _megabytes(1_234_500_000), _megabytes(24_800), _megabytes(0)
    ('1,234 MB', '0.025 MB', '0 MB')
    """
    return f"{num_bytes / 1e6:,.0f} MB" if num_bytes >= 1e7 else f"{num_bytes / 1e6:.2g} MB"
