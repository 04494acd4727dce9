"""Versions of one image, recognized by their names: augmented copies, and one cell at several magnifications."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from leukemia.data.groups import group_names, grouped_by_key
from leukemia.data.subjects import some
from leukemia.data.version_names import VersionName, version_names


def originals(image_ids: Sequence[str]) -> list[str]:
    """The first version of each image, in the order given: the image itself, unless its name says otherwise.

    Versions in several parts of a split are of one original, unless each part has the original of its own versions:
    images may be numbered from 0 in each.

    >>> originals(["a/1.png", "a/1_aug1.png", "b/1.png", "c_jpg.rf.0123abcd.jpg", "c_jpg.rf.4567abcd.jpg"])
    ['a/1.png', 'a/1.png', 'b/1.png', 'c_jpg.rf.0123abcd.jpg', 'c_jpg.rf.0123abcd.jpg']
    >>> originals(["40x/hem/7.png", "100x/hem/7.png", "7.bmp", "7.jpg"])
    ['40x/hem/7.png', '40x/hem/7.png', '7.bmp', '7.jpg']
    >>> originals(["train/1.png", "train/1_flip.png", "val/1.png", "val/2_flip.png", "train/2.png"])
    ['train/1.png', 'train/1.png', 'val/1.png', 'val/2_flip.png', 'val/2_flip.png']
    """
    names = version_names(image_ids)
    found = list(image_ids)
    for rows in grouped_by_key((name.place, row) for row, name in enumerate(names)).values():
        parts = list(grouped_by_key((names[row].part, row) for row in rows).values())
        is_complete = all(_has_own_originals([names[row] for row in part]) for part in parts)
        for versions in parts if is_complete else [rows]:
            if any(names[row].is_version or names[row].is_in_folder for row in versions):
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


def _has_own_originals(names: Sequence[VersionName]) -> bool:
    """Whether the versions of one name in a part of a split have their original there."""
    versions = [name for name in names if name.is_version]
    return len(versions) < len(names) or not versions
