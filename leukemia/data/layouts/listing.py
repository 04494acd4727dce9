"""A CSV that lists images: its rows, its labels, and its paths, which never lead out of their folder."""

from __future__ import annotations

import csv
import os
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath, PureWindowsPath

from leukemia.base.errors import UserError, listed
from leukemia.data.layouts.source import Row, Source, walk

# pandas writes whole numbers as 1.0 where a column has gaps.
_LABELS = {"0": 0, "1": 1, "0.0": 0, "1.0": 1}


@dataclass(frozen=True, kw_only=True)
class Listing:
    """A CSV as text."""

    path: Path
    columns: tuple[str, ...]
    """The header as written."""

    rows: tuple[tuple[int, dict[str, str]], ...]
    """Row number in the file (the header is row 1) and the stripped values by lower-case column."""

    def has(self, *columns: str) -> bool:
        """Whether the header has all these columns, whatever the case."""
        return {column.lower() for column in self.columns} >= set(columns)

    def column(self, name: str) -> list[str]:
        """The values of one column, by its lower-case name."""
        return [values[name] for _, values in self.rows]

    def refuse(self, what: str, offenders: list[str]) -> None:
        """Raise a UserError that lists the offenders, if there are any."""
        if offenders:
            raise UserError(f"{self.path}: {what}:\n{listed(offenders)}")


