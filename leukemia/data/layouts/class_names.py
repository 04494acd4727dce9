"""Names of the classes that are numbers in the data, as files beside the images or above them say."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from leukemia.base.errors import UserError
from leukemia.base.files import open_file
from leukemia.data.class_hints import hinted_label
from leukemia.data.classes import KNOWN, LabelError, normal_form
from leukemia.data.layouts.number_names import LISTS, legend_in, names_in
from leukemia.data.layouts.program_columns import is_label_sheet
from leukemia.data.layouts.source import Source, direct_others
from leukemia.data.reading import Reading

MOST_FILES = 20
"""Of more files in a folder, the others are not read: they are of single images."""

MOST_ABOVE = 2
"""In so many folders above, only files are read that are always about the data."""

_SUFFIXES = (".yaml", ".yml", ".names", ".labels", ".json", ".md", ".rst", ".txt", ".csv", ".tsv", "")
_ABOVE = ("readme", "dataset_info", "data.yaml", "dataset.yaml")
_MOST_BYTES, _MOST_NAMES = 100_000, 20


@dataclass(frozen=True, kw_only=True)
class ClassNames:
    """The names by number, as text, and the file that has them."""

    path: Path
    names: dict[str, str]

    @property
    def file(self) -> str:
        """The name of the file."""
        return self.path.name

    def describe(self, words: Iterable[str]) -> str:
        """Those of the numbers among these words, after a semicolon; empty if there are none."""
        found = sorted({form for word in words if (form := normal_form(word)) in self.names}, key=int)
        each = ", ".join(f"{number} is {self.names[number]}" for number in found[:_MOST_NAMES])
        return f"; by {self.file}, {each}" if each else ""

    def has_all(self, words: Iterable[str]) -> bool:
        """Whether each of these words is a number with a name."""
        return all(normal_form(word) in self.names for word in words)

    @property
    def contradicts(self) -> bool:
        """Whether the name of 0 suggests leukemia, or that of 1 none."""
        labels = {number: hinted_label(self.names.get(number, "")) for number in ("0", "1")}
        return any(label not in (None, KNOWN.label(number)) for number, label in labels.items())


def class_names(folder: Path, words: Iterable[str] = ()) -> ClassNames:
    """The names that a file in a folder, or a few folders above, gives to all of these numbers, else to some; none if
    there is no such file.

    Args:
        folder: it may not exist, as the one of several CSVs (``data/*``).
        words: of the labels.
    """
    found = list(_found([folder]))
    words = list(words)
    none = ClassNames(path=Path(), names={})
    return next((each for each in found if words and each.has_all(words)), next(iter(found), none))


def names_for(table: Path, columns: Iterable[str], words: Iterable[str] = ()) -> ClassNames:
    """As ``class_names`` of the folder of a table; for a label sheet, in which a person has written the numbers, only
    those of its legend: ``sheet.txt`` beside ``sheet.csv`` with lines ``NUMBER: NAME``."""
    return _legend(table) if is_label_sheet(columns) else class_names(table.parent, words)


def _legend(sheet: Path) -> ClassNames:
    path = sheet.with_suffix(".txt")
    return ClassNames(path=path, names=legend_in(_text(path)) if path.is_file() else {})


def with_class_names(source: Source, reading: Reading) -> Source:
    """The images, whose labels 0 and 1 are not those of other names in the data, with a note on these.

    Raises:
        LabelError: a name says that 0 is leukemic, or 1 normal.
    """
    words = source.words
    if reading.classes is not None or not words or not {normal_form(word) for word in words} <= {"0", "1"}:
        return source
    places = [source.root, *(path.parent for path in source.tables)]
    found = list(map(_legend, source.tables)) if source.is_sheet else list(_found(places))
    named = [each for each in found if each.has_all(words)]
    for each in named:
        if each.contradicts:
            raise LabelError(
                f"{source.root}: expected 0 for normal and 1 for leukemic{each.describe(words)}; give the classes of "
                "the numbers: --classes normal=1 leukemic=0, or normal=0 leukemic=1 if the names are wrong"
            )
    if not named:
        return source
    note = (
        f"0 was taken for normal and 1 for leukemic{named[0].describe(words)}; --classes normal=1 leukemic=0 reads "
        "them otherwise"
    )
    return dataclasses.replace(source, tables=(*source.tables, named[0].path), notes=(*source.notes, note))


def _found(folders: Iterable[Path]) -> Iterator[ClassNames]:
    """The names in the files of the folders, then in those above."""
    own = sorted({folder.resolve() for folder in folders})
    above = [parent for folder in own for parent in _above(folder) if parent not in own]
    for place in (*own, *dict.fromkeys(above)):
        for path in _files(place, is_own=place in own):
            if names := names_in(path, _text(path)):
                yield ClassNames(path=path, names=names)


def _above(folder: Path) -> list[Path]:
    """The first folders above that exist."""
    return [parent for parent in folder.parents if parent.is_dir()][:MOST_ABOVE]


def _files(folder: Path, *, is_own: bool) -> list[Path]:
    """The files that may have names, the likeliest first; none if the folder cannot be read."""
    try:
        others = direct_others(folder)
    except UserError:
        return []
    files = [
        path
        for path in others
        if path.suffix.lower() in _SUFFIXES
        and (is_own or path.name.lower().startswith(_ABOVE) or path.name.lower() in LISTS)
    ]
    return sorted(files, key=lambda path: (_SUFFIXES.index(path.suffix.lower()), path.name.lower() not in LISTS))[
        :MOST_FILES
    ]


def _text(path: Path) -> str:
    try:
        with open_file(path) as stream:
            return stream.read(_MOST_BYTES).decode("utf-8", "replace")
    except OSError:
        return ""
