"""C-NMC 2019 as published (doi:10.7937/tcia.2019.dc64i46r): the training folds, and the test phases beside them."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

from leukemia import CLASS_NAMES
from leukemia.base.errors import UserError, listed
from leukemia.data.layouts.listing import Folder, Listing, labels_of, read_listing
from leukemia.data.layouts.source import Row, Source, direct_images, is_image, left_out, subfolders, walk

_NAME = re.compile(r"UID_(?P<subject>[^_]+)_(?:.*_)?(?P<last>[^_]+)$")
_LABELS_SUFFIX = "_labels"


def subject_of(name: str) -> str | None:
    """The subject in a file name of C-NMC, upper case since a few are written ``h3``; None for other names.

    >>> subject_of("UID_h3_2_1_hem.bmp")
    'H3'
    """
    match = _NAME.match(Path(name).stem)
    return match["subject"].upper() if match else None


def training_images(data: Path) -> Source | None:
    """The images ``fold_*/{all,hem}/UID_*`` in ``data`` or up to two folders below; None where there are none.

    Other images inside ``data``, such as a test phase, are counted in ``apart`` and left out. Folders ``all`` and
    ``hem`` without folds are C-NMC's, too, where every image has a name of its kind.

    Raises:
        UserError: several copies, images outside of the class folders, names without a subject or of the other class.
    """
    root = _training_root(data)
    if root is None:
        return None
    classes = [folder for folder in (root, *_folds(root)) for folder in _class_folders(folder)]
    images = [path for folder in classes for path in direct_images(folder)]
    strays = sorted({path for path in walk(root) if is_image(path)} - set(images))
    if strays:
        raise UserError(
            f"{root}: expected images as fold_*/all/UID_* and fold_*/hem/UID_*, these lie elsewhere; move them away:\n"
            f"{listed(path.relative_to(root).as_posix() for path in strays)}"
        )
    rows = tuple(
        Row(path=path, label=CLASS_NAMES.index(path.parent.name.lower()), subject=subject_of(path.name))
        for path in images
    )
    _check_names(root, [(path.relative_to(root).as_posix(), row) for path, row in zip(images, rows, strict=True)])
    return Source(layout="cnmc", root=root, rows=rows, apart=_apart(data, root), notes=left_out(root, [root]))


def is_test_listing(listing: Listing) -> bool:
    """Whether a CSV is the labels file of a test phase."""
    return listing.has("patient_id", "new_names", "labels")


def listed_test_images(listing: Listing, base: Path | None) -> Source:
    """The images of a test phase's labels CSV ``Patient_ID,new_names,labels``.

    They lie in ``base``, else in the folder beside the CSV that is named like it without ``_labels``, else beside it.

    Raises:
        UserError: as for any CSV, and patient ids without a subject or of the other class.
    """
    name, parent = listing.path.stem.removesuffix(_LABELS_SUFFIX), listing.path.parent
    places = [base] if base else [parent / name, parent / name / name, parent]
    root = next((place for place in places if place.is_dir() and direct_images(place)), None)
    if root is None:
        raise UserError(f"{listing.path}: no images in {' or '.join(map(str, places))}; name their folder with --base")
    folder = Folder(root=root.resolve())
    labels, patients = labels_of(listing, "labels", required=True), listing.column("patient_id")
    rows = tuple(
        Row(path=path, label=label, subject=subject_of(patient))
        for path, label, patient in zip(folder.resolve_all(listing, "new_names"), labels, patients, strict=True)
    )
    _check_names(listing.path, list(zip(patients, rows, strict=True)))
    unlisted = {path.resolve() for path in direct_images(folder.root)} - {row.path for row in rows}
    notes = (f"{len(unlisted)} images in {root} are not in {listing.path.name} and were left out",) if unlisted else ()
    return Source(layout="cnmc", root=folder.root, rows=rows, notes=(*folder.notes(listing), *notes))


def phase_images(data: Path) -> Source | None:
    """The images of a test phase, ``data`` being its folder or holding it alone; None where it is none.

    They are labelled by the CSV ``NAME_labels.csv`` inside or beside; without one they have no labels.

    Raises:
        UserError: as ``listed_test_images``, and images that the CSV leaves out.
    """
    inner = [folder for folder in subfolders(data) if _is_test_name(folder.name) and direct_images(folder)]
    folder = inner[0] if len(inner) == 1 and not direct_images(data) else data
    name = f"{folder.name}{_LABELS_SUFFIX}.csv"
    places = [folder.parent / name, folder / name, *([data.parent / name] if folder != data else [])]
    labels = next((place for place in places if place.is_file()), None)
    if not direct_images(folder) or not (labels or _is_test_name(folder.name)):
        return None
    if labels is None:
        rows = tuple(Row(path=path, label=None, subject=None) for path in direct_images(folder))
        return Source(layout="cnmc", root=folder, rows=rows, notes=left_out(folder, [folder]))
    source = listed_test_images(read_listing(labels), folder)
    unlabelled = {path.name for path in direct_images(folder)} - {row.path.name for row in source.rows}
    if unlabelled:
        raise UserError(
            f"{labels}: images of {folder} have no row; add their labels, or give the CSV instead of the folder to "
            f"leave them out:\n{listed(sorted(unlabelled))}"
        )
    return source


def _is_test_name(name: str) -> bool:
    return name.lower().startswith("c-nmc_test")


def _folds(folder: Path) -> list[Path]:
    return [fold for fold in subfolders(folder) if fold.name.lower().startswith("fold_") and _class_folders(fold)]


def _class_folders(folder: Path) -> list[Path]:
    return [path for path in subfolders(folder) if path.name.lower() in CLASS_NAMES]


def _training_root(data: Path) -> Path | None:
    if not _folds(data) and _class_folders(data):
        images = [path for folder in _class_folders(data) for path in walk(folder) if is_image(path)]
        return data if images and all(subject_of(path.name) for path in images) else None
    level = [data]
    for _ in range(3):
        roots = [folder for folder in level if _folds(folder)]
        if len(roots) > 1:
            raise UserError(f"{data}: several copies of C-NMC; name one:\n{listed(map(str, roots))}")
        if roots:
            return roots[0]
        level = [below for folder in level for below in subfolders(folder)]
    return None


def _check_names(place: Path, named: list[tuple[str, Row]]) -> None:
    nameless = [name for name, row in named if row.subject is None]
    if nameless:
        raise UserError(
            f"{place}: expected names as UID_SUBJECT_..., which tell the subject; these differ, rename or remove:\n"
            f"{listed(nameless)}"
        )
    contrary = [name for name, row in named if row.label is not None and _other_class(name, row.label)]
    if contrary:
        raise UserError(
            f"{place}: the name says one class, the folder or label another; fix these:\n{listed(contrary)}"
        )


def _other_class(name: str, label: int) -> bool:
    match = _NAME.match(Path(name).stem)
    return match is not None and match["last"].lower() == CLASS_NAMES[1 - label]


def _apart(data: Path, root: Path) -> tuple[str, ...]:
    inside = (path for path in walk(data) if is_image(path) and not path.is_relative_to(root))
    counts = Counter(path.parent.relative_to(data).as_posix() for path in inside)
    return tuple(
        f"{data.name if folder == '.' else folder}: {number} images" for folder, number in sorted(counts.items())
    )
