"""Names of the classes that are numbers in the data: of a ``data.yaml`` or a ``classes.txt``, as YOLO's tools write."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import yaml  # type: ignore[import-untyped]

from leukemia.base.errors import UserError
from leukemia.base.files import open_file
from leukemia.data.classes import KNOWN, NAMED, normal_form
from leukemia.data.layouts.source import Source
from leukemia.data.reading import Reading

_LISTS = ("classes.txt", "obj.names", "_darknet.labels")
_MOST_BYTES = 100_000
_MOST_NAMES = 20


@dataclass(frozen=True, kw_only=True)
class ClassNames:
    """The names by number, as text, and the file that has them."""

    file: str
    names: dict[str, str]

    def describe(self, words: Iterable[str]) -> str:
        """Those of the numbers among these words, after a semicolon; empty if there are none."""
        found = sorted({form for word in words if (form := normal_form(word)) in self.names}, key=int)
        each = ", ".join(f"{number} is {self.names[number]}" for number in found[:_MOST_NAMES])
        return f"; by {self.file}, {each}" if each else ""

    def has_all(self, words: Iterable[str]) -> bool:
        """Whether each of these words is a number with a name."""
        return all(normal_form(word) in self.names for word in words)


def class_names(folder: Path) -> ClassNames:
    """The names that a file directly in a folder gives to numbers from 0; none if there is no such file."""
    files = [*sorted(folder.glob("*.yaml")), *sorted(folder.glob("*.yml")), *(folder / name for name in _LISTS)]
    for path in files:
        text = _text(path)
        names = _listed(text) if path.name in _LISTS else _in_yaml(text)
        if names:
            return ClassNames(file=path.name, names=names)
    return ClassNames(file="", names={})


def with_class_names(source: Source, reading: Reading) -> Source:
    """The images, whose labels 0 and 1 are not those of other names in the data, with a note on these.

    Raises:
        UserError: a name says that 0 is leukemic, or 1 normal.
    """
    words = {row.word for row in source.rows if row.word is not None}
    if reading.classes is not None or not {normal_form(word) for word in words} <= {"0", "1"}:
        return source
    found = class_names(source.root)
    said = found.describe(words)
    if not said:
        return source
    labels = {number: NAMED.label(found.names.get(number, "")) for number in ("0", "1")}
    if any(label not in (None, KNOWN.label(number)) for number, label in labels.items()):
        raise UserError(
            f"{source.root}: expected 0 for normal and 1 for leukemic{said}; give the classes of the numbers: "
            "--classes normal=1 leukemic=0, or normal=0 leukemic=1 if the names are wrong"
        )
    note = f"0 was taken for normal and 1 for leukemic{said}; --classes normal=1 leukemic=0 reads them otherwise"
    return dataclasses.replace(source, notes=(*source.notes, note))


def _text(path: Path) -> str:
    try:
        with open_file(path) as stream:
            return stream.read(_MOST_BYTES).decode("utf-8", "replace")
    except OSError:
        return ""


def _in_yaml(text: str) -> dict[str, str]:
    try:
        content = yaml.safe_load(text)
    except yaml.YAMLError:
        return {}
    names = content.get("names") if isinstance(content, dict) else None
    if isinstance(names, list):
        names = dict(enumerate(names))
    pairs = names.items() if isinstance(names, dict) else ()
    return {str(number): str(name) for number, name in pairs if isinstance(number, int)}


def _listed(text: str) -> dict[str, str]:
    return {str(number): line.strip() for number, line in enumerate(text.splitlines()) if line.strip()}
