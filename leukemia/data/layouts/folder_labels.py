"""Labels of a CSV that differ from what the folders of its images say: a label sheet is refused, another CSV noted."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path

from leukemia.base.quantity import have, quantity
from leukemia.data.classes import NAMED, LabelError
from leukemia.data.layouts.beside import num_common
from leukemia.data.layouts.listing import Listing
from leukemia.data.reading import Reading

FOLDER = "folder 1"
"""A column of label sheets, and of nothing else."""


def check_folders(
    listing: Listing,
    column: str | None,
    paths: Sequence[Path],
    labels: Sequence[int | None],
    root: Path,
    reading: Reading,
) -> tuple[str, ...]:
    """A note on labels that differ from the class folders of their images, unless the user has chosen the column.

    Folders may have the diagnosis of a patient, and a CSV the kinds of cells. A label sheet is about the same as the
    folders that it lists.

    Args:
        column: of the labels, in lower case.
        paths: of the rows.
        labels: of the rows; 0 normal, 1 leukemic.
        root: the folder above the images.
        reading: the user's options.

    Raises:
        LabelError: labels of a label sheet differ.
    """
    if column is None or reading.label_column is not None or reading.classes is not None or reading.is_partial:
        return ()
    inside = [path.relative_to(root).parts[:-1] for path in paths]
    first = num_common(inside)
    named = [next((name for name in folders[first:] if name in NAMED), "") for folders in inside]
    if not {0, 1} <= {NAMED.label(name) for name in named}:
        return ()
    differing = {
        path: f"row {number}: {label} in {name}/"
        for (number, _), path, label, name in zip(listing.rows, paths, labels, named, strict=True)
        if name and label is not None and label != NAMED.label(name)
    }
    if not differing:
        return ()
    message = f"{quantity(len(differing), 'image')} {have(len(differing))} another label than the folder says"
    way = (
        f"to read the labels of the CSV, add --label-column {shlex.quote(column)}; to read the folders, give their "
        f"folder instead, {root}"
    )
    if listing.has(FOLDER):
        listing.reject(f"{message}; {way}", list(differing.values()), LabelError)
    return (f"warning: {message}, such as {next(iter(differing.values()))}",)
