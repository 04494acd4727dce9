"""Another table of the same images whose labels differ from those that are read."""

from __future__ import annotations

import contextlib
import dataclasses
import os
from pathlib import Path

from leukemia.base.errors import UserError
from leukemia.data.classes import LabelError
from leukemia.data.layouts.base_folder import located_listing
from leukemia.data.layouts.csv_listing import list_images
from leukemia.data.layouts.source import Row, Source, walk
from leukemia.data.layouts.tables import is_table, is_template
from leukemia.data.reading import Reading

MOST_TABLES = 12
"""So many other tables are compared."""


def refuse_contradicting_tables(data: Path, source: Source, reading: Reading) -> None:
    """Refuse labels of a table, if another one below the folder has other labels for some of the same images.

    Args:
        data: a folder; a table whose path was given was chosen.
        source: the images, without those that ``--classes`` leaves out.

    Raises:
        LabelError: the number of images whose labels differ, and the paths of both tables.
    """
    if source.layout != "csv" or not data.is_dir() or not reading.reads_labels:
        return
    own = {os.path.realpath(row.path): row for row in source.rows if not row.is_found}
    known = {os.path.realpath(row.table) for row in source.rows if row.table is not None}
    if not own or not known:
        return
    others = [
        path for path in walk(data) if is_table(path) and os.path.realpath(path) not in known and not is_template(path)
    ]
    for path in others[:MOST_TABLES]:
        other = _rows(path.resolve(), data.resolve(), reading)
        pairs = [(own[file], row) for row in other if (file := os.path.realpath(row.path)) in own]
        unlike = [(one, another) for one, another in pairs if another.label not in (one.label, None)]
        if unlike:
            break
    else:
        return
    one, another = unlike[0]
    raise LabelError(
        f"{data}: {one.table} and {path} have different labels for {len(unlike)} of {len(pairs)} images, such as "
        f"{one.path.relative_to(source.root)}: {one.word or one.label} and {another.word or another.label}; give the "
        "path of the one that is right"
    )


def _rows(path: Path, data: Path, reading: Reading) -> list[Row]:
    """The images of a table with a row for each, below its own folder or, if it has not all of them, below ``data``;
    none if it is no such list, which a note names."""
    for base in (reading, dataclasses.replace(reading, base=str(data))):
        with contextlib.suppress(UserError):
            found = list_images(located_listing(path, base, data), base, labels=True)
            return [row for row in found.rows if not row.is_found]
    return []
