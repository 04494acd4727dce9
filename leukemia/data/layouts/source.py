"""The images of a data set as read from any layout, and the folder walk that all layouts share."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from operator import attrgetter
from pathlib import Path
from typing import Literal, NoReturn

from leukemia import CLASS_NAMES
from leukemia.base.errors import UserError
from leukemia.base.quantity import quantity
from leukemia.data.classes import counts, normal_form

Layout = Literal["cnmc", "csv", "folders"]

IMAGE_SUFFIXES = (".bmp", ".jpg", ".jpeg", ".png", ".tif", ".tiff", ".webp")
"""Suffixes of image files in a folder, ignoring case; files listed in a CSV may have any name."""

MOST_SUFFIXES = 5
"""A note on other files counts at most as many suffixes."""

# Of Windows, macOS and Linux, of the NAS systems of Synology and QNAP, and of Picasa; in lower case.
_LEFTOVERS = frozenset(
    "__macosx icon\r thumbs.db thumbs.db:encryptable ehthumbs.db ehthumbs_vista.db desktop.ini $recycle.bin recycler "
    "lost+found @eadir #recycle @recycle picasa.ini".split(" ")
) | {"system volume information"}
# Locks of open documents, and marks of downloaded files.
_LEFTOVER_STARTS, _LEFTOVER_ENDS = "~$", "zone.identifier"


@dataclass(frozen=True, kw_only=True)
class Row:
    """One image, not read yet."""

    path: Path
    """Path of the file, below the root of its source."""

    label: int | None
    """0 normal, 1 leukemic, None if unknown."""

    subject: str | None = None
    """The patient as written; None if none is written."""

    word: str | None = None
    """What the label was read from: a folder's name, or a cell of a CSV; None if the layout itself says the class."""

    subclass: str | None = None
    """The finer class that the data have, such as ``Early`` of leukemic; None if they have none."""

    name: str | None = None
    """What a list calls the image: its ``ID``, or its path as written; None if it is in no list."""

    split: str | None = None
    """The part of the data's own split, such as ``train``; None if they have none."""

    table: Path | None = None
    """The CSV that lists the image; None if it is in none."""

    is_found: bool = False
    """Whether the row of a list stands for several images, of which this is one: nobody chose it."""


@dataclass(frozen=True, kw_only=True)
class Source:
    """All images of a data set, in one layout."""

    layout: Layout
    root: Path
    """The folder that image ids are relative to."""

    rows: tuple[Row, ...]
    excluded: tuple[str, ...] = ()
    """Other images found and deliberately excluded: folder and number of images."""

    beside: tuple[Path, ...] = ()
    """A few images beside class folders, such as overviews of slides, which are left out."""

    notes: tuple[str, ...] = ()
    """Remarks on how the images were found, one line each, without names of images and patients: they are kept in
    records that W&B gets."""

    named_notes: tuple[str, ...] = ()
    """Remarks that name files, which may be called like patients; only printed."""

    num_left_out: int = 0
    """How many images the user's options leave out."""

    split_from: str = ""
    """Where the rows' ``split`` is written, such as ``the column fold``; empty if it is not written."""

    parts: str = ""
    """The parts of a split and what becomes of them, in a few words; empty if there are none."""

    lists: tuple[Path, ...] = ()
    """Lists of the parts of a split beside folders of images, of which a note says what became of them."""

    tables: tuple[Path, ...] = ()
    """The CSVs, and the file with the names of numbers, that were read or that a note names."""

    unread_columns: tuple[str, ...] = ()
    """Columns of a CSV that are called like subjects, but are not read."""

    recurring_columns: tuple[str, ...] = ()
    """Other columns of a CSV whose values recur as patients do."""

    is_sheet: bool = False
    """Whether the images are those of a label sheet."""

    left_columns: tuple[str, ...] = ()
    """Columns of a CSV of which nothing says what they are."""

    @property
    def words(self) -> set[str]:
        """What labels were read from."""
        return {row.word for row in self.rows if row.word is not None}

    @property
    def class_words(self) -> tuple[str, str] | None:
        """What the data call normal and leukemic, such as ``Benign`` and ``Early, Pre, Pro``; None if they only have
        numbers or truth values, or only one class."""
        if self.layout == "cnmc":
            return CLASS_NAMES
        normal, leukemic = (
            [word for word, _ in counts(row.word for row in self.rows if row.word is not None and row.label == label)]
            for label in (0, 1)
        )
        if not normal or not leukemic or all(map(_is_number, (*normal, *leukemic))):
            return None
        return ", ".join(normal), ", ".join(leukemic)


