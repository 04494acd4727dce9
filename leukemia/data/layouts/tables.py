"""Which files are tables that may list images: CSVs, text files whose lines begin with paths of images, and records."""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from leukemia.base.files import open_file
from leukemia.data.layouts.record_file import has_records
from leukemia.data.layouts.source import IMAGE_SUFFIXES, is_image
from leukemia.data.part_words import TEST
from leukemia.data.split import part_of

_SUFFIXES = (".csv", ".tsv")
_NUM_BYTES = 4096

# The end of a path of an image in a line of a list, with a label or without.
LISTED = re.compile(rf"(.*?(?:{'|'.join(map(re.escape, IMAGE_SUFFIXES))})[\"']?)(?=[\s,;|]|$)", re.IGNORECASE)
"""A line that begins with the path of an image."""

LEAST_LISTED = 0.9
"""The share of lines that begin so in a text file that is a list."""

# ``7.png is its mask (grey).``, unlike ``7.png 1.``
_SENTENCE = re.compile(r"[^\W\d_][^ ]*[^\d ]?[.:!?]$")


def is_table(path: Path) -> bool:
    """Whether a file may list images, by its suffix, by its records, or by its lines but for the first, which may be a
    header."""
    suffix = path.suffix.lower()
    return suffix in _SUFFIXES or (suffix == ".txt" and _lists_images(path)) or has_records(path)


def is_template(path: Path) -> bool:
    """Whether a table is called like the example of a submission, whose labels have no meaning."""
    return "submission" in path.stem.lower()


def by_use(paths: Iterable[Path]) -> list[Path]:
    """Tables in the order in which they may have labels, by their names: those of a test set and templates last."""
    return sorted(paths, key=lambda path: (is_template(path), part_of(path.stem) == TEST))


def counted_rows(number: int) -> str:
    """A number of rows as text."""
    return f"{number} row{'' if number == 1 else 's'}"


def _lists_images(path: Path) -> bool:
    try:
        with open_file(path) as stream:
            content = stream.read(_NUM_BYTES)
    except OSError:
        return False
    marks = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
    encoding = "utf-16" if content.startswith(marks) else "utf-8"
    lines = content.decode(encoding, "replace").splitlines()
    if len(content) == _NUM_BYTES and len(lines) > 2:
        # The last one may be incomplete.
        lines.pop()
    lines = [line.strip() for line in lines if line.strip() and not line.startswith("#")]
    rows = lines[1:] or lines
    return bool(rows) and (sum(map(_is_row, rows)) >= LEAST_LISTED * len(rows) or _have_column(rows))


def _have_column(lines: Sequence[str]) -> bool:
    """Whether lines are rows of a table, equally many values in each, with a column of names of images."""
    for separator in "\t;|,":
        rows = [line.split(separator) for line in lines]
        if len({len(row) for row in rows}) == 1 < len(rows[0]) and any(map(_are_images, zip(*rows, strict=True))):
            return True
    return False


def _are_images(values: Sequence[str]) -> bool:
    return len(set(values)) > 1 and all(is_image(Path(value.strip("\"' "))) for value in values)


def _is_row(line: str) -> bool:
    """Whether a line begins with the path of an image, and is no sentence."""
    found = LISTED.match(line)
    return found is not None and not _SENTENCE.search(line[found.end() :])
