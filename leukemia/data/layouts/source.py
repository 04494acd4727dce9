"""Where images come from: the rows that every layout is read into, and the walk through folders that all share."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NoReturn

from leukemia.base.errors import UserError, listed

Layout = Literal["cnmc", "csv", "folders"]

IMAGE_SUFFIXES = (".bmp", ".jpg", ".jpeg", ".png", ".tif", ".tiff", ".webp")
"""Which files of a folder are images, by name and whatever the case; a file that a CSV names may be called anything."""

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
"""Label by the name of a class folder, lower case."""


@dataclass(frozen=True, kw_only=True)
class Row:
    """One image, named but not yet read."""

    path: Path
    """Where it lies, below its source's root."""

    label: int | None
    """0 normal, 1 leukemic, None unknown."""

    subject: str | None
    """The patient, None if unknown."""


@dataclass(frozen=True, kw_only=True)
class Source:
    """All images of a data set, in one layout."""

    layout: Layout
    root: Path
    """The folder that image ids are relative to."""

    rows: tuple[Row, ...]
    apart: tuple[str, ...] = ()
    """Images seen beside these and left out on purpose: folder and number."""

    notes: tuple[str, ...] = ()


def walk(folder: Path) -> Iterator[Path]:
    """Every file below ``folder``, sorted, through links, each folder once; system droppings are left out."""
    seen = set()
    for base, folders, names in os.walk(folder, followlinks=True, onerror=_refuse_folder):
        real = os.path.realpath(base)
        folders[:] = [] if real in seen else sorted(name for name in folders if not is_os_metadata(name))
        if real not in seen:
            yield from (Path(base, name) for name in sorted(names) if not is_os_metadata(name))
        seen.add(real)


def is_os_metadata(name: str) -> bool:
    """Whether an operating system left this file or folder behind, hidden ones included."""
    return name.startswith(".") or name.lower() in ("__macosx", "thumbs.db", "desktop.ini", "$recycle.bin")


def is_image(path: Path) -> bool:
    """Whether the name says that the file is an image."""
    return path.suffix.lower() in IMAGE_SUFFIXES


def subfolders(folder: Path) -> list[Path]:
    """The folders directly in ``folder``, sorted, without system droppings."""
    return [path for path in _entries(folder) if path.is_dir()]


def direct_images(folder: Path) -> list[Path]:
    """The images directly in ``folder``, sorted."""
    return [path for path in _entries(folder) if is_image(path) and not path.is_dir()]


def _entries(folder: Path) -> list[Path]:
    try:
        return sorted(path for path in folder.iterdir() if not is_os_metadata(path.name))
    except OSError as error:
        _refuse_folder(error)


def _refuse_folder(error: OSError) -> NoReturn:
    raise UserError(f"cannot read the folder {error.filename} ({error.strerror}); check its permissions") from None


def class_folders(data: Path) -> Source | None:
    """The images below folders named by class (``CLASS_FOLDERS``); None where there is no such folder.

    Raises:
        UserError: folders with images that no class is known by.
    """
    folders = subfolders(data)
    known = [folder for folder in folders if folder.name.lower() in CLASS_FOLDERS]
    if not known:
        return None
    strangers = [folder.name for folder in folders if folder not in known and any(map(is_image, walk(folder)))]
    strays = [path.name for path in direct_images(data)]
    if strangers or strays:
        raise UserError(
            f"{data}: images must lie in folders named by class ({', '.join(CLASS_FOLDERS)}); also found, "
            f"rename, sort or remove:\n{listed([*(f'{name}/' for name in strangers), *strays])}"
        )
    rows = tuple(
        Row(path=path, label=CLASS_FOLDERS[folder.name.lower()], subject=None)
        for folder in known
        for path in walk(folder)
        if is_image(path)
    )
    return Source(layout="folders", root=data, rows=rows, notes=left_out(data, known))


def flat_folder(data: Path) -> Source | None:
    """Unlabelled images directly in ``data``; None where there are none."""
    rows = tuple(Row(path=path, label=None, subject=None) for path in direct_images(data))
    return Source(layout="folders", root=data, rows=rows, notes=left_out(data, [])) if rows else None


def left_out(root: Path, folders: list[Path]) -> tuple[str, ...]:
    """A note on files in these folders that are no images by their name; empty where there are none."""
    others = [path.relative_to(root).as_posix() for folder in folders for path in walk(folder) if not is_image(path)]
    if not others:
        return ()
    return (f"{len(others)} files that are no images by their name were left out, the first is {others[0]}",)
