"""A CSV that lists images: rows, labels, and paths, which must stay inside their base folder."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path

from leukemia.base.errors import UserError
from leukemia.data.classes import LabelError
from leukemia.data.layouts.file_index import FileIndex
from leukemia.data.layouts.folder_labels import check_folders
from leukemia.data.layouts.inner_folders import refuse_inner_folders
from leukemia.data.layouts.label_candidates import label_candidates, no_label_column, unread_candidates
from leukemia.data.layouts.label_column import check_other_columns, label_column, read_labels
from leukemia.data.layouts.listed_folder import Folder, OtherBase
from leukemia.data.layouts.listing import TABLE, Listing
from leukemia.data.layouts.other_readers import other_readers
from leukemia.data.layouts.path_column import MOST_COLUMNS, cell_columns, recurring_folders, unpadded_column
from leukemia.data.layouts.program_columns import is_label_sheet
from leukemia.data.layouts.recurring_columns import left_columns, recurring_columns
from leukemia.data.layouts.repeated_rows import joined, places, with_labels_only
from leukemia.data.layouts.source import Row, Source, is_image, walk
from leukemia.data.reading import Reading
from leukemia.data.split import part_of, split_column


def list_images(listing: Listing, reading: Reading, *, labels: bool) -> Source:
    """The images of a CSV ``Path,label`` with an optional column of subjects; labels are 0, 1 or words for them.

    Args:
        reading: the user's options.
        labels: whether labels are required. If not, either all or no images must have one.

    Raises:
        UserError: columns, labels or paths are missing or invalid; all offending rows are listed.
    """
    labels = labels and not reading.is_partial
    column, label_notes = label_column(listing, reading, required=labels)
    paths_from = listing.path_column
    if reading.is_partial and paths_from is not None:
        listing = Folder(_base_of(listing, reading), reading.base_option).there(listing, paths_from)
        if not listing.rows:
            raise LabelError(f"{listing.path}: none of its images is below {listing.base}")
        column = column or next((name.lower() for name in label_candidates(listing)), None)
    if labels:
        refuse_inner_folders(listing, column, reading)
    if paths_from is None or (labels and column is None):
        raise _no_columns(listing, column, reading, labels=labels)
    listing = listing if column is None else with_labels_only(listing, column)
    path_notes = () if paths_from == "path" else (_path_note(listing, paths_from, reading),)
    found = read_labels(listing, column, reading, required=labels)
    check_other_columns(listing, column, [label for _, label in found], reading)
    if not reading.is_partial:
        _check_once(listing, paths_from, found)
    subjects, unread = listing.subjects(reading.subject_column, "subject")
    folder = Folder(_base_of(listing, reading), reading.base_option)
    paths = folder.resolve_all(listing, paths_from)
    names = listing.column(listing.name_column or paths_from)
    split_name = split_column(listing.columns, reading) or _column_of_parts(listing, column, reading)
    splits = [None] * len(names) if split_name is None else listing.column(split_name)
    doubts = check_folders(listing, column, paths, [label for _, label in found], folder.root, reading)
    rows, repeated = joined(
        listing,
        [
            Row(
                path=path,
                label=label,
                word=word,
                subject=subject,
                name=name,
                split=split,
                table=Path(values.get(TABLE, listing.path)),
                is_found=not listing.has_row_per_image,
            )
            for path, (word, label), subject, name, split, (_, values) in zip(
                paths, found, subjects, names, splits, listing.rows, strict=True
            )
        ],
    )
    return Source(
        layout="csv",
        root=folder.root,
        rows=rows,
        notes=(*path_notes, *label_notes, *folder.notes(listing), *repeated),
        named_notes=(*doubts, *(() if column is None else _other_columns(listing, column, reading))),
        split_from="" if split_name is None else f"the column {split_name}",
        tables=(listing.path, *listing.joined),
        unread_columns=unread,
        recurring_columns=recurring_columns(listing, [label for _, label in found], [word for word, _ in found]),
        is_sheet=is_label_sheet(listing.columns),
        left_columns=left_columns(listing, column),
    )


def _other_columns(listing: Listing, column: str, reading: Reading) -> tuple[str, ...]:
    """Notes on columns other than that of the labels, in lower case."""
    readers = other_readers(listing, column) if column in map(str.lower, listing.columns) else ()
    return (*readers, *unread_candidates(listing, column, reading))


def _path_note(listing: Listing, column: str, reading: Reading) -> str:
    """Where the paths are from, if not from a column of that name."""
    if listing.folder_column is None:
        return f"paths are read from the column {column or 'without a name'}"
    name = listing.folder_column
    is_given = (reading.subject_column or reading.subject_pattern) is not None
    way = "" if is_given else f"; if a folder is a patient, give --subject-column {shlex.quote(name)}"
    num_images = len(listing.rows)
    if listing.is_in_names:
        way = "" if is_given else f"; if these are patients, give --subject-column {shlex.quote(name)}"
        return f"each row of the CSV stands for the images whose names have its {name}: {num_images} images{way}"
    return f"each row of the CSV stands for a folder, named in the column {name}: {num_images} images{way}"


def _no_columns(listing: Listing, column: str | None, reading: Reading, *, labels: bool) -> UserError:
    """The error for a CSV without a column of paths, or of labels where they are required."""
    found = ", ".join(listing.columns)
    wanted = "a column Path" if column or not labels else "the columns Path and label"
    if any(is_image(Path(name)) for name in listing.columns):
        return UserError(f"{listing.path}: expected {wanted}, found {found}; add a header as the first line")
    if listing.path_column is None:
        base = _base_of(listing, reading)
        message = f"{listing.path}: expected {wanted}, found {found}; no column has the names of images"
        if name := recurring_folders(_values_of(listing), FileIndex(base)):
            return LabelError(
                f"{message} below {base}, and {name}, which has the names of folders, is not different in each row: "
                "write the path of an image into each row"
            )
        return OtherBase(f"{message} or folders below {base}{_example(listing, base, reading)}")
    return no_label_column(listing, reading)


def _example(listing: Listing, base: Path, reading: Reading) -> str:
    """The path of an image beside a value of a column, and what to do."""
    columns = _values_of(listing)
    unpadded = unpadded_column(columns, FileIndex(base, ignores_zeros=True), base)
    column = unpadded or next(iter(columns), None)
    image = next((path for path in walk(base) if is_image(path)), None)
    example = ""
    if image is not None and column is not None:
        example = f", such as {image.relative_to(base)}; {column} has {columns[column][0]}"
    if unpadded:
        return f"{example}, as if without leading zeros: call this column image_id in the header if it names the images"
    folder = "their" if reading.base is None else "another"
    return f"{example}: write them as they are there, or give {folder} folder with {reading.base_option}"


def _values_of(listing: Listing) -> dict[str, list[str]]:
    """The values of the first columns, which may be paths."""
    names = [name for name in listing.columns[:MOST_COLUMNS] if name]
    return {name: [values[name.lower()] for _, values in listing.rows] for name in names}


def _check_once(listing: Listing, path_column: str, labels: Sequence[tuple[str | None, int | None]]) -> None:
    """Refuse images of several rows with different labels, such as those of several raters, before any is removed."""
    rows: dict[str, list[tuple[str, str | None, int | None]]] = {}
    for path, place, (word, label) in zip(listing.column(path_column), places(listing), labels, strict=True):
        rows.setdefault(path, []).append((place, word, label))
    conflicts = [
        f"{path}: {', '.join(f'{word} in {place}' for place, word, _ in each)}"
        for path, each in rows.items()
        if len({label for _, _, label in each}) > 1
    ]
    message = "images have different labels in several rows"
    base, values = listing.base.resolve(), _values_of(listing) if conflicts else {}
    values = {name.lower(): each for name, each in values.items()}
    if finer := cell_columns(values, path_column, base, FileIndex(base)) if conflicts else []:
        message += f"; {finer[0]} names another image in each: if it has the cells, call {path_column} otherwise"
    else:
        message += "; decide, and keep one row of each"
    listing.reject(message, conflicts, LabelError)


def _column_of_parts(listing: Listing, column: str | None, reading: Reading) -> str | None:
    """The only column, in lower case, all of whose words are for parts of a split, whatever it is called; None if there
    is none.

    Args:
        column: of the labels.
    """
    if reading.split_column is not None:
        return None
    names = {name.lower() for name in listing.columns if name} - {column, listing.path_column}
    words = {name: {values[name] for _, values in listing.rows} for name in sorted(names)}
    found = [name for name, each in words.items() if len(each) > 1 and all(map(part_of, each))]
    return found[0] if len(found) == 1 else None


def _base_of(listing: Listing, reading: Reading) -> Path:
    if not listing.base.is_dir():
        raise UserError(
            f"no folder at {listing.base}; {reading.base_option} is the base folder for relative paths in the CSV"
        )
    return listing.base.resolve()
