"""Groups: images that must stay on one side of a split, because they share a subject or pixels."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Iterable, Sequence
from pathlib import Path
from typing import TypeVar

import pandas as pd

from leukemia.base.errors import UserError, listed

Key = TypeVar("Key", bound=Hashable)
Item = TypeVar("Item")


def gathered(pairs: Iterable[tuple[Key, Item]]) -> dict[Key, list[Item]]:
    """The items of each key, in the order of their first appearance."""
    items = defaultdict(list)
    for key, item in pairs:
        items[key].append(item)
    return dict(items)


def group_names(image_ids: Sequence[str], subjects: Sequence[str] | None, hashes: Sequence[str]) -> list[str]:
    """The group of each image.

    Subjects that share an image with the same pixels are one group, also through a third one, named by its subjects
    (``20+21``). Without subjects the images of the same pixels are one group, named by its first image.

    >>> group_names(["a", "b", "c"], ["21", "20", "5"], ["same", "same", "other"])
    ['20+21', '20+21', '5']
    """
    if subjects is None:
        firsts: dict[str, str] = {}
        return [firsts.setdefault(digest, image_id) for image_id, digest in zip(image_ids, hashes, strict=True)]
    names = _joined(zip(subjects, hashes, strict=True))
    return [names[subject] for subject in subjects]


def _joined(pairs: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Union-find over subjects: group name by subject."""
    parents: dict[str, str] = {}

    def root(subject: str) -> str:
        while parents.setdefault(subject, subject) != subject:
            subject = parents[subject]
        return subject

    owners: dict[str, str] = {}
    for subject, digest in pairs:
        parents[root(subject)] = root(owners.setdefault(digest, subject))
    members = gathered((root(subject), subject) for subject in sorted(parents))
    return {subject: "+".join(subjects) for subjects in members.values() for subject in subjects}


def borrow_subjects(table: pd.DataFrame, reference: pd.DataFrame, reference_path: Path) -> pd.DataFrame:
    """``table`` with the columns ``subject`` and ``group`` of the same pixels in a reference copy.

    Pixels that several subjects share there get the alphabetically first of them, and their joined group.

    Args:
        table: columns ``image_id``, ``label`` and ``pixel_sha256``.
        reference: a catalog's table with subjects.
        reference_path: named in messages.

    Raises:
        UserError: images that the reference copy lacks, or labels otherwise.
    """
    ordered = reference.sort_values("subject", kind="stable")
    known = gathered(
        zip(
            ordered["pixel_sha256"],
            zip(ordered["subject"], ordered["group"], ordered["label"], strict=True),
            strict=True,
        )
    )
    missing = [
        name for name, digest in zip(table["image_id"], table["pixel_sha256"], strict=True) if digest not in known
    ]
    if missing:
        raise UserError(
            f"--subjects-from {reference_path}: {len(missing)} of {len(table)} images are not there, so their subjects "
            f"are unknown; take them out, or give a complete copy:\n{listed(missing)}"
        )
    firsts = [known[digest][0] for digest in table["pixel_sha256"]]
    contrary = [
        f"{name}: {label} here, {there} there"
        for name, label, (_, _, there) in zip(table["image_id"], table["label"], firsts, strict=True)
        if label >= 0 and there >= 0 and label != there
    ]
    if contrary:
        raise UserError(
            f"--subjects-from {reference_path}: labels differ for the same pixels; correct one side "
            f"(0 normal, 1 leukemic):\n{listed(contrary)}"
        )
    subjects = pd.Series([subject for subject, _, _ in firsts], dtype="object", index=table.index)
    return table.assign(subject=subjects, group=[group for _, group, _ in firsts])
