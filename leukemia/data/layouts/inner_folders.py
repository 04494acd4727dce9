"""Folders below those that the rows of a CSV stand for: if they may be classes, the CSV is not read for its labels
unless the user says so."""

from __future__ import annotations

import shlex
from pathlib import PurePosixPath

from leukemia.base.errors import listed
from leukemia.base.printable import INDENT
from leukemia.data.class_hints import hinted_label
from leukemia.data.classes import NO_LABEL, LabelError, counted, mapping
from leukemia.data.layouts.companions import names_companions
from leukemia.data.layouts.folder_levels import Level, class_level, levels_of
from leukemia.data.layouts.label_candidates import label_candidates
from leukemia.data.layouts.listing import Listing
from leukemia.data.reading import Reading
from leukemia.data.subject_words import looks_like_subjects


def refuse_inner_folders(listing: Listing, column: str | None, reading: Reading) -> None:
    """Refuse a CSV whose rows stand for folders of patients or slides, with folders inside that may be classes.

    Args:
        column: of the labels, in lower case; None if no column is called so.

    Raises:
        LabelError: what to type for either.
    """
    chosen = reading.label_column is not None or reading.is_partial or listing.is_in_names
    name = listing.folder_column
    if chosen or name is None or listing.path_column is None:
        return
    column = column or next(iter(label_candidates(listing)), None)
    level = _classes_inside(listing, name.lower())
    if column is None or level is None:
        return
    subjects = next(filter(looks_like_subjects, listing.columns), name)
    own = [values[column.lower()] or NO_LABEL for _, values in listing.rows]
    written = next((each for each in listing.columns if each.lower() == column.lower()), column)
    folders = mapping(level.names, None)[0]
    labels = mapping(own, reading.classes)[0]
    raise LabelError(
        f"{listing.path}: each row stands for a folder, with folders inside that may be the classes; say which is "
        f"meant, the folders or the column {written} ({', '.join(counted(own))}):\n{listed(counted(level.names))}\n"
        f"{INDENT}to read the folders, with the patients of the CSV: {folders} --subject-column {shlex.quote(subjects)}"
        f"\n{INDENT}to read one label for all images of a row: --label-column {shlex.quote(written)} {labels}"
    )


def _classes_inside(listing: Listing, column: str) -> Level | None:
    """The level of folders, below those of the rows, that may be classes; None if there is none."""
    assert listing.path_column is not None
    inside = []
    owners: dict[str, set[str]] = {}
    for _, values in listing.rows:
        folders = PurePosixPath(values[listing.path_column]).parts[:-1]
        own = PurePosixPath(values[column].replace("\\", "/")).parts
        last = own[-1].casefold() if own else ""
        first = next((place for place, each in enumerate(folders, 1) if each.casefold() == last), len(folders))
        if folders[first:] and not any(map(names_companions, folders[first:])):
            inside.append(folders[first:])
            for each in folders[first:]:
                owners.setdefault(each, set()).add(last)
    level = class_level(levels_of(inside))
    if level is None or (level.are_fields and not any(hinted_label(name) is not None for name in set(level.names))):
        return None
    # Classes are those of several patients; slides are of one.
    return level if any(len(owners.get(each, ())) > 1 for each in set(level.names)) else None
