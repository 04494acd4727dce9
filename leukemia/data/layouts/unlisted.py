"""Images of a folder that none of its CSVs lists, where the CSVs cannot be read yet."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from leukemia.base.errors import UserError
from leukemia.base.quantity import are, quantity
from leukemia.data.classes import LabelError, counted, unknown_words
from leukemia.data.layouts.beside import num_common
from leukemia.data.layouts.folder_levels import class_level, levels_of
from leukemia.data.layouts.listed_folder import Folder
from leukemia.data.layouts.listing import Listing
from leukemia.data.layouts.source import is_image, walk
from leukemia.data.reading import Reading
from leukemia.data.subjects import some


@dataclass(frozen=True, kw_only=True)
class Unlisted:
    """Images in no CSV; False if there are none."""

    folders: tuple[tuple[str, ...], ...]
    """Those of each image, below the data."""

    listed: tuple[tuple[str, ...], ...]
    """As ``folders``, of the images in CSVs."""

    def __bool__(self) -> bool:
        return bool(self.folders)

    def __str__(self) -> str:
        names = sorted({"/".join(each) or "." for each in self.folders})
        return (
            f"{quantity(len(self.folders), 'image')} in {some([f'{name}/' for name in names])} "
            f"{are(len(self.folders))} in no CSV"
        )

    @property
    def may_be_meant(self) -> bool:
        """Whether they are more than those that are listed, and in folders that may be classes."""
        level = class_level(levels_of(self.folders))
        beside = any(len(each) == self._num_common for each in self._listed_below())
        return len(self.folders) > len(self.listed) and level is not None and not level.are_fields and not beside

    def refusal(self, data: Path) -> LabelError:
        """The error that says how to read them, where a CSV of fewer images cannot be read."""
        level = class_level(levels_of(self.folders))
        assert level is not None
        folder = data.joinpath(*self.folders[0][: self._num_common])
        others = {each[self._num_common] for each in self._listed_below()}
        place = "" if folder == data else f" the path {shlex.quote(str(folder))} with"
        return unknown_words(
            f"{data}: {self}, and their folders may be classes; {len(self.listed)} others are in a CSV, as those of "
            f"a test set: to read the folders, give{place} --classes",
            level.names,
            None,
            counted(level.names),
            others,
        )

    @property
    def _num_common(self) -> int:
        return num_common(self.folders)

    def _listed_below(self) -> list[tuple[str, ...]]:
        """The folders of listed images that are in the folder that has all the others."""
        common = self.folders[0][: self._num_common] if self.folders else ()
        return [each for each in self.listed if each[: len(common)] == common]


def unlisted_by(listings: Sequence[Listing], data: Path) -> Unlisted:
    """The images below a folder that no CSV lists.

    Args:
        listings: with a column of paths each; without any, no image counts as unlisted.
    """
    read: set[Path] = set()
    for each in listings:
        read |= _images_of(each)
    every = [path for path in walk(data.resolve()) if is_image(path)] if listings else []
    inside = {path: path.relative_to(data.resolve()).parts[:-1] for path in every}
    return Unlisted(
        folders=tuple(folders for path, folders in inside.items() if path not in read),
        listed=tuple(folders for path, folders in inside.items() if path in read),
    )


def _images_of(listing: Listing) -> set[Path]:
    """The images that a CSV lists, as far as they are there."""
    column = listing.path_column
    if column is None or not listing.base.is_dir():
        return set()
    folder = Folder(listing.base.resolve(), Reading.base_option)
    try:
        there = folder.there(listing, column)
        return set(folder.resolve_all(there, column)) if there.rows else set()
    except UserError:
        return set()
