"""Versions of one image, recognized by their names: augmented copies, and one cell at several magnifications."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import PurePosixPath

import pandas as pd

from leukemia.data.groups import group_names, grouped_by_key
from leukemia.data.subjects import some

# Roboflow's exports: https://docs.roboflow.com/datasets/dataset-versions; and ``NAME_aug1``, ``aug_1_NAME``.
_END = re.compile(
    r"(?:(?:[_.](?:bmp|jpe?g|png|tiff?|webp))?\.rf\.[0-9a-z]{8,}|[_. -]+aug(?:mented)?[_. -]*\d*)$", re.IGNORECASE
)
_START = re.compile(r"^aug(?:mented)?[_. -]*\d*[_. -]+", re.IGNORECASE)
_MAGNIFICATION = re.compile(r"(?:x\d{2,4}|\d{2,4}x)", re.IGNORECASE)


def originals(image_ids: Sequence[str]) -> list[str]:
    """The first version of each image, in the order given: the image itself, unless its name says otherwise.

    >>> originals(["a/1.png", "a/1_aug1.png", "b/1.png", "c_jpg.rf.0123abcd.jpg", "c_jpg.rf.4567abcd.jpg"])
    ['a/1.png', 'a/1.png', 'b/1.png', 'c_jpg.rf.0123abcd.jpg', 'c_jpg.rf.0123abcd.jpg']
    >>> originals(["40x/hem/7.png", "100x/hem/7.png", "7.bmp", "7.jpg"])
    ['40x/hem/7.png', '40x/hem/7.png', '7.bmp', '7.jpg']
    """
    found = list(image_ids)
    for versions in grouped_by_key((_stem(name), row) for row, name in enumerate(image_ids)).values():
        if any(_is_version(image_ids[row]) for row in versions):
            for row in versions:
                found[row] = image_ids[versions[0]]
    return found


def distinct_images(table: pd.DataFrame) -> pd.Series:
    """What a split by image keeps together: the same value for images with identical pixels.

    If subjects are unknown, versions of one original have the same value, too: nothing else keeps them together.

    Args:
        table: as ``Catalog.table``.
    """
    image_ids, hashes = table["image_id"].tolist(), table["pixel_sha256"]
    firsts = image_ids if table["subject"].notna().all() else originals(image_ids)
    if firsts == image_ids:
        return hashes
    return pd.Series(group_names(image_ids, firsts, hashes.tolist()), index=table.index)


def version_notes(table: pd.DataFrame, *, is_split: bool) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Remarks on versions of one image where subjects are unknown: without names, and with names.

    Args:
        table: as ``Catalog.table``.
        is_split: whether the data's own split is kept.
    """
    if table["subject"].notna().all():
        return (), ()
    versions = pd.Series(originals(table["image_id"].tolist()), index=table.index)
    several = versions[versions.duplicated(keep=False)]
    if several.empty:
        return (), ()
    note = f"{len(several)} images are versions of {several.nunique()} originals, by their names; "
    if is_split:
        parts = table["split"].groupby(versions).nunique()
        shared = int((parts > 1).sum())
        warning = "warning: " if shared else ""
        note = f"{warning}{note}{shared} originals have versions on both sides of the given split"
    else:
        note += "a split keeps those of one original on the same side"
    return (note,), (f"these originals have several versions: {some(sorted(several.unique()))}",)


def _stem(image_id: str) -> tuple[str, ...]:
    """What the versions of an original share: folders and name, without what tells them apart."""
    path = PurePosixPath(image_id)
    folders = (name for name in path.parts[:-1] if not _MAGNIFICATION.fullmatch(name))
    return (*folders, _START.sub("", _END.sub("", path.stem)))


def _is_version(image_id: str) -> bool:
    path = PurePosixPath(image_id)
    return _stem(image_id) != (*path.parts[:-1], path.stem)
