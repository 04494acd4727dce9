"""Files beside images in folders that are not read, but may have what the user means: labels, patients, names."""

from __future__ import annotations

import shlex
from pathlib import Path

from leukemia.base.errors import UserError
from leukemia.data.layouts.csv_file import read_csv
from leukemia.data.layouts.source import Source, direct_others
from leukemia.data.layouts.tables import is_table
from leukemia.data.subjects import looks_like_subjects, some

MOST_FILES = 3
"""Notes name at most as many files."""


def unread_files(source: Source) -> tuple[str, ...]:
    """Notes that name the files directly in the folder of images; none for a CSV, whose reader names those beside it.

    C-NMC's files are known.
    """
    if source.layout != "folders":
        return ()
    unread = [path for path in direct_others(source.root) if path not in source.lists]
    files = sorted(unread, key=lambda path: not is_table(path))
    described = [_described(path) for path in files[:MOST_FILES] if is_table(path)]
    others = [path.name for path in files[:MOST_FILES] if not is_table(path)]
    more = [f"{len(files) - MOST_FILES} more files"] if len(files) > MOST_FILES else []
    rest = " and ".join([*([", ".join(others)] if others else []), *more])
    return (*described, f"did not read {rest}") if rest else tuple(described)


def _described(path: Path) -> str:
    """What a CSV has, and how to read it."""
    try:
        _, columns = read_csv(path).header
    except UserError:
        return f"did not read {path.name}"
    subjects = next((name for name in columns if looks_like_subjects(name)), None)
    option = f", with --subject-column {shlex.quote(subjects)}, which looks like subjects" if subjects else ""
    return (
        f"did not read {path.name} (columns {some(columns)}); if it lists all these images, give its path in the place "
        f"of the folder to read it{option}; if it lists a test set, give it to leukemia.final --test"
    )
