"""Folders that all have the same images, such as the folds of a cross-validation that was made by copying."""

from __future__ import annotations

import filecmp
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TypeAlias

NUM_COMPARED = 8
"""So many images of each folder are compared byte by byte."""

_Copies: TypeAlias = Mapping[tuple[str, ...], Path]
"""The images of a folder, by their folders and name without the ones that may differ."""


def copied_folders(root: Path, paths: Sequence[Path], may_differ: Callable[[str], object]) -> list[Path]:
    """The folders at the outermost level where all folders have the same images, sorted; empty if there is none.

    In ``fold1/{train,val}/AML/7.png`` and ``fold2/{train,val}/AML/7.png`` these are ``fold1`` and ``fold2``, whether
    ``7.png`` is in ``train`` or in ``val``.

    Args:
        root: the folder above.
        paths: the images.
        may_differ: whether a folder of this name may have another one in its place.
    """
    inside = [path.relative_to(root).parts for path in paths]
    for level in range(min(map(len, inside), default=1) - 1):
        found: dict[tuple[str, ...], dict[tuple[str, ...], Path]] = {}
        for path, parts in zip(paths, inside, strict=True):
            rest = (*parts[:level], *(name for name in parts[level + 1 : -1] if not may_differ(name)), parts[-1])
            found.setdefault(parts[level : level + 1], {})[rest] = path
        is_complete = sum(map(len, found.values())) == len(paths)
        if is_complete and len(found) > 1 and _are_copies(list(found.values())):
            above = {parts[:level] for parts in inside}
            prefix = above.pop() if len(above) == 1 else ()
            return [root.joinpath(*prefix, *name) for name in sorted(found)]
    return []


def _are_copies(folders: Sequence[_Copies]) -> bool:
    first, *others = folders
    if any(first.keys() != other.keys() for other in others):
        return False
    keys = sorted(first)[:: max(1, len(first) // NUM_COMPARED)]
    return all(_is_same(first[key], other[key]) for key in keys for other in others)


def _is_same(one: Path, other: Path) -> bool:
    try:
        return one.stat().st_size > 0 and filecmp.cmp(one, other, shallow=False)
    except OSError:
        # Unreadable images are listed later, all of them.
        return False
