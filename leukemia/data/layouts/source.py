"""The images of a data set as read from any layout; walking folders; the layouts that consist of plain folders."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NoReturn

from leukemia.base.errors import UserError, listed

Layout = Literal["cnmc", "csv", "folders"]

IMAGE_SUFFIXES = (".bmp", ".jpg", ".jpeg", ".png", ".tif", ".tiff", ".webp")
"""Suffixes of image files in a folder, ignoring case; files listed in a CSV may have any name."""

CLASS_FOLDERS = {
    "hem": 0,
    "normal": 0,
    "benign": 0,
    "0": 0,
    "all": 1,
    "leukemic": 1,
    "leukemia": 1,
    "malignant": 1,
    "1": 1,
}
"""Label by lower-case name of a class folder."""


@dataclass(frozen=True, kw_only=True)
class Row:
    """One image, not read yet."""

    path: Path
    """Path of the file, below the root of its source."""

    label: int | None
    """0 normal, 1 leukemic, None if unknown."""

    subject: str | None
    """The patient; None if unknown."""


@dataclass(frozen=True, kw_only=True)
class Source:
    """All images of a data set, in one layout."""

    layout: Layout
    root: Path
    """The folder that image ids are relative to."""

    rows: tuple[Row, ...]
    excluded: tuple[str, ...] = ()
    """Other images found and deliberately excluded: folder and number of images."""

    notes: tuple[str, ...] = ()


def walk(folder: Path) -> Iterator[Path]:
    """Every file below ``folder``, sorted, following links but visiting each folder once, without OS metadata files."""
    seen = set()
    for base, folders, names in os.walk(folder, followlinks=True, onerror=_raise_unreadable):
        real = os.path.realpath(base)
        folders[:] = [] if real in seen else sorted(name for name in folders if not is_os_metadata(name))
        if real not in seen:
            yield from (Path(base, name) for name in sorted(names) if not is_os_metadata(name))
        seen.add(real)


def is_os_metadata(name: str) -> bool:
    """Whether a file or folder is hidden or OS metadata."""
    return name.startswith(".") or name.lower() in ("__macosx", "thumbs.db", "desktop.ini", "$recycle.bin")


def is_image(path: Path) -> bool:
    """Whether the file has an image suffix."""
    return path.suffix.lower() in IMAGE_SUFFIXES


def subfolders(folder: Path) -> list[Path]:
    """The folders directly in ``folder``, sorted, without OS metadata."""
    return [path for path in _entries(folder) if path.is_dir()]


def direct_images(folder: Path) -> list[Path]:
    """The images directly in ``folder``, sorted."""
    return [path for path in _entries(folder) if is_image(path) and not path.is_dir()]


def _entries(folder: Path) -> list[Path]:
    try:
        return sorted(path for path in folder.iterdir() if not is_os_metadata(path.name))
    except OSError as error:
        _raise_unreadable(error)


def _raise_unreadable(error: OSError) -> NoReturn:
    raise UserError(f"cannot read the folder {error.filename} ({error.strerror}); check its permissions") from None


def class_folders(data: Path) -> Source | None:
    """The images below folders named by class (``CLASS_FOLDERS``); None if there is no such folder.

    Raises:
        UserError: images outside these folders.
    """
    folders = subfolders(data)
    known = [folder for folder in folders if folder.name.lower() in CLASS_FOLDERS]
    if not known:
        return None
    unknown_folders = [folder.name for folder in folders if folder not in known and any(map(is_image, walk(folder)))]
    misplaced = [path.name for path in direct_images(data)]
    if unknown_folders or misplaced:
        raise UserError(
            f"{data}: images must be in folders named by class ({', '.join(CLASS_FOLDERS)}); "
            f"rename, move or remove these:\n{listed([*(f'{name}/' for name in unknown_folders), *misplaced])}"
        )
    rows = tuple(
        Row(path=path, label=CLASS_FOLDERS[folder.name.lower()], subject=None)
        for folder in known
        for path in walk(folder)
        if is_image(path)
    )
    return Source(layout="folders", root=data, rows=rows, notes=ignored_files(data, known))


def flat_folder(data: Path) -> Source | None:
    """Unlabelled images directly in ``data``; None if there are none."""
    rows = tuple(Row(path=path, label=None, subject=None) for path in direct_images(data))
    return Source(layout="folders", root=data, rows=rows, notes=ignored_files(data, [])) if rows else None


def ignored_files(root: Path, folders: list[Path]) -> tuple[str, ...]:
    """A note on files in these folders without an image suffix; empty if there are none."""
    others = [path.relative_to(root).as_posix() for folder in folders for path in walk(folder) if not is_image(path)]
    if not others:
        return ()
    return (f"ignored {len(others)} files without an image suffix, the first is {others[0]}",)
