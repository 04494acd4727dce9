"""ALL-IDB1 and ALL-IDB2 (https://homes.di.unimi.it/scotti/all): images that are labelled by their names."""

from __future__ import annotations

import re
from pathlib import Path

from leukemia.base.errors import UserError, listed
from leukemia.data.classes import unknown_words, vocabularies, vocabulary_of
from leukemia.data.layouts.source import Row, Source, ignored_files, is_image, walk
from leukemia.data.reading import Reading

# ImXXX_Y: the number of the image, and 1 if it shows a lymphoblast (IDB2: in its centre), else 0.
_NAME = re.compile(r"Im\d{3}_(?P<label>[01])", re.IGNORECASE)


def named_images(data: Path, reading: Reading) -> Source | None:
    """The images of a folder in which every name is one of ALL-IDB, such as ``Im001_1.tif``; None if one is not, or if
    folders are named by class.

    The words for ``--classes`` are 0 and 1.

    Raises:
        UserError: images in several folders, such as those of both sets: IDB2 has cells of the fields of IDB1.
    """
    paths, words = [], []
    for path in filter(is_image, walk(data)):
        match = _NAME.fullmatch(path.stem)
        if match is None:
            return None
        paths.append(path)
        words.append(match["label"])
    above = {name for path in paths for name in path.relative_to(data).parts[:-1]}
    if not paths or any(name in each for name in above for each in vocabularies(reading.classes)):
        return None
    if len(folders := {path.parent for path in paths}) > 1:
        raise UserError(
            f"{data}: ALL-IDB's names in several folders, but ALL-IDB2 has cells of the images of ALL-IDB1; choose "
            f"one:\n{listed(sorted(map(str, folders)))}"
        )
    vocabulary = vocabulary_of(words, reading.classes)
    if vocabulary is None:
        message = f"{data}: the images are named as in ALL-IDB, with 0 or 1 at the end, which --classes does not map"
        raise unknown_words(message, words, reading.classes)
    rows = tuple(
        Row(path=path, label=vocabulary.label(word), word=word) for path, word in zip(paths, words, strict=True)
    )
    note = "labels are read from the names, which are those of ALL-IDB: _1 shows a lymphoblast, _0 none"
    return Source(layout="folders", root=data, rows=rows, notes=(note, *ignored_files([data])))
