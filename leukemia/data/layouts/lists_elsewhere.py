"""CSVs in a folder of their own, such as ``splits/``, whose images are elsewhere."""

from __future__ import annotations

from pathlib import Path

from leukemia.base.errors import UserError
from leukemia.data.layouts.base_folder import located_listing
from leukemia.data.layouts.label_column import label_column
from leukemia.data.layouts.lists import folder_of_lists
from leukemia.data.layouts.source import Source, is_image, walk
from leukemia.data.layouts.tables import is_table
from leukemia.data.reading import Reading

LEAST_SHARE = 0.5
"""The CSVs list such a share of the images."""


def lists_elsewhere(data: Path, reading: Reading, *, labels: bool) -> Source | None:
    """The images of the CSVs of the only folder below ``data`` whose CSVs have labels; None if there is none, or
    several, or if they list less than half of the images.

    Raises:
        UserError: as ``folder_of_lists``.
    """
    tables = [path for path in walk(data) if is_table(path)] if labels else []
    folders = {path.parent for path in tables} - {data}
    if len(folders) > 1:
        folders = {path.parent for path in tables if path.parent != data and _has_labels(path, reading, data)}
    if len(folders) != 1:
        return None
    source = folder_of_lists(folders.pop(), reading, labels=labels, top=data)
    least = LEAST_SHARE * sum(map(is_image, walk(data)))
    return source if source is not None and len(source.rows) >= least else None


def _has_labels(path: Path, reading: Reading, data: Path) -> bool:
    try:
        listing = located_listing(path, reading, data)
    except UserError:
        return False
    return listing.path_column is not None and label_column(listing, reading, required=False)[0] is not None
