"""An index of the files below a folder: which of them is meant by a path that was written on another machine."""

from __future__ import annotations

import re
import unicodedata
from collections import defaultdict
from collections.abc import Callable, Iterable
from functools import cached_property
from pathlib import Path

from leukemia.data.layouts.source import is_image, walk_folders

_SPLIT = re.compile(r"(?<![a-z])(train|val|test|fold[ _-]?\d+)")
"""The part of a split that a folder is named for, such as ``valid``, ``training_data`` or ``fold_0``. Also ``trainA``,
unlike in ``leukemia.data.split.part_of``: here a wrong match refuses a path, and a missed one takes another image."""


_ZEROS = re.compile(r"(?<!\d)0+(?=\d)")


class FileIndex:
    """The files below a folder, found by the last folders and the name of a path, or by name. Reads folders once."""

    def __init__(self, root: Path, *, ignores_zeros: bool = False) -> None:
        self.root = root
        """The folder."""

        self.ignores_zeros = ignores_zeros
        """Whether ``7`` is ``0007`` in the names of files."""

        self._places: dict[tuple[str, ...], _Names] = {}

    def with_end(self, folders: tuple[str, ...], name: str) -> list[Path]:
        """The files called ``name`` in the folders that are meant by a path's ``folders``, outermost first.

        These are the folders below the root, or the root itself, whose absolute path shares the longest end with
        ``folders``, at least one folder; of several, the one that is there as written, or as spelled. A file that they
        lack is missing: other folders are not searched, for its namesake there is another image. For the same reason no
        folder stands for one of another part of a split. Without ``folders``, the root is meant.
        """
        if folders not in self._places:
            meant = self._meant_by(folders) if folders else [self.root]
            self._places[folders] = self._names(folder / each for folder in meant for each in self._files[folder])
        return self._places[folders].called(name)

    def called(self, name: str) -> list[Path]:
        """The files of this name in any folder."""
        return self._everywhere.called(name)

    def folders(self, names: tuple[str, ...]) -> list[Path]:
        """The folders whose paths end with these names, outermost first; at least one name."""
        form = _unpadded if self.ignores_zeros else _key
        keys = tuple(map(form, names))
        inside = self._by_form.get(keys[-1], [])
        return [folder for folder in inside if _num_shared(keys, tuple(map(form, folder.parts))) == len(keys)]

    def images_below(self, folder: Path) -> list[Path]:
        """The images in a folder and in all folders in it."""
        return self._images.get(folder, [])

    def _meant_by(self, folders: tuple[str, ...]) -> list[Path]:
        keys = tuple(map(_key, folders))
        ranks = {}
        for folder in self._by_name.get(keys[-1], []):
            number = _num_shared(keys, tuple(map(_key, folder.parts)))
            is_as_written = len(folder.relative_to(self.root).parts) == len(folders) == number
            ranks[folder] = (number, is_as_written, _num_shared(folders, folder.parts) == number)
        best = max(ranks.values(), default=(0, False, False))
        return [
            folder
            for folder, rank in ranks.items()
            if rank == best and not self._exchanges(folders[: -best[0]], folder, best[0])
        ]

    def _exchanges(self, replaced: tuple[str, ...], folder: Path, num_shared: int) -> bool:
        """Whether folders of one part of a split would be replaced with those of another."""
        inside = (self.root.name, *folder.relative_to(self.root).parts)
        parts = part_of_split(replaced), part_of_split(inside[: max(0, len(inside) - num_shared)])
        return None not in parts and parts[0] != parts[1]

    @cached_property
    def _files(self) -> dict[Path, list[str]]:
        return dict(walk_folders(self.root))

    @cached_property
    def _images(self) -> dict[Path, list[Path]]:
        """The images in each folder and in all folders in it."""
        images: defaultdict[Path, list[Path]] = defaultdict(list)
        for folder, names in self._files.items():
            found = [folder / name for name in names if is_image(Path(name))]
            for each in (folder, *folder.parents):
                images[each] += found
                if each == self.root:
                    break
        return dict(images)

    @cached_property
    def _by_name(self) -> dict[str, list[Path]]:
        folders = defaultdict(list)
        for folder in self._files:
            folders[_key(folder.name)].append(folder)
        return dict(folders)

    @cached_property
    def _by_form(self) -> dict[str, list[Path]]:
        """The folders by name, without leading zeros if these are ignored."""
        if not self.ignores_zeros:
            return self._by_name
        folders = defaultdict(list)
        for folder in self._files:
            folders[_unpadded(folder.name)].append(folder)
        return dict(folders)

    @cached_property
    def _everywhere(self) -> _Names:
        return self._names(folder / name for folder, names in self._files.items() for name in names)

    def _names(self, paths: Iterable[Path]) -> _Names:
        return _Names(paths, _unpadded if self.ignores_zeros else _key)


class _Names:
    """Files by name: as written; else in another case or Unicode form; else by a name without the image's suffix."""

    def __init__(self, paths: Iterable[Path], key: Callable[[str], str]) -> None:
        self._key = key
        self._as_written, self._respelled, self._without_suffix = (
            defaultdict(list),
            defaultdict(list),
            defaultdict(list),
        )
        for path in paths:
            self._as_written[path.name].append(path)
            self._respelled[key(path.name)].append(path)
            if is_image(path):
                self._without_suffix[key(path.stem)].append(path)

    def called(self, name: str) -> list[Path]:
        found = self._as_written.get(name) or self._respelled.get(self._key(name), [])
        return found if found or is_image(Path(name)) else self._without_suffix.get(self._key(name), [])


def _key(name: str) -> str:
    """What spellings of one name share: programs for archives and file systems change case and Unicode form."""
    return unicodedata.normalize("NFC", name).casefold()


def _unpadded(name: str) -> str:
    """As ``_key``, and without leading zeros, which a program that reads ids as numbers takes away."""
    return _ZEROS.sub("", _key(name))


def _num_shared(one: tuple[str, ...], other: tuple[str, ...]) -> int:
    """How many of the last items are equal."""
    pairs = zip(reversed(one), reversed(other), strict=False)
    return next((number for number, (a, b) in enumerate(pairs) if a != b), min(len(one), len(other)))


def part_of_split(folders: tuple[str, ...]) -> str | None:
    """The part of a split that the innermost such folder is named for; None if there is none."""
    found = (_SPLIT.search(name.lower()) for name in reversed(folders))
    return next((match[1] for match in found if match), None)
