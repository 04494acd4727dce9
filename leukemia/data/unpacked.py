"""Paths without the folders that programs for archives create: ``ALL_2019/ALL_2019/P1``, with nothing else above."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence

_LEVELS = re.compile(r"\^?(?:\[\^/\]\+/)*")


def outer_folders(image_ids: Sequence[str]) -> list[frozenset[int]]:
    """Per path, the levels of folders that contain nothing but a folder of the same name.

    >>> [sorted(each) for each in outer_folders(["a/a/1.png", "a/a/2.png", "b/b/1.png", "b/c/1.png"])]
    [[0], [0], [], []]
    """
    below = defaultdict(set)
    split = [tuple(image_id.split("/")) for image_id in image_ids]
    for parts in split:
        for level in range(len(parts)):
            below[parts[:level]].add((parts[level], level < len(parts) - 1))
    return [
        frozenset(level for level in range(len(parts) - 2) if below[parts[: level + 1]] == {(parts[level], True)})
        for parts in split
    ]


def unpacked(image_ids: Sequence[str]) -> list[str]:
    """The paths without these folders, if the paths differ in how many they have; else as they are: a pattern then
    counts the same levels in all.

    >>> unpacked(["a/a/p1/1.png", "b/p1/1.png"]), unpacked(["a/a/p1/1.png", "b/b/p1/1.png"])
    (['a/p1/1.png', 'b/p1/1.png'], ['a/a/p1/1.png', 'b/b/p1/1.png'])
    """
    outer = outer_folders(image_ids)
    if len(set(map(len, outer))) < 2:
        return list(image_ids)
    return [without(image_id, levels) for image_id, levels in zip(image_ids, outer, strict=True)]


def without(path: str, levels: frozenset[int]) -> str:
    """A path without the folders of these levels."""
    return "/".join(name for level, name in enumerate(path.split("/")) if level not in levels)


def for_whole_paths(pattern: str, image_ids: Sequence[str]) -> str | None:
    """A pattern that reads in the paths what another one, with one group, reads in the ``unpacked`` ones: the same one,
    or one that counts levels from the end. None if neither does."""
    short = unpacked(image_ids)
    wanted = _read(pattern, short)
    levels = _LEVELS.match(pattern)
    ends = {path.count("/") - match.group().count("/") for path in short if (match := re.search(pattern, path))}
    rest = pattern[levels.end() :] if levels else pattern
    from_end = rest if rest.endswith("$") or len(ends) != 1 else f"{rest}{'[^/]+/' * ends.pop()}[^/]+$"
    return next((each for each in (pattern, from_end) if _read(each, image_ids) == wanted), None)


def _read(pattern: str, paths: Sequence[str]) -> list[str | None]:
    return [match[1] if (match := re.search(pattern, path)) else None for path in paths]
