"""What to type for folders of images that no known word names as classes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from leukemia.base.errors import UserError
from leukemia.base.printable import INDENT
from leukemia.data.classes import CLASSES, PLACE, OtherWords, counted, unknown_words
from leukemia.data.layouts.class_names import class_names
from leukemia.data.layouts.companions import companion_folders
from leukemia.data.layouts.file_words import file_words
from leukemia.data.layouts.folder_levels import Level, class_level, folder_levels, folder_names, other_levels
from leukemia.data.subjects import some


def unknown_folders(message: str, data: Path, classes: Sequence[str] | None, correct: str = "") -> UserError:
    """The error for folders without a word that is known, or one of ``--classes``, with what to type instead.

    Args:
        message: one line without a colon at its end.
        classes: what was given.
        correct: what else may be done, with a comma before it.

    Returns:
        ``OtherWords`` if ``--classes`` was given.
    """
    levels = folder_levels(data)
    named = class_names(data)
    level = class_level(levels) or next((each for each in levels if named.has_all(each.names)), None)
    if level is None and (levels or classes is None):
        return _no_classes(message, data, classes, levels)
    names = folder_names(data) if level is None else level.names
    inner = "".join(f" ({some(counted(each.names))})" for each in other_levels(levels)[:1])
    way = f"map them, or folders of another level{inner}, with --classes{correct}"
    return unknown_words(f"{message}; {way}{named.describe(names)}", names, classes, ignored=companion_folders(data))


def advise_file_words(data: Path) -> str:
    """How to take the words that the names of files begin with for classes, after a semicolon; empty if there are none.

    It has lines of its own, so it is the end of a message.
    """
    words = file_words(data)
    if not words:
        return ""
    message = "; the names of the files begin with words that may be classes"
    return str(unknown_words(message, words, None, ignored=companion_folders(data)))


def _no_classes(message: str, data: Path, classes: Sequence[str] | None, levels: Sequence[Level]) -> UserError:
    """The error for folders that all look like subjects, or do not differ, so their names are no words to map."""
    look, pattern = "", ""
    if levels:
        look = f" that look like subjects, dates or numbers ({some(counted(levels[0].names))})"
        pattern = f", with --subject-pattern '([^/]+){'/[^/]+' * levels[0].from_file}$'"
    advice = advise_file_words(data) or (
        f"; write a CSV Path,label with a line for each image, and give its path instead of the folder{pattern}\n"
        f"{INDENT}if the folders are classes after all: --classes " + " ".join(f"{name}={PLACE}" for name in CLASSES)
    )
    text = f"{message}{look}, so no folder names a class{advice}"
    return UserError(text) if classes is None else OtherWords(text)
