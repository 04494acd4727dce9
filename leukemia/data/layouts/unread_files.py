"""Files beside images that are not read, but may have what the user means: labels, patients, names."""

from __future__ import annotations

import shlex
from collections.abc import Iterable
from pathlib import Path

from leukemia.base.errors import UserError
from leukemia.data.layouts.csv_file import read_csv
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
    if source.layout == "csv":
        others = [path for path in direct_others(data) if not is_table(path)] if data.is_dir() else []
        return (*_of_tables(_other_tables(data, source)), *_not_read(others))
    direct = [path for path in direct_others(source.root) if path not in source.lists]
    files = sorted(direct, key=lambda path: not is_table(path))
    described = [_described(path) for path in files[:MOST_FILES] if is_table(path)]
    inside = [path for path in _other_tables(data, source) if path not in files[:MOST_FILES]]
    return (*described, *_of_tables(inside), *_not_read(files))


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


def _described(path: Path) -> str:
    """What a CSV has, and how to read it."""
    try:
        file = read_csv(path)
    except UserError:
        return f"did not read {path.name}"
    _, columns = file.header
    subjects = next((name for name in columns if looks_like_subjects(name)), None)
    rows = counted_rows(len(file.rows))
    option = f", with --subject-column {shlex.quote(subjects)}, which looks like subjects" if subjects else ""
    return (
        f"did not read {path.name} ({rows}; columns {some(columns)}); if it lists all these images, "
        f"give its path in the place of the folder to read it{option}; if it lists a test set, give it to "
        "leukemia.final --test"
    )
