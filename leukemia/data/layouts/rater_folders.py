"""Folders side by side with the same images in other classes, as of several raters."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import TypeAlias

from leukemia.data.classes import LabelError
from leukemia.data.layouts.masks import MOST_FOLDERS
from leukemia.data.layouts.reduced_copies import LEAST_PAIRS, MOST_SEEN, are_alike
from leukemia.data.layouts.source import Row, Source

LEAST_SHARED = 0.5
"""Such a share of the images of the smaller of two folders is in the other one."""

_Images: TypeAlias = Mapping[tuple[str, ...], Row]
"""The images of a folder, by their other folders, but those of classes, and their stem."""


def refuse_rater_folders(data: Path, source: Source) -> None:
    """Refuse class folders in two folders of one level that have the same images, by name and pixels, and some of them
    in another class.

    Raises:
        LabelError: the folders, how many images have different labels, and what to give.
    """
    if source.layout != "folders":
        return
    inside = [(row, row.path.relative_to(source.root).parts[:-1]) for row in source.rows]
    for level in range(max((len(folders) for _, folders in inside), default=0)):
        raters: dict[tuple[str, ...], dict[tuple[str, ...], Row]] = {}
        unclear = set()
        for row, folders in inside:
            if len(folders) <= level or folders[level] == row.word:
                continue
            above, name = folders[:level], folders[: level + 1]
            place = (*above, *(each for each in folders[level + 1 :] if each != row.word), row.path.stem)
            if place in raters.setdefault(name, {}):
                unclear.add(name)
            raters[name][place] = row
        names = [name for name in sorted(raters) if name not in unclear]
        if 1 < len(names) <= MOST_FOLDERS:
            _check(data, source.root, {name: raters[name] for name in names})


def _check(data: Path, root: Path, raters: Mapping[tuple[str, ...], _Images]) -> None:
    for one in raters:
        alike = [one]
        unlike: set[tuple[str, ...]] = set()
        for other in raters:
            if other > one and (different := _unlike(raters[one], raters[other])):
                alike.append(other)
                unlike |= different
        if unlike:
            place = min(unlike)
            examples = [raters[name][place] for name in alike if place in raters[name]]
            shown = ", ".join(row.path.relative_to(root).as_posix() for row in examples)
            folders = [str(root.joinpath(*name)) for name in alike]
            raise LabelError(
                f"{data}: the folders {', '.join('/'.join(name) for name in alike)} have the same images, by their "
                f"names and pixels, and {len(unlike)} of them in different classes, such as {shown}; give one of them: "
                f"{' or '.join(map(shlex.quote, folders))}"
            )


def _unlike(one: _Images, other: _Images) -> set[tuple[str, ...]]:
    """The images of two folders that have different labels; empty if these are not the same images."""
    shared = sorted(one.keys() & other.keys())
    unlike = {place for place in shared if one[place].label != other[place].label}
    if not unlike or len(shared) < max(LEAST_PAIRS, LEAST_SHARED * min(len(one), len(other))):
        return set()
    # Some of them in different classes: images may be numbered in each folder.
    places = [*sorted(unlike)[: MOST_SEEN // 2], *[each for each in shared if each not in unlike][: MOST_SEEN // 2]]
    return unlike if are_alike([(one[place].path, other[place].path) for place in places]) else set()
