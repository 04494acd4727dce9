"""C-NMC 2019 as published (doi:10.7937/tcia.2019.dc64i46r): the training folds, and the test phases next to them."""

from __future__ import annotations

import dataclasses
import re
from collections import Counter
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

from leukemia import CLASS_NAMES
from leukemia.base.errors import UserError, listed
from leukemia.base.quantity import are, have, quantity
from leukemia.data.layouts.label_column import read_labels
from leukemia.data.layouts.listed_folder import Folder
from leukemia.data.layouts.listing import Listing, read_listing
from leukemia.data.layouts.repeated_rows import joined
from leukemia.data.layouts.source import Row, Source, direct_images, ignored_files, is_image, subfolders, walk
from leukemia.data.reading import Reading
from leukemia.data.subjects import cnmc_subject, cnmc_subjects

FOLDS = ("fold_0", "fold_1", "fold_2")
"""The folders of the training images."""

# Copies have more after the class, such as ``_all_aug2`` or ``_all (1)``.
_CLASS = re.compile(rf"_({'|'.join(CLASS_NAMES)})(?![A-Za-z0-9])", re.IGNORECASE)
_LABELS_SUFFIX = "_labels"


def training_images(data: Path, reading: Reading) -> Source | None:
    """The images ``fold_*/{all,hem}/*`` in ``data`` or up to two folders below; None if absent.

    Other images inside ``data``, such as a test phase, are counted in ``excluded``. Folders ``all`` and ``hem`` without
    folds also count as C-NMC if most of the images are named like C-NMC's. A folder unpacked into itself
    (``fold_0/fold_0/all``) is the same as one that is not.

    Raises:
        UserError: several copies, images outside the class folders, or names with the wrong class.
    """
    root = _training_root(data)
    if root is None:
        return None
    classes = [folder for folder in (root, *_folds(root)) for folder in _class_folders(folder)]
    images = [path for folder in classes for path in direct_images(folder)]
    misplaced = sorted({path for path in walk(root) if is_image(path)} - set(images))
    if misplaced:
        raise UserError(
            f"{root}: expected images as fold_*/all/UID_* and fold_*/hem/UID_*; move these away:\n"
            f"{listed(path.relative_to(root).as_posix() for path in misplaced)}"
        )
    names = [path.relative_to(root).as_posix() for path in images]
    rows = tuple(
        Row(path=path, label=CLASS_NAMES.index(path.parent.name.lower()), subject=subject)
        for path, subject in zip(images, cnmc_subjects(names), strict=True)
    )
    _check_classes(root, zip(names, rows, strict=True))
    return Source(
        layout="cnmc",
        root=root,
        rows=rows,
        excluded=_excluded(data, root),
        notes=(*_absent_folds(root), *ignored_files([root])),
    )


def is_test_listing(listing: Listing) -> bool:
    """Whether a CSV is the labels file of a test phase."""
    return listing.has("patient_id", "new_names", "labels")


def listed_test_images(listing: Listing, reading: Reading) -> Source:
    """The images of a test phase's labels CSV ``Patient_ID,new_names,labels``.

    They are in ``reading.base``; by default in the folder named like the CSV without ``_labels``, or next to the CSV.
    Subjects are in ``Patient_ID``, unless another column is given.

    Raises:
        UserError: as for any CSV; or patient ids with the wrong class.
    """
    name, parent = listing.path.stem.removesuffix(_LABELS_SUFFIX), listing.path.parent
    candidates = [Path(reading.base)] if reading.base else [parent / name, parent / name / name, parent]
    root = next((path for path in candidates if path.is_dir() and direct_images(path)), None)
    if root is None:
        raise UserError(
            f"{listing.path}: no images in {' or '.join(map(str, candidates))}; give their folder with "
            f"{reading.base_option}"
        )
    folder = Folder(root.resolve(), reading.base_option)
    subjects, unread = listing.subjects(reading.subject_column, "patient_id")
    labels = read_labels(listing, "labels", reading, required=True)
    listed = [
        Row(path=path, label=label, word=word, subject=subject, name=name)
        for path, (word, label), subject, name in zip(
            folder.resolve_all(listing, "new_names"), labels, subjects, listing.column("new_names"), strict=True
        )
    ]
    _check_classes(listing.path, zip(listing.column("patient_id"), listed, strict=True))
    rows, repeated = joined(listing, listed)
    unlisted = {path.resolve() for path in direct_images(folder.root)} - {row.path.resolve() for row in rows}
    notes = (
        (f"{quantity(len(unlisted), 'image')} in {root} {are(len(unlisted))} not listed in the CSV, and not read",)
        if unlisted
        else ()
    )
    return Source(
        layout="cnmc",
        root=folder.root,
        rows=rows,
        notes=(*folder.notes(listing), *repeated, *notes),
        unread_columns=unread,
    )


