"""Folders named by class in folders named for the parts of a split: ``train/hem``, ``train/all``, ``test/hem``, ..."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from leukemia.base.errors import listed
from leukemia.base.printable import INDENT
from leukemia.data.classes import LabelError, OtherWords, Vocabulary, mapping
from leukemia.data.layouts.beside import are_few
from leukemia.data.layouts.class_folders import class_folders
from leukemia.data.layouts.source import Row, Source, direct_images, ignored_files, is_image, subfolders, walk
from leukemia.data.layouts.subclasses import words_of
from leukemia.data.part_words import TEST
from leukemia.data.reading import Reading
from leukemia.data.split import part_of


def split_folders(data: Path, reading: Reading) -> Source | None:
    """The images in the class folders of all parts; None unless there are two parts, one of them with class folders.

    Images of a part without class folders are no training data, and are counted in ``excluded``. So are those of a
    test part without any word of ``--classes``, such as the test phase beside C-NMC's folds.

    Raises:
        OtherWords: no part has a word of ``--classes``.
        LabelError: images outside of the parts, or as ``class_folders``.
    """
    folders = [folder for folder in subfolders(data) if any(map(is_image, walk(folder)))]
    parts = [folder for folder in folders if part_of(folder.name)]
    sources: dict[Path, Source | None] = {}
    others: OtherWords | None = None
    for folder in parts if len(parts) > 1 else ():
        try:
            sources[folder] = class_folders(folder, reading)
        except OtherWords as error:
            if part_of(folder.name) != TEST:
                raise
            sources[folder], others = None, error
    labelled = [source for source in sources.values() if source is not None]
    if not labelled:
        if others is not None:
            raise others
        return None
    rows = [row for source in labelled for row in source.rows]
    ignored = [folder for folder in folders if folder not in parts and _is_ignored(folder, reading)]
    beside = [folder for folder in folders if folder not in (*parts, *ignored) and not _is_linked(folder, rows)]
    stray = direct_images(data)
    if not beside and are_few(len(stray), len(rows) + len(stray)):
        misplaced = []
    else:
        misplaced = [*(f"{folder.name}/" for folder in beside), *(path.name for path in stray)]
    if misplaced:
        typed = mapping([], reading.classes or words_of(rows), [folder.name for folder in beside])[0]
        advice = f"\n{INDENT}to leave out the folders: {typed}" if beside else ""
        raise LabelError(
            f"{data}: images must be in the parts of the split ({', '.join(folder.name for folder in parts)}); rename, "
            f"move or remove these:\n{listed(misplaced)}{advice}"
        )
    # ``--classes`` counts what it leaves out.
    rows += [
        Row(path=path, label=None, word=folder.name) for folder in ignored for path in walk(folder) if is_image(path)
    ]
    return Source(
        layout="folders",
        root=data,
        rows=tuple(rows),
        excluded=tuple(
            f"{folder.name}: {sum(map(is_image, walk(folder)))} images without labels"
            for folder, source in sources.items()
            if source is None
        ),
        beside=(*stray, *(path for source in labelled for path in source.beside)),
        notes=ignored_files([data]),
    )


def _is_ignored(folder: Path, reading: Reading) -> bool:
    return reading.classes is not None and Vocabulary.given(reading.classes).ignores(folder.name)


def _is_linked(folder: Path, rows: Sequence[Row]) -> bool:
    """Whether the parts have links to all images of a folder."""
    return {path.resolve() for path in walk(folder) if is_image(path)} <= {row.path.resolve() for row in rows}
