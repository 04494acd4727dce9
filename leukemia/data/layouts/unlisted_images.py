"""Images of a folder that its tables do not list: how many there are and where, which a reader must not overlook."""

from __future__ import annotations

import dataclasses
import os
import shlex
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from leukemia.base.printable import INDENT
from leukemia.base.quantity import are
from leukemia.data.class_hints import hinted_label
from leukemia.data.classes import LabelError
from leukemia.data.layouts.companions import companions_among
from leukemia.data.layouts.folder_levels import class_level, levels_of
from leukemia.data.layouts.source import Source, is_image, walk
from leukemia.data.reading import Reading
from leukemia.data.split import part_of
from leukemia.data.subjects import some


def with_unlisted(source: Source, data: Path, reading: Reading, *, labels: bool) -> Source:
    """The images, with a first note on those of the given folder that are not read.

    Args:
        source: all images that were found, those that ``--classes`` leaves out too.
        labels: whether labels are required.

    Raises:
        LabelError: images that are not read are in folders that may be classes, so they may be meant, too. Parts of a
            split, and masks and other versions of images, are never meant.
    """
    if source.layout != "csv" or not data.is_dir() or reading.is_partial:
        return source
    unlisted = unlisted_images(source, data.resolve())
    if not unlisted:
        return source
    data = data.resolve()
    number = len(unlisted) + len(source.rows)
    where = some([f"{folder} ({count})" for folder, count in _places(unlisted, data).items()])
    text = f"{len(unlisted)} of {number} images of the folder {are(len(unlisted))} in no list that is read: {where}"
    if labels and reading.base is None and _may_be_classes(source, unlisted, data):
        raise LabelError(f"{data}: {text}; their folders may be classes{_ways(source, unlisted, data)}")
    return dataclasses.replace(source, named_notes=(text, *source.named_notes))


def unlisted_images(source: Source, data: Path) -> list[Path]:
    """The images below a folder that are not read, sorted."""
    read = {row.path for row in source.rows}
    found = [path for path in walk(data) if is_image(path) and path not in read]
    # Of a link and its target, either may be listed.
    read = {Path(os.path.realpath(path)) for path in read} if found else read
    return [path for path in found if Path(os.path.realpath(path)) not in read]


def _places(paths: Sequence[Path], data: Path) -> Counter[str]:
    """The number of images in each folder, most first."""
    counts = Counter(path.parent.relative_to(data).as_posix() for path in paths)
    return Counter({f"{folder}/": number for folder, number in counts.most_common()})


def _may_be_classes(source: Source, unlisted: Sequence[Path], data: Path) -> bool:
    """Whether folders without images that are read have a word for a class, or are several that may be classes."""
    inside = [path for path in unlisted if not any(map(part_of, _folders(path, data)))]
    own = _own_folders(source, inside, data)
    of_classes = [path for path in inside if _are_called_classes(own[path])]
    tops = {each[0] for each in own.values() if len(each) > 1}
    for top in tops if not of_classes else ():
        level = class_level(levels_of([each for each in own.values() if each[:1] == (top,)]))
        of_classes += [] if level is None or level.are_fields else [path for path in inside if own[path][:1] == (top,)]
    if not of_classes:
        return False
    every = [*(row.path for row in source.rows if row.path.is_relative_to(data)), *of_classes]
    return not companions_among(data, every).keys() >= set(of_classes)


def _own_folders(source: Source, paths: Sequence[Path], data: Path) -> dict[Path, tuple[str, ...]]:
    """The folders of each image that have none of the images that are read."""
    read = {folder for row in source.rows for folder in row.path.parents}
    return {
        path: tuple(each.name for each in reversed(path.relative_to(data).parents[:-1]) if data / each not in read)
        for path in paths
    }


def _are_called_classes(folders: Sequence[str]) -> bool:
    return any(hinted_label(name) is not None and not name.isdigit() for name in folders)


def _folders(path: Path, data: Path) -> tuple[str, ...]:
    return path.relative_to(data).parts[:-1]


def _ways(source: Source, unlisted: Sequence[Path], data: Path) -> str:
    """What to give: the tables, for their images only; or one of the folders."""
    tables = [path for path in source.tables if path.is_relative_to(data)]
    base = [] if all(path.parent == source.root for path in tables) else ["--base", str(source.root)]
    ways = [f"to read only the images that are listed, give {shlex.join([*map(str, tables), *base])}"] if tables else []
    read = {folder for row in source.rows for folder in row.path.parents}
    tops = dict.fromkeys(data / each[0] for path in unlisted if (each := _folders(path, data)))
    if others := [str(path) for path in tops if path not in read]:
        ways.append(f"to read only the others, give {' or '.join(map(shlex.quote, others))}")
    return "".join(f"\n{INDENT}{way}" for way in ways)
