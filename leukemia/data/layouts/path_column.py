"""The column of a CSV that says which images its rows are about: by its name, or by files or folders of its values."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from leukemia.data.classes import LabelError
from leukemia.data.layouts.companions import names_companions
from leukemia.data.layouts.file_index import FileIndex
from leukemia.data.layouts.label_column import COLUMNS
from leukemia.data.layouts.source import is_image
from leukemia.data.layouts.written_path import WrittenPath
from leukemia.data.subject_words import looks_like_subjects

NAMES = (
    *("path", "filepath", "file_path", "image_path", "img_path", "filename", "file_name", "image_name", "img_name"),
    *("file", "image", "img", "image_id"),
)
"""Where paths are looked for, ignoring case; the first one that a CSV has is read."""

_ID = re.compile(r"id|(image|img|file|picture|pic|photo|cell)[\W_]*(id|no|nr|num|number)\W*", re.IGNORECASE)

MOST_COLUMNS, SAMPLE = 50, 200
"""So many columns are looked at, and so many rows of each, spread over the CSV."""

LEAST_FOUND, LEAST_SURE = 0.9, 0.6
"""The share of values that must be images of the data by their names without suffix; and where they are folders, or
images with a suffix, which hardly happens by chance."""


class SeveralPaths(LabelError):
    """A table whose rows name several images each."""


def found_column(path: Path, columns: Mapping[str, Sequence[str]], index: FileIndex, root: Path) -> str | None:
    """The column whose values are images of the data; None if there is none.

    Args:
        path: of the CSV, for messages.
        columns: the values of each column.
        index: of ``root``.
        root: base folder of relative paths, without symbolic links.

    Raises:
        LabelError: there are several.
    """
    # The number of a patient or a class may be the name of an image by chance, but hardly with its suffix.
    others = {name: values for name, values in columns.items() if name not in COLUMNS and not looks_like_subjects(name)}
    attempts: tuple[tuple[Mapping[str, Sequence[str]], Callable[[str], bool], float], ...] = (
        (columns, lambda text: is_there(text, root), LEAST_SURE),
        (columns, lambda text: is_image(Path(text)) and _is_named(text, root, index), LEAST_SURE),
        (others, lambda text: _is_named(text, root, index), LEAST_FOUND),
    )
    for candidates, is_path, least in attempts:
        if found := [name for name, values in candidates.items() if _share(values, is_path, least)]:
            return _only(path, _of_cells(found, columns, root, index), "images")
    return None


def sure_column(columns: Mapping[str, Sequence[str]], index: FileIndex, root: Path) -> str | None:
    """The first column called like subjects, or without a name, all of whose values are names of images; None if there
    is none.

    Numbers of patients may be names of images by chance, names with letters hardly. Arguments as for ``found_column``.
    """
    names = [name for name in columns if not name or looks_like_subjects(name)]
    return next(
        (
            name
            for name in names
            if not all(map(str.isdecimal, columns[name]))
            and _share(columns[name], lambda text: _is_named(text, root, index), 1.0)
        ),
        None,
    )


def finer_column(columns: Mapping[str, Sequence[str]], named: str, root: Path, index: FileIndex) -> str | None:
    """The column with another image in each row, if one with a usual name has an image in several, such as the field or
    the slide of each cell; None if there is none.

    Numbers are names of images by chance, unless they are paths.
    """
    if len(set(columns[named])) >= LEAST_FOUND * len(columns[named]):
        return None
    others = {name: values for name, values in columns.items() if name != named}
    found = [name for name, values in others.items() if _share(values, lambda text: is_there(text, root), 1.0)]
    if not found:
        finer = cell_columns(columns, named, root, index)
        found = [name for name in finer if not all(map(str.isdecimal, columns[name]))]
    return found[0] if len(found) == 1 and not names_companions(found[0]) else None


def cell_columns(columns: Mapping[str, Sequence[str]], named: str, root: Path, index: FileIndex) -> list[str]:
    """The columns, other than that of the paths, that have the name of another image in each row."""
    return [
        name
        for name, values in columns.items()
        if name not in (named, *COLUMNS)
        and len(set(values)) == len(values)
        and _share(values, lambda text: _is_named(text, root, index), 1.0)
    ]


def id_columns(columns: Mapping[str, Sequence[str]]) -> dict[str, Sequence[str]]:
    """The columns whose numbers may be those of images without leading zeros, by the words of their names.

    >>> list(id_columns({"image id": ["1"], "imgNo": ["1"], "cell_number": ["1"], "age": ["1"]}))
    ['image id', 'imgNo', 'cell_number']
    """
    found = {name: values for name, values in columns.items() if _ID.fullmatch(name)}
    return {"id": found["id"]} if "id" in found else found


def unpadded_column(columns: Mapping[str, Sequence[str]], index: FileIndex, root: Path) -> str | None:
    """The first column whose values may all be names of images without leading zeros, whatever it is called.

    Args:
        index: of ``root``; it ignores zeros.
    """
    possible = {name: values for name, values in columns.items() if name.lower() not in COLUMNS}
    named = (
        name for name, values in possible.items() if _share(values, lambda text: _is_named(text, root, index), 1.0)
    )
    return next(named, None)


def folder_column(path: Path, columns: Mapping[str, Sequence[str]], index: FileIndex) -> str | None:
    """The column whose values are folders of images, one row for each; None if there is none.

    Arguments and errors as for ``found_column``.
    """
    found = [name for name, values in columns.items() if name not in COLUMNS and _names_folders(values, index)]
    return _only(path, found, "folders of images")


def patient_folders(columns: Mapping[str, Sequence[str]], index: FileIndex) -> str | None:
    """The first column called like subjects whose values are folders without leading zeros; None if there is none.

    Args:
        index: it ignores zeros.
    """
    names = (name for name in columns if looks_like_subjects(name) or _ID.fullmatch(name))
    return next((name for name in names if _names_folders(columns[name], index)), None)


def recurring_folders(columns: Mapping[str, Sequence[str]], index: FileIndex) -> str | None:
    """The first column whose values are folders of images, though several rows have the same; None if there is none."""
    return next(
        (
            name
            for name, values in columns.items()
            if name.lower() not in COLUMNS
            and _share(sorted(set(values)), lambda text: bool(images_in(text, index)), LEAST_SURE)
        ),
        None,
    )


def has_images(values: Sequence[str], index: FileIndex, root: Path) -> bool:
    """Whether one of a sample of values is an image, or a folder of images, of the data."""
    sample = values[:: -(-len(values) // SAMPLE)]
    return any(_is_named(text, root, index) or images_in(text, index) for text in sample)


def is_there(text: str, root: Path) -> bool:
    """Whether a value is the path of an image, as written."""
    written = WrittenPath.of(text, root)
    return written is not None and written.is_there and is_image(written.real)


def images_in(text: str, index: FileIndex) -> list[Path]:
    """The images of the folders that a value names, and of those in them, sorted."""
    parts = tuple(part for part in text.replace("\\", "/").split("/") if part not in ("", "."))
    return sorted({path for folder in index.folders(parts) for path in index.images_below(folder)}) if parts else []


def _of_cells(found: Sequence[str], columns: Mapping[str, Sequence[str]], root: Path, index: FileIndex) -> list[str]:
    """Of several columns of images those that are not called for masks and other companions; one of several with the
    same images, if possible with a usual name."""
    kept = [name for name in found if not names_companions(name)] or list(found)
    kept.sort(key=lambda name: NAMES.index(name) if name in NAMES else len(NAMES))
    files = {name: [_files_of(text, root, index) for text in columns[name][:SAMPLE]] for name in kept}
    return kept[:1] if len(kept) > 1 and all(files[name] == files[kept[0]] for name in kept) else kept


def _files_of(text: str, root: Path, index: FileIndex) -> list[Path]:
    written = WrittenPath.of(text, root)
    if written is None:
        return []
    return [written.real] if written.is_there else sorted(index.called(written.name))


def _only(path: Path, found: Sequence[str], what: str) -> str | None:
    if len(found) > 1:
        raise SeveralPaths(
            f"{path}: the columns {', '.join(found)} have names of {what}; leave only one of them in the CSV"
        )
    return found[0] if found else None


def _names_folders(values: Sequence[str], index: FileIndex) -> bool:
    return len(set(values)) == len(values) and _share(values, lambda text: bool(images_in(text, index)), LEAST_SURE)


def _share(values: Sequence[str], holds: Callable[[str], bool], least: float) -> bool:
    """Whether at least this share of the values, of which nearly all differ, is as expected."""
    if len(set(values)) < LEAST_FOUND * len(values):
        return False
    sample = values[:: -(-len(values) // SAMPLE)]
    return sum(map(holds, sample)) >= least * len(sample)


def _is_named(text: str, root: Path, index: FileIndex) -> bool:
    written = WrittenPath.of(text, root)
    return written is not None and any(is_image(path) for path in index.called(written.name))
