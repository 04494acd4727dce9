"""Archives of arrays (``.npz``) with images and labels, as of MedMNIST: written once as PNG files and a CSV."""

from __future__ import annotations

import csv
import math
import re
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np
from PIL import Image

from leukemia.base import progress
from leukemia.base.errors import UserError, first_line
from leukemia.base.files import atomic_folder, make_folder, require_space
from leukemia.data.pixels import MAX_PIXELS

LISTING = "images.csv"
"""The CSV beside the images: ``Path,label`` and, if the archive has parts, ``split``."""

_EXPECTED = (
    "train_images, train_labels, val_images, ... as in MedMNIST, or images and labels; save them so with numpy.savez"
)
_NAME = re.compile(r"(?:(?P<part>\w+)_)?(?P<content>images|labels)\.npy")
_HEADERS = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}


@dataclass(frozen=True, kw_only=True)
class _Array:
    """The header of an array in an archive."""

    member: str
    shape: tuple[int, ...]
    dtype: np.dtype

    def rows(self, archive: zipfile.ZipFile) -> Iterator[np.ndarray]:
        """Its rows, read one by one."""
        shape, num_bytes = self.shape[1:], self.dtype.itemsize * math.prod(self.shape[1:])
        with archive.open(self.member) as stream:
            _read_header(stream)
            for _ in range(self.shape[0]):
                content = stream.read(num_bytes)
                if len(content) < num_bytes:
                    raise ValueError(f"{self.member} is truncated")
                yield np.frombuffer(content, self.dtype).reshape(shape)
            # To its end, where its checksum is compared.
            stream.read(1)


@dataclass(frozen=True, kw_only=True)
class _Part:
    """The images of one part of the archive's split."""

    name: str | None
    images: _Array
    labels: _Array | None


def unpack(path: Path, folder: Path) -> Path:
    """Write the images of an archive as PNG files, and their labels to a CSV; returns the path of the CSV.

    Images are uint8, (n, height, width) grey or (n, height, width, 3) RGB; labels are integers or text, (n,) or (n, 1),
    and are written as they are. Images are read one by one, and pickles never. On failure no folder remains.

    Raises:
        UserError: the folder exists, or the archive is damaged or has other arrays; or there is not enough disk space.
    """
    if folder.exists() or folder.is_symlink():
        raise UserError(f"{folder} already exists; remove it, or give a new folder")
    make_folder(folder.absolute().parent, "give a folder in a place where you can write")
    try:
        with zipfile.ZipFile(path) as archive:
            parts = _parts(path, archive)
            num_bytes = sum(math.prod(part.images.shape) for part in parts)
            require_space(folder.absolute().parent, num_bytes, "the images")
            with atomic_folder(folder) as temporary:
                _write(archive, parts, temporary)
    except (zipfile.BadZipFile, ValueError, EOFError, NotImplementedError, RuntimeError) as error:
        if isinstance(error, UserError):
            raise
        raise UserError(f"{path}: expected an .npz archive of arrays ({first_line(error)}); copy it again") from None
    return folder / LISTING


def _write(archive: zipfile.ZipFile, parts: list[_Part], folder: Path) -> None:
    has_parts, has_labels = parts[0].name is not None, any(part.labels for part in parts)
    total = sum(part.images.shape[0] for part in parts)
    with (
        progress.bar("writing images", total) as advance,
        (folder / LISTING).open("w", encoding="utf-8", newline="") as stream,
    ):
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(["Path", *(["label"] if has_labels else []), *(["split"] if has_parts else [])])
        for part in parts:
            target = folder / (part.name or "images")
            target.mkdir()
            number_of = len(str(part.images.shape[0] - 1))
            labels = _texts(archive, part.labels) if part.labels else [""] * part.images.shape[0]
            for number, image in enumerate(part.images.rows(archive)):
                file = target / f"{number:0{number_of}d}.png"
                Image.fromarray(image).save(file)
                name = f"{target.name}/{file.name}"
                writer.writerow([name, *([labels[number]] if has_labels else []), *([part.name] if has_parts else [])])
                advance()


def _texts(archive: zipfile.ZipFile, labels: _Array) -> list[str]:
    return [str(row.reshape(-1)[0]) for row in labels.rows(archive)]


def _parts(path: Path, archive: zipfile.ZipFile) -> list[_Part]:
    named = {(match["part"], match["content"]): match[0] for match in map(_NAME.fullmatch, archive.namelist()) if match}
    parts = [part for part, content in named if content == "images"]
    if not parts or (None in parts and len(parts) > 1):
        found = ", ".join(name.removesuffix(".npy") for name in archive.namelist()[:10]) or "nothing"
        raise UserError(f"{path}: expected the arrays {_EXPECTED}; found {found}")
    return [_part(path, archive, part, named) for part in parts]


def _part(path: Path, archive: zipfile.ZipFile, part: str | None, named: dict[tuple[str | None, str], str]) -> _Part:
    images = _array(path, archive, named[part, "images"])
    shape = images.shape
    is_image = len(shape) == 3 or (len(shape) == 4 and shape[3] == 3)
    if images.dtype != np.uint8 or not is_image or 0 in shape or shape[1] * shape[2] > MAX_PIXELS:
        raise _unfit(path, images, "uint8 images of shape (n, height, width) or (n, height, width, 3)")
    labels = _array(path, archive, named[part, "labels"]) if (part, "labels") in named else None
    if labels and (labels.dtype.kind not in "biuU" or labels.shape not in ((shape[0],), (shape[0], 1))):
        raise _unfit(path, labels, f"integers or text of shape ({shape[0]},) or ({shape[0]}, 1), one label per image")
    return _Part(name=part, images=images, labels=labels)


def _array(path: Path, archive: zipfile.ZipFile, member: str) -> _Array:
    with archive.open(member) as stream:
        shape, is_fortran, dtype = _read_header(stream)
    array = _Array(member=member, shape=shape, dtype=dtype)
    if dtype.hasobject:
        raise _unfit(path, array, "plain values, since Python objects are pickles")
    if is_fortran and len(shape) > 1:
        raise _unfit(path, array, "C order (numpy.ascontiguousarray), not Fortran order")
    return array


def _read_header(stream: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype]:
    version = np.lib.format.read_magic(stream)
    if version not in _HEADERS:
        raise ValueError(f"an array in the unknown format {version}")
    return _HEADERS[version](stream)


def _unfit(path: Path, array: _Array, expected: str) -> UserError:
    return UserError(
        f"{path}: array {array.member.removesuffix('.npy')}: expected {expected}, got {array.dtype} {array.shape}; "
        "correct it, and save the archive again"
    )
