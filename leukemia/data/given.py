"""The folds of a split that the data bring and that is kept, and whether subjects are on both sides of it."""

from __future__ import annotations

import numpy as np
import pandas as pd

from leukemia.data.part_words import TRAIN, VALIDATION
from leukemia.data.subjects import UNKNOWN


def given_folds(table: pd.DataFrame) -> list[np.ndarray]:
    """The validation images of each fold, bool (n,): the images of ``validation``, or of each numbered fold in turn.

    Args:
        table: as ``Catalog.table``, with a split that is kept.

    Returns:
        Empty if all images are of ``train``, which has no validation images.
    """
    parts = set(table["split"]) - {TRAIN}
    names = [VALIDATION] if VALIDATION in parts else sorted(parts, key=lambda name: (len(name), name))
    return [(table["split"] == name).to_numpy() for name in names]


def describe_sides(table: pd.DataFrame, *, has_subjects: bool) -> str:
    """A sentence on the groups that are on both sides of a given split, without their names.

    Args:
        table: as for ``given_folds``, with at least one fold.
        has_subjects: whether the groups are subjects.
    """
    sides = table.groupby("group")["split"].nunique()
    shared = table["group"].isin(sides.index[sides > 1])
    validated = np.any(given_folds(table), axis=0)
    counts = f"{int((sides > 1).sum())} of {len(sides)}"
    images = f"{int((shared & validated).sum())} of {int(validated.sum())} validation images"
    # A note that begins so is a warning.
    warning = "warning: " if shared.any() else ""
    if not has_subjects:
        known = "subjects are unknown, so patients may be on both sides of the given split"
        return f"{warning}{known}; identical pixels are, in {images}" if shared.any() else known
    if not shared.any():
        which = "known subject" if (table["subject"] == UNKNOWN).any() else "subject"
        return f"no {which} has both training and validation images in the given split"
    return (
        f"{warning}{counts} groups of subjects have both training and validation images in the given split ({images}), "
        "so scores are too optimistic for new patients"
    )