def phase_images(data: Path, reading: Reading) -> Source | None:
    """The images of a test phase, where ``data`` is its folder or contains only it; None if it is not a test phase.

    Labels are in the CSV ``NAME_labels.csv`` inside or next to the folder; without it the images have no labels.

    Raises:
        UserError: as ``listed_test_images``; or images that the CSV does not list.
    """
    inner = [folder for folder in subfolders(data) if _is_test_name(folder.name) and direct_images(folder)]
    folder = inner[0] if len(inner) == 1 and not direct_images(data) else data
    name = f"{folder.name}{_LABELS_SUFFIX}.csv"
    candidates = [folder.parent / name, folder / name, *([data.parent / name] if folder != data else [])]
    labels = next((path for path in candidates if path.is_file()), None)
    if not direct_images(folder) or not (labels or _is_test_name(folder.name)):
        return None
    listing = None if labels is None else read_listing(labels)
    if listing is not None and not is_test_listing(listing):
        if not _is_test_name(folder.name):
            # Of another layout.
            return None
        raise UserError(
            f"{listing.path}: expected the columns Patient_ID, new_names, labels, found {', '.join(listing.columns)}; "
            "restore the file of the data set"
        )
    if listing is None:
        rows = tuple(Row(path=path, label=None) for path in direct_images(folder))
        return Source(layout="cnmc", root=folder, rows=rows, notes=ignored_files([folder]))
    source = listed_test_images(listing, dataclasses.replace(reading, base=str(folder)))
    unlabelled = {path.name for path in direct_images(folder)} - {row.path.name for row in source.rows}
    if unlabelled:
        raise UserError(
            f"{listing.path}: images of {folder} are not listed; add their labels, or give the CSV instead of the "
            f"folder to ignore them:\n{listed(sorted(unlabelled))}"
        )
    return source


def _is_test_name(name: str) -> bool:
    return name.lower().startswith("c-nmc_test")


def _folds(folder: Path) -> list[Path]:
    folds = [_unpacked(fold) for fold in subfolders(folder) if fold.name.lower().startswith("fold_")]
    return [fold for fold in folds if _class_folders(fold)]


def _class_folders(folder: Path) -> list[Path]:
    return [_unpacked(path) for path in subfolders(folder) if path.name.lower() in CLASS_NAMES]


def _unpacked(folder: Path) -> Path:
    """The folder of the same name in a folder that contains nothing else, which some programs for archives create."""
    inner = folder / folder.name
    return inner if subfolders(folder) == [inner] and not direct_images(folder) else folder


def _training_root(data: Path) -> Path | None:
    if not _folds(data) and _class_folders(data):
        images = [path for folder in _class_folders(data) for path in walk(folder) if is_image(path)]
        return data if any(cnmc_subjects([path.name for path in images])) else None
    level = [data]
    for _ in range(3):
        roots = [folder for folder in level if _folds(folder)]
        if len(roots) > 1:
            raise UserError(f"{data}: several copies of C-NMC; choose one:\n{listed(map(str, roots))}")
        if roots:
            return roots[0]
        level = [below for folder in level for below in subfolders(folder)]
    return None


def _absent_folds(root: Path) -> tuple[str, ...]:
    present = {name for name in [root.name.lower(), *(fold.name.lower() for fold in _folds(root))] if "fold_" in name}
    found = sorted(present & set(FOLDS))
    if not found or present >= set(FOLDS) or present - set(FOLDS):
        return ()
    absent = [name for name in FOLDS if name not in found]
    return (f"only {', '.join(found)} of C-NMC's folders; without {', '.join(absent)}, subjects are missing",)


def _check_classes(location: Path, named: Iterable[tuple[str, Row]]) -> None:
    conflicts = [name for name, row in named if row.label is not None and _other_class(name, row.label)]
    if conflicts:
        raise UserError(
            f"{location}: the class in the name differs from the folder or label; fix these:\n{listed(conflicts)}"
        )


def with_doubts(source: Source) -> Source:
    """The images of any layout, with a note on how many C-NMC names have another class than the label.

    In C-NMC that is an error. Elsewhere, names may mean something else.
    """
    if source.layout == "cnmc":
        # Its reader has refused them.
        return source
    names = [(row.path.relative_to(source.root).as_posix(), row.label) for row in source.rows]
    number = sum(label is not None and _other_class(name, label) for name, label in names)
    if not number:
        return source
    note = (
        f"warning: {number} of {len(names)} images {have(number)} another class in their C-NMC name "
        f"(UID_..._{CLASS_NAMES[0]}, "
        f"UID_..._{CLASS_NAMES[1]}) than their label or folder says, which counts; check the labels (0 "
        f"{CLASS_NAMES[0]}, 1 {CLASS_NAMES[1]})"
    )
    return dataclasses.replace(source, notes=(*source.notes, note))


def _other_class(name: str, label: int) -> bool:
    found = _CLASS.findall(PurePosixPath(name).name) if cnmc_subject(name) else []
    return bool(found) and found[-1].lower() == CLASS_NAMES[1 - label]


def _excluded(data: Path, root: Path) -> tuple[str, ...]:
    inside = (path for path in walk(data) if is_image(path) and not path.is_relative_to(root))
    counts = Counter(path.parent.relative_to(data).as_posix() for path in inside)
    return tuple(
        f"{data.name if folder == '.' else folder}: {number} images" for folder, number in sorted(counts.items())
    )
