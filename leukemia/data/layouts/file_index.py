"""An index of the files below a folder: which of them is meant by a path that was written on another machine."""

from __future__ import annotations

import re
from collections import defaultdict
from functools import cached_property
from pathlib import Path

from leukemia.data.layouts.source import walk_folders

_SPLIT = re.compile(r"(?<![a-z])(train|val|test|fold[ _-]?\d+)")
"""The part of a split that a folder is named for, such as ``valid``, ``training_data`` or ``fold_0``."""


class FileIndex:
    """The files below a folder, found by the last folders and the name of a path, or by name. Reads folders once."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._places: dict[tuple[str, ...], list[Path]] = {}

    def with_end(self, folders: tuple[str, ...], name: str) -> list[Path]:
        """The files called ``name`` in the folders that are meant by a path's ``folders``, outermost first.

        These are the folders below the root, or the root itself, whose absolute path shares the longest end with
        ``folders``, at least one folder. A file that they lack is missing: other folders are not searched, for its
        namesake there is another image. For the same reason no folder stands for one of another part of a split.
        """
        if folders not in self._places:
            self._places[folders] = self._meant_by(folders)
        return [folder / name for folder in self._places[folders] if name in self._files[folder]]

    def called(self, name: str) -> list[Path]:
        """The files of this name in any folder."""
        return self._named.get(name, [])

    def _meant_by(self, folders: tuple[str, ...]) -> list[Path]:
        shared = {folder: _num_shared(folders, folder.parts) for folder in self._by_name.get(folders[-1], [])}
        longest = max(shared.values(), default=0)
        return [
            folder
            for folder, number in shared.items()
            if number == longest and not self._exchanges(folders[:-number], folder, number)
        ]

    def _exchanges(self, replaced: tuple[str, ...], folder: Path, num_shared: int) -> bool:
        """Whether folders of one part of a split would be replaced with those of another."""
        inside = (self._root.name, *folder.relative_to(self._root).parts)
        parts = part_of_split(replaced), part_of_split(inside[: max(0, len(inside) - num_shared)])
        return None not in parts and parts[0] != parts[1]

    @cached_property
    def _files(self) -> dict[Path, frozenset[str]]:
        return {folder: frozenset(names) for folder, names in walk_folders(self._root)}

    @cached_property
    def _by_name(self) -> dict[str, list[Path]]:
        folders = defaultdict(list)
        for folder in self._files:
            folders[folder.name].append(folder)
        return dict(folders)

    @cached_property
    def _named(self) -> dict[str, list[Path]]:
        paths = defaultdict(list)
        for folder, names in self._files.items():
            for name in names:
                paths[name].append(folder / name)
        return dict(paths)


def _num_shared(one: tuple[str, ...], other: tuple[str, ...]) -> int:
    """How many of the last items are equal."""
    pairs = zip(reversed(one), reversed(other), strict=False)
    return next((number for number, (a, b) in enumerate(pairs) if a != b), min(len(one), len(other)))


def part_of_split(folders: tuple[str, ...]) -> str | None:
    """The part of a split that the innermost such folder is named for; None if there is none."""
    found = (_SPLIT.search(name.lower()) for name in reversed(folders))
    return next((match[1] for match in found if match), None)
