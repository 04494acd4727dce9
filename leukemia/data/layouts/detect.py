"""Detection of the layout of a data set."""

from __future__ import annotations

from pathlib import Path

from leukemia.base.errors import MissingFile, UserError
from leukemia.data.layouts import cnmc
from leukemia.data.layouts.class_folders import CLASS_FOLDERS, class_folders, flat_folder
from leukemia.data.layouts.csv_listing import list_images, read_listing
from leukemia.data.layouts.source import Source, direct_images, subfolders, walk
from leukemia.data.reading import Reading
from leukemia.data.subjects import NotApplicable


def find_images(data: Path, reading: Reading, *, labels: bool) -> Source:
    """The images of a folder or a CSV, not read yet.

    Args:
        data: the C-NMC folder, the folder of one of its test phases or its labels CSV; a CSV ``Path,label``; a folder
            of folders named by class; or, if ``labels`` is False, a folder of images.
        reading: the user's options.
        labels: whether every image must have a label.

    Raises:
        MissingFile: ``data`` does not exist.
        NotApplicable: there is no such column of subjects, or no CSV.
        UserError: an unknown layout, no images, labels are required but missing, or the layout's reader fails.
    """
    if not data.exists():
        raise MissingFile(f"no folder or CSV at {data}; give C-NMC's folder, a CSV Path,label, or folders by class")
    if data.is_dir():
        if reading.base is not None:
            raise UserError(f"--base has no effect with {data}, which is a folder, not a CSV; leave it out")
        if reading.subject_column is not None:
            raise NotApplicable(
                f"--subject-column {reading.subject_column} has no effect with {data}, which is a folder, not a CSV; "
                "leave it out, or give --subject-pattern"
            )
        source = _in_folder(data.resolve(), reading)
    else:
        listing = read_listing(data.resolve())
        if cnmc.is_test_listing(listing):
            source = cnmc.listed_test_images(listing, reading)
        else:
            source = list_images(listing, reading, labels=labels)
    if not source.rows:
        raise UserError(f"{data}: the folders contain no images; unpack the data set again")
    if labels and source.rows[0].label is None:
        raise UserError(
            f"{data}: images without labels; expected C-NMC's fold_*/{{all,hem}}, folders named by class "
            f"({', '.join(CLASS_FOLDERS)}), or a CSV with the columns Path and label"
        )
    return source


def _in_folder(data: Path, reading: Reading) -> Source:
    for reader in (cnmc.training_images, cnmc.phase_images, class_folders, flat_folder):
        source = reader(data, reading)
        if source is not None:
            return source
    raise UserError(
        f"{data}: expected C-NMC's fold_*/{{all,hem}}, folders named by class ({', '.join(CLASS_FOLDERS)}), or a CSV; "
        f"found {_contents(data)}"
    )


def _contents(data: Path) -> str:
    tables = sorted(path.name for path in data.iterdir() if path.suffix.lower() == ".csv")
    if tables:
        return f"{', '.join(tables)}: give the path of one of them"
    folders = [folder.name for folder in subfolders(data) if direct_images(folder)]
    if folders:
        return f"images in folders with other names: {', '.join(folders[:20])}; rename them"
    return "other files only" if any(walk(data)) else "no images at all"