def read_listing(path: Path) -> Listing:
    """Read a comma-separated UTF-8 file with a header.

    Raises:
        UserError: not such a file, no rows, a column named twice, or rows of another length than the header.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            lines = [[value.strip() for value in line] for line in csv.reader(stream)]
    except (UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"{path}: expected a CSV in UTF-8 ({error}); export it again") from None
    except OSError as error:
        raise UserError(f"cannot read {path} ({error.strerror})") from None
    if not any(any(line) for line in lines):
        raise UserError(f"{path}: the CSV is empty; expected the columns Path and label, and a row per image")
    columns = tuple(lines[0])
    keys = [column.lower() for column in columns]
    twice = sorted({key for key in keys if key and keys.count(key) > 1})
    if twice:
        raise UserError(f"{path}: column {', '.join(twice)} occurs twice; keep one")
    numbered = [(number, line) for number, line in enumerate(lines[1:], start=2) if any(line)]
    if not numbered:
        raise UserError(f"{path}: the CSV has a header and no rows; expected a row per image")
    rows = tuple((number, dict(zip(keys, line, strict=False))) for number, line in numbered)
    listing = Listing(path=path, columns=columns, rows=rows)
    uneven = [f"row {number}: {len(line)} values" for number, line in numbered if len(line) != len(keys)]
    listing.refuse(f"expected {len(keys)} values in every row, as in the header", uneven)
    return listing


def list_images(listing: Listing, base: Path | None, *, labels: bool) -> Source:
    """The images of a CSV ``Path,label`` with an optional column ``subject``.

    Args:
        base: the folder that paths are relative to; None: the CSV's own.
        labels: whether every image must have a label; if not, all may lack one, but not some.

    Raises:
        UserError: columns, labels, subjects or paths that are missing or wrong; all offending rows are listed.
    """
    needed = ("path", "label") if labels else ("path",)
    if not listing.has(*needed):
        wanted = "the columns Path and label" if labels else "a column Path"
        raise UserError(
            f"{listing.path}: expected {wanted}, found {', '.join(listing.columns)}; rename them in the header"
        )
    parsed = labels_of(listing, "label", required=labels)
    subjects = _subjects_of(listing)
    folder = Folder(root=_folder_of(base or listing.path.parent))
    paths = folder.resolve_all(listing, "path")
    rows = tuple(
        Row(path=path, label=label, subject=subject)
        for path, label, subject in zip(paths, parsed, subjects, strict=True)
    )
    return Source(layout="csv", root=folder.root, rows=rows, notes=folder.notes(listing))


def labels_of(listing: Listing, column: str, *, required: bool) -> list[int | None]:
    """The labels of a column as 0 and 1; all None where they are not required and the column is absent or blank."""
    if not required and not (listing.has(column) and any(listing.column(column))):
        return [None] * len(listing.rows)
    wrong = [
        f"row {number}: {values[column]!r}" if values[column] else f"row {number}: no label"
        for number, values in listing.rows
        if values[column] not in _LABELS
    ]
    listing.refuse("expected the label 0 (normal) or 1 (leukemic) in every row; correct these", wrong)
    return [_LABELS[text] for text in listing.column(column)]


def _subjects_of(listing: Listing) -> list[str | None]:
    if not listing.has("subject"):
        return [None] * len(listing.rows)
    gaps = [f"row {number}" for number, values in listing.rows if not values["subject"]]
    listing.refuse("expected a subject in every row; fill these in, or remove the column", gaps)
    return list(listing.column("subject"))


def _folder_of(path: Path) -> Path:
    if not path.is_dir():
        raise UserError(f"no folder at {path}; --base names the folder that the CSV's paths are relative to")
    return path.resolve()


@dataclass(kw_only=True)
class Folder:
    """The folder that a CSV's paths must stay in; it counts how often only the base name was found there."""

    root: Path
    """Free of links, so that a path can be compared with it."""

    num_by_name: int = 0
    _by_name: dict[str, list[Path]] = field(default_factory=dict)

    def resolve_all(self, listing: Listing, column: str) -> list[Path]:
        """The file of every row, free of links. A path that exists nowhere is kept, for the reader to name.

        Raises:
            UserError: paths that are empty, lead out of the folder, are listed twice, or whose base name several files
                have; or not one image exists.
        """
        outside, ambiguous, twice = [], [], []
        paths: dict[Path, int] = {}
        for number, values in listing.rows:
            text, found = values[column], self._find(values[column])
            if len(found) > 1:
                places = ", ".join(path.relative_to(self.root).as_posix() for path in found)
                ambiguous.append(f"row {number}: {text} may be {places}")
            elif not found or not found[0].is_relative_to(self.root) or found[0] == self.root:
                outside.append(f"row {number}: {text or 'no path'}")
            elif found[0] in paths:
                twice.append(f"row {number}: {text}, as in row {paths[found[0]]}")
            else:
                paths[found[0]] = number
        listing.refuse(f"expected paths inside {self.root} (--base names another folder); these are not", outside)
        listing.refuse("no such path, and several files have the name; write the path in full", ambiguous)
        listing.refuse("an image is listed twice; remove these rows", twice)
        if not any(path.is_file() for path in paths):
            raise UserError(
                f"{listing.path}: none of its {len(paths)} images exists below {self.root}, the first is "
                f"{listing.column(column)[0]}; name the folder that the paths are relative to with --base"
            )
        return list(paths)

    def notes(self, listing: Listing) -> tuple[str, ...]:
        """What to say of the paths that were found by base name only."""
        if not self.num_by_name:
            return ()
        return (
            f"{self.num_by_name} of {len(listing.rows)} paths in {listing.path.name} do not exist as written; "
            f"their images were found by base name below {self.root}",
        )

    def _find(self, text: str) -> list[Path]:
        """No file where the path is unusable, one that may lie outside or not exist, or several of its base name."""
        if not text or "\0" in text:
            return []
        written = Path(os.path.normpath(self.root / text))
        # Judged before the disk is asked: a relative path may not leave the folder even where nothing lies there.
        if not PurePosixPath(text).is_absolute() and not written.is_relative_to(self.root):
            return []
        real = Path(os.path.realpath(self.root / text))
        if real.exists():
            return [real]
        name = PureWindowsPath(text).name if "\\" in text else written.name
        found = self._named(name)
        self.num_by_name += len(found) == 1
        return [Path(os.path.realpath(path)) for path in found] if found else [self.root / name]

    def _named(self, name: str) -> list[Path]:
        if not self._by_name:
            index = defaultdict(list)
            for path in walk(self.root):
                index[path.name].append(path)
            self._by_name = dict(index)
        return self._by_name.get(name, [])
