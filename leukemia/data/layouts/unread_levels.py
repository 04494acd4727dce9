"""Levels of folders above images in class folders that are read as nothing, such as a split in another language."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import PurePosixPath

from leukemia.data.classes import counted
from leukemia.data.counters import Place
from leukemia.data.layouts.folder_levels import FEW_WORDS, is_centre, is_view, look_like_subjects
from leukemia.data.layouts.source import Source
from leukemia.data.names import composed
from leukemia.data.reading import Reading
from leukemia.data.split import part_of
from leukemia.data.unpacked import for_whole_paths, unpacked


def unread_levels(source: Source, reading: Reading) -> tuple[str, ...]:
    """Notes that name the folders of each such level with their images, if they are few and do not look like subjects.

    Classes, parts of a split, and folders in which ``--subject-pattern`` finds the subject, are read.
    """
    if source.layout != "folders":
        return ()
    paths = [row.path.relative_to(source.root).as_posix() for row in source.rows]
    inside = list(map(PurePosixPath, unpacked(paths)))
    words, whole = {row.word for row in source.rows}, set(paths)
    notes = []
    for level in range(max((len(path.parts) - 1 for path in inside), default=0)):
        deep = [path for path in inside if len(path.parts) - 1 > level]
        names = [path.parts[level] for path in deep]
        example = next((path for path in deep if path.as_posix() in whole), deep[0])
        found = set(names)
        is_read = not words.isdisjoint(found) or all(map(part_of, found)) or look_like_subjects(names)
        if 1 < len(found) <= FEW_WORDS and not is_read and not _has_subject(example.parts, level, reading):
            # Magnifications, stains, fields and hospitals are nothing else.
            are_counters = Place(values=tuple(found), where="folders").counts_images
            way = "" if all(map(is_view, found)) or are_counters or all(map(is_centre, found)) else _way(level, paths)
            notes.append(f"folders of another level that are not read: {', '.join(counted(names))}{way}")
    return tuple(notes)


def _way(level: int, paths: Sequence[str]) -> str:
    """What to do if the folders are to be read."""
    pattern = for_whole_paths(f"^{'[^/]+/' * level}([^/]+)/", paths)
    patients = "" if pattern is None else f"; if they are patients, add --subject-pattern '{pattern}'"
    return (
        f"{patients}; if they are the parts of a split, call them train, validation and test, and --split-column split "
        "keeps it"
    )


def _has_subject(parts: tuple[str, ...], level: int, reading: Reading) -> bool:
    """Whether ``--subject-pattern`` finds a subject in the folder of this level."""
    try:
        pattern = re.compile(composed(reading.subject_pattern or ""))
    except re.error:
        # The reader of subjects says so.
        return False
    match = pattern.search("/".join(map(composed, parts))) if pattern.groups == 1 else None
    start = len("/".join([*map(composed, parts[:level]), ""]))
    return match is not None and match.start(1) < start + len(composed(parts[level])) and match.end(1) > start
