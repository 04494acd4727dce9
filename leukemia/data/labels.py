"""Checks of a data set's labels: images with identical pixels have the same one, and both classes occur."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from leukemia.base.errors import listed
from leukemia.data.classes import CLASSES, LabelError
from leukemia.data.groups import grouped_by_key


def check_labels(table: pd.DataFrame, data: Path, *, required: bool) -> None:
    """Check the labels of a data set.

    Args:
        table: columns ``image_id``, ``label`` and ``pixel_sha256``.
        data: for error messages.
        required: whether both classes are.

    Raises:
        LabelError: images with identical pixels have different labels, or a required class is missing.
    """
    labels = grouped_by_key(
        zip(table["pixel_sha256"], zip(table["image_id"], table["label"], strict=True), strict=True)
    )
    conflicts = [
        " = ".join(f"{image_id} ({label})" for image_id, label in images)
        for images in labels.values()
        if len({label for _, label in images}) > 1
    ]
    if conflicts:
        raise LabelError(
            f"{data}: images with identical pixels have different labels; correct or remove these:\n{listed(conflicts)}"
        )
    present = sorted(set(table["label"]))
    if required and len(present) == 1:
        raise LabelError(
            f"{data}: expected images of both classes, found {len(table)} of class {present[0]} "
            f"({CLASSES[present[0]]}) only; add the other class, or say with --classes which words are normal "
            "and which leukemic"
        )