def _is_number(word: str) -> bool:
    """Whether a word is a number or a truth value, which says nothing about its class."""
    return normal_form(word) in ("false", "true") or normal_form(word).lstrip("-").replace(".", "").isdecimal()


def walk(folder: Path) -> Iterator[Path]:
    """Every file below ``folder``, sorted, following links but visiting each folder once, without OS metadata files."""
    for base, names in walk_folders(folder):
        yield from map(base.joinpath, names)


def walk_folders(folder: Path) -> Iterator[tuple[Path, list[str]]]:
    """``folder`` and every folder below, empty ones too, with the names of its files; as ``walk``."""
    seen = set()
    for base, folders, names in os.walk(folder, followlinks=True, onerror=_raise_unreadable):
        real = os.path.realpath(base)
        folders[:] = [] if real in seen else sorted(name for name in folders if not is_os_metadata(name))
        if real not in seen:
            yield Path(base), sorted(name for name in names if not is_os_metadata(name))
        seen.add(real)


def is_os_metadata(name: str) -> bool:
    """Whether a file or folder is hidden or OS metadata."""
    return name.startswith(".") or is_os_leftover(name)


def is_os_leftover(name: str) -> bool:
    """Whether a file or folder that is not hidden was left by an operating system.

    >>> [is_os_leftover(name) for name in ("Thumbs.db", "ehthumbs.db", "1.bmp:Zone.Identifier", "thumbs", "1.bmp")]
    [True, True, True, False, False]
    """
    name = name.lower()
    return name in _LEFTOVERS or name.startswith(_LEFTOVER_STARTS) or name.endswith(_LEFTOVER_ENDS)


def is_image(path: Path) -> bool:
    """Whether the file has an image suffix."""
    return path.suffix.lower() in IMAGE_SUFFIXES


def subfolders(folder: Path) -> list[Path]:
    """The folders directly in ``folder``, sorted, without OS metadata."""
    return [folder / entry.name for entry in _entries(folder) if _is_folder(entry)]


def direct_images(folder: Path) -> list[Path]:
    """The images directly in ``folder``, sorted."""
    return [folder / entry.name for entry in _entries(folder) if is_image(Path(entry.name)) and not _is_folder(entry)]


def direct_others(folder: Path) -> list[Path]:
    """The files directly in ``folder`` without an image suffix, sorted."""
    files = [folder / entry.name for entry in _entries(folder) if not _is_folder(entry)]
    return [path for path in files if not is_image(path)]


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    """Sorted by name, without OS metadata."""
    try:
        with os.scandir(folder) as entries:
            return sorted((entry for entry in entries if not is_os_metadata(entry.name)), key=attrgetter("name"))
    except OSError as error:
        _raise_unreadable(error)


def _is_folder(entry: os.DirEntry[str]) -> bool:
    """Whether it is a folder or a link to one. Takes a system call for links only."""
    return Path(entry).is_dir() if entry.is_symlink() else entry.is_dir()


def _raise_unreadable(error: OSError) -> NoReturn:
    raise UserError(f"cannot read the folder {error.filename} ({error.strerror}); check its permissions") from None


def ignored_files(folders: list[Path], read: Collection[Path] = ()) -> tuple[str, ...]:
    """A note on files in these folders without an image suffix, except those read; empty if there are none."""
    known = set(read)
    others = [path for folder in folders for path in walk(folder) if not is_image(path) and path not in known]
    if not others:
        return ()
    found = Counter(path.suffix.lower() or "no suffix" for path in others).most_common()
    shown = [f"{suffix}: {number}" for suffix, number in sorted(found[:MOST_SUFFIXES])]
    more = [f"others: {sum(number for _, number in found[MOST_SUFFIXES:])}"] if len(found) > MOST_SUFFIXES else []
    return (f"ignored {quantity(len(others), 'file')} without an image suffix ({', '.join([*shown, *more])})",)
