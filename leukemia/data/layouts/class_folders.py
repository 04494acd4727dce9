"""Images in folders named by class, and folders of images without labels."""

from __future__ import annotations

from pathlib import Path

from leukemia import CLASS_NAMES
from leukemia.base.errors import UserError, listed
from leukemia.data.layouts.source import (
    Row,
    Source,
    direct_images,
    ignored_files,
    is_image,
    subfolders,
    walk,
)
from leukemia.data.reading import Reading

CLASS_FOLDERS = {
    "hem": 0,
    "normal": 0,
    "benign": 0,
    "0": 0,
    "all": 1,
    "leukemic": 1,
    "leukemia": 1,
    "malignant": 1,
    "1": 1,
}
"""Label by lower-case name of a class folder."""


def class_folders(data: Path, reading: Reading) -> Source | None:
    """The images below folders named by class (``CLASS_FOLDERS``); None if there is no such folder.

    Raises:
        UserError: images outside these folders, or in a folder named for the other class within one.
    """
    folders = subfolders(data)
    known = [folder for folder in folders if folder.name.lower() in CLASS_FOLDERS]
    if not known:
        return None
    unknown_folders = [folder.name for folder in folders if folder not in known and any(map(is_image, walk(folder)))]
    misplaced = [path.name for path in direct_images(data)]
    if unknown_folders or misplaced:
        raise UserError(
            f"{data}: images must be in folders named by class ({', '.join(CLASS_FOLDERS)}); "
            f"rename, move or remove these:\n{listed([*(f'{name}/' for name in unknown_folders), *misplaced])}"
        )
    for folder in known:
        _check_nested(data, folder)
    rows = tuple(
        Row(path=path, label=CLASS_FOLDERS[folder.name.lower()])
        for folder in known
        for path in walk(folder)
        if is_image(path)
    )
    return Source(layout="folders", root=data, rows=rows, notes=ignored_files(known))


def _check_nested(data: Path, folder: Path) -> None:
    """Reject images in ``1/hem/``: either folder may be the class, and the other a fold or a patient."""
    label = CLASS_FOLDERS[folder.name.lower()]
    for path in filter(is_image, walk(folder)):
        inner = path.relative_to(folder).parent
        other = next((name for name in inner.parts if CLASS_FOLDERS.get(name.lower(), label) != label), None)
        if other is not None:
            raise UserError(
                f"{data}: folder {folder.name}/{inner.as_posix()} is named for both classes: {folder.name!r} is "
                f"{CLASS_NAMES[label]}, {other!r} is {CLASS_NAMES[1 - label]}; if {folder.name!r} is no class, rename "
                f"it (folds of C-NMC are fold_0, fold_1, ...)"
            )


def flat_folder(data: Path, reading: Reading) -> Source | None:
    """Unlabelled images directly in ``data``; None if there are none."""
    rows = tuple(Row(path=path, label=None) for path in direct_images(data))
    return Source(layout="folders", root=data, rows=rows, notes=ignored_files([])) if rows else None
