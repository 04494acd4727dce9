"""A list of all images of a data set, in which a person fills in the labels that no option can read."""

from __future__ import annotations

import csv
import dataclasses
import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from leukemia.base.errors import UserError
from leukemia.base.files import atomic, resolved
from leukemia.base.new_file import require_new
from leukemia.base.spreadsheet import cell_of
from leukemia.data.classes import NO_LABEL
from leukemia.data.layouts.companions import companions_among, companions_in
from leukemia.data.layouts.detect import find_images
from leukemia.data.layouts.last_resort import OPTION, folder_of_images
from leukemia.data.layouts.program_columns import OF_SHEET
from leukemia.data.layouts.source import Row, Source, is_image, walk
from leukemia.data.layouts.unlisted_images import unlisted_images
from leukemia.data.names import check_names, composed
from leukemia.data.reading import Reading
from leukemia.data.recurring_subjects import of_sites
from leukemia.data.subjects import read_subjects

MOST_NAMES = 8
"""Columns for the words of names; later words have none."""

SPLIT, WORD = "split", OF_SHEET
"""Columns of the part of a split, and of what a label would be read from if it were known; the latter only if there is
any."""

_WORD = re.compile(r"(?:[^\W\d_]+|\d+)\??")


@dataclass(frozen=True, kw_only=True)
class LabelSheet:
    """A new CSV with a row for each image: ``Path``, ``label``, ``subject`` and ``split`` where they are known, and
    ``folder 1``, ``name 1``, ..., which are the folders and the words of its path, to sort by."""

    path: Path
    data: Path
    reading: Reading

    def require_new(self) -> None:
        """Check, before the data are read, that the file can be written.

        Raises:
            UserError: another suffix than ``.csv``, a file that exists, a folder that does not, or one of the images.
        """
        if self.path.suffix.lower() != ".csv":
            raise UserError(f"{OPTION} {self.path}: expected the name of a CSV file, such as {self.path.stem}.csv")
        require_new(self.path, OPTION)
        inside = [folder for folder in (self._folder, *self._given) if self._place.is_relative_to(folder)]
        if inside:
            raise UserError(
                f"{OPTION} {self.path}: expected a file outside of the images in {inside[0]}, which are only read"
            )

    def write(self) -> tuple[int, int]:
        """Write the file; returns the number of images and how many of them have a label.

        Raises:
            UserError: there are no images, their names cannot be in a CSV, or an option on subjects is wrong.
        """
        rows = self._rows()
        if not rows:
            raise UserError(f"{self._folder}: no images to list; give the folder that has them, or --base")
        ids = [row.path.relative_to(self._folder).as_posix() for row in rows]
        check_names(ids, self._folder)
        found = read_subjects(ids, [row.subject for row in rows], self.reading)
        subjects = of_sites(found, [row.table for row in rows], self.reading).names or [""] * len(rows)
        splits = [row.split or "" for row in rows]
        unknown = ["" if row.label is not None or row.word in (None, NO_LABEL) else cell_of(row.word) for row in rows]
        more = {SPLIT: splits} | ({WORD: unknown} if any(unknown) else {})
        parts = [Path(image_id).parts for image_id in ids]
        words = [_WORD.findall(composed(Path(image_id).stem))[:MOST_NAMES] for image_id in ids]
        depth, length = max(map(len, parts)) - 1, max(map(len, words))
        header = [
            f"{what} {number + 1}" for what, most in (("folder", depth), ("name", length)) for number in range(most)
        ]
        start = "" if self._base is not None else f"{self._folder.relative_to(self._place).as_posix()}/"
        # Excel takes UTF-8 without its mark for another encoding.
        with atomic(self.path) as temporary, temporary.open("w", encoding="utf-8-sig", newline="") as stream:
            writer = csv.writer(stream, lineterminator="\n")
            writer.writerow(["Path", "label", "subject", *more, *header])
            for number, (image_id, row, subject, folders, names) in enumerate(
                zip(ids, rows, subjects, parts, words, strict=True)
            ):
                known = "" if row.label is None else row.label
                others = [*_padded(list(map(cell_of, folders[:-1])), depth), *_padded(names, length)]
                own = [values[number] for values in more.values()]
                writer.writerow([cell_of(f"{start}{image_id}"), known, subject, *own, *others])
        return len(rows), sum(row.label is not None for row in rows)

    @property
    def command(self) -> str:
        """What reads the file after its labels have been filled in."""
        base = ["--base", str(self._base)] if self._base is not None else []
        return shlex.join(["python", "-m", "leukemia.catalog", str(self.path), *base])

    def _rows(self) -> list[Row]:
        """The images as they can be read: with all labels, with those that are known, or, in a CSV, without; otherwise
        all images but companions."""
        whole = dataclasses.replace(self.reading, split_column=None)
        partial = whole.partial()
        for reading, labels in ((whole, True), (partial, True), (partial, False), (whole.without_labels(), False)):
            try:
                source = _with_subjects(self.data, reading, labels=labels)
            except UserError:
                continue
            if not source.rows:
                continue
            if source.layout == "csv" or (labels and any(row.label is not None for row in source.rows)):
                found = companions_in(source) if reading.is_partial else {}
                kept = [row for row in source.rows if row.path not in found]
                if source.layout == "csv" and reading.is_partial and self.data.is_dir():
                    kept += self._unlisted(source)
                return sorted(kept, key=lambda row: row.path)
        paths = [path for path in walk(self._folder) if is_image(path)]
        found = companions_among(self._folder, paths)
        return [Row(path=path, label=None) for path in paths if path not in found]

    def _unlisted(self, source: Source) -> list[Row]:
        """The images in the folder that its tables do not list, without companions."""
        paths = unlisted_images(source, self._folder)
        found = companions_among(self._folder, [*(row.path for row in source.rows), *paths])
        return [Row(path=path, label=None) for path in paths if path not in found]

    @property
    def _folder(self) -> Path:
        return self._resolved(folder_of_images(self.data, self.reading))

    @property
    def _given(self) -> list[Path]:
        """The folders that were given as data."""
        return [self._resolved(path) for path in self.reading.paths(self.data) if path.is_dir()]

    @property
    def _place(self) -> Path:
        return self._resolved(self.path.parent)

    @property
    def _base(self) -> Path | None:
        """What paths in the file are relative to; None if that is the folder of the file."""
        return None if self._folder.is_relative_to(self._place) else self._folder

    @staticmethod
    def _resolved(path: Path) -> Path:
        return resolved(path, "correct the path")


def _with_subjects(data: Path, reading: Reading, *, labels: bool) -> Source:
    """The images, with the subjects of the only column that is called so, for a person to see."""
    source = find_images(data, reading, labels=labels)
    if len(source.unread_columns) != 1 or any(row.subject for row in source.rows):
        return source
    return find_images(data, dataclasses.replace(reading, subject_column=source.unread_columns[0]), labels=labels)


def _padded(values: Sequence[str], length: int) -> list[str]:
    return [*values, *[""] * (length - len(values))]
