"""Files beside images that are not read, but may have what the user means: labels, patients, names."""

from __future__ import annotations

import shlex
from collections.abc import Iterable
from pathlib import Path

from leukemia.base.errors import UserError
from leukemia.data.layouts.csv_file import read_csv
from leukemia.data.layouts.listing import read_listing
from leukemia.data.layouts.source import Source, direct_others, walk
from leukemia.data.layouts.tables import counted_rows, is_table
from leukemia.data.subject_words import looks_like_subjects
from leukemia.data.subjects import some

MOST_FILES = 3
"""Notes name at most as many files."""


def unread_files(data: Path, source: Source) -> tuple[str, ...]:
    """Notes that name the files beside the images: all CSVs that are not read, with their numbers of rows, and other
    files directly in the folder.

    C-NMC's files are known.

    Args:
        data: what was given: a folder, or a CSV, of which only files in the folders of its images are named.
    """
    if source.layout == "cnmc":
        return ()
    data = data.resolve()
    known = {*source.lists, *source.tables}
    if source.layout == "csv":
        direct = direct_others(data) if data.is_dir() else []
        others = [path for path in direct if not is_table(path) and path not in known]
        return (*_of_tables(_other_tables(data, source)), *_not_read(others))
    direct = [path for path in direct_others(source.root) if path not in known]
    files = sorted(direct, key=lambda path: not is_table(path))
    described = [_described(path, source.root) for path in files[:MOST_FILES] if is_table(path)]
    inside = [path for path in _other_tables(data, source) if path not in files[:MOST_FILES]]
    return (*described, *_of_tables(inside), *_not_read(files))


def described_table(path: Path, root: Path) -> str:
    """The path of a table below a folder, with its number of rows and its columns, if it can be read."""
    name = path.relative_to(root).as_posix()
    try:
        file = read_csv(path)
    except UserError:
        return name
    return f"{name} ({counted_rows(len(file.rows))}; columns {some(file.header[1])})"


def _other_tables(data: Path, source: Source) -> list[Path]:
    """The CSVs below a folder, or in the folders of the images of a CSV, that no note names yet."""
    if data.is_dir():
        found: Iterable[Path] = walk(data)
    else:
        above = {folder for row in source.rows for folder in row.path.relative_to(source.root).parents}
        found = (path for folder in sorted(above - {Path()}) for path in direct_others(source.root / folder))
    known = {path.resolve() for path in (*source.lists, *source.tables)}
    return [path for path in found if is_table(path) and path.resolve() not in known]


def _of_tables(tables: list[Path]) -> tuple[str, ...]:
    """A note on CSVs with their numbers of rows."""
    shown = some([f"{path.parent.name}/{path.name} ({_rows(path)})" for path in tables])
    return (f"did not read {shown}; to read a CSV, give its path",) if tables else ()


def _not_read(files: list[Path]) -> tuple[str, ...]:
    """A note on files that are no CSVs."""
    others = [path.name for path in files[:MOST_FILES] if not is_table(path)]
    more = [f"{len(files) - MOST_FILES} more files"] if len(files) > MOST_FILES else []
    rest = " and ".join([*([", ".join(others)] if others else []), *more])
    return (f"did not read {rest}",) if rest else ()


def _rows(path: Path) -> str:
    try:
        return counted_rows(len(read_csv(path).rows))
    except UserError:
        return "which cannot be read"


def _described(path: Path, root: Path) -> str:
    """What a CSV in the folder of the images has, and how to read it."""
    described = described_table(path, root)
    try:
        listing = read_listing(path, root)
    except UserError:
        return f"did not read {described}"
    if listing.path_column is None:
        return (
            f"did not read {described}: no column has the names of images, or of folders of images in one row each; "
            "to use it, write the path of an image into each row"
        )
    subjects = next((name for name in listing.columns if looks_like_subjects(name)), None)
    option = f", with --subject-column {shlex.quote(subjects)}, which looks like subjects" if subjects else ""
    return (
        f"did not read {described}; if it lists all these images, give its path in the place of the folder to read "
        f"it{option}; if it lists a test set, give it to leukemia.final --test"
    )
