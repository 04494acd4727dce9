"""Groups: images that must stay on the same side of a split because they share a subject or pixels."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Iterable, Sequence
from pathlib import Path
from typing import TypeVar

import pandas as pd

from leukemia.base.errors import UserError, listed
from leukemia.base.quantity import are
from leukemia.data.subjects import NotApplicable

Key = TypeVar("Key", bound=Hashable)
Item = TypeVar("Item")


def grouped_by_key(pairs: Iterable[tuple[Key, Item]]) -> dict[Key, list[Item]]:
    """The items of each key; keys and items keep their order of appearance."""
    items = defaultdict(list)
    for key, item in pairs:
        items[key].append(item)
    return dict(items)


def group_names(image_ids: Sequence[str], subjects: Sequence[str] | None, hashes: Sequence[str]) -> list[str]:
    """The group of each image.

    Subjects that share an image with identical pixels form one group, also transitively, named by its subjects
    (``20+21``). Without subjects, images with identical pixels form one group, named by its first image.

    >>> group_names(["a", "b", "c"], ["21", "20", "5"], ["same", "same", "other"])
    ['20+21', '20+21', '5']
    """
    if subjects is None:
        firsts: dict[str, str] = {}
        return [firsts.setdefault(digest, image_id) for image_id, digest in zip(image_ids, hashes, strict=True)]
    names = _joined(zip(subjects, hashes, strict=True))
    return [names[subject] for subject in subjects]


def _joined(pairs: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Group name by subject, from a union-find over (subject, pixel hash)."""
    parents: dict[str, str] = {}

    def root(subject: str) -> str:
        while (parent := parents.setdefault(subject, subject)) != subject:
            # Path halving: without it, a chain of subjects takes quadratic time.
            parents[subject] = subject = parents[parent]
        return subject

    owners: dict[str, str] = {}
    for subject, digest in pairs:
        parents[root(subject)] = root(owners.setdefault(digest, subject))
    members = grouped_by_key((root(subject), subject) for subject in sorted(parents))
    return {subject: name for subjects in members.values() for name in ["+".join(subjects)] for subject in subjects}


def look_up_subjects(table: pd.DataFrame, reference: pd.DataFrame, reference_path: Path) -> pd.DataFrame:
    """``table`` with columns ``subject`` and ``group`` looked up in a reference copy by pixel hash.

    Pixels shared by several subjects get the alphabetically first one, and the group that joins them.

    Args:
        table: columns ``image_id``, ``label`` and ``pixel_sha256``.
        reference: a catalog's table with subjects.
        reference_path: for error messages.

    Raises:
        NotApplicable: images are missing from the reference.
        UserError: labels differ.
    """
    ordered = reference.sort_values("subject", kind="stable")
    known = grouped_by_key(
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
        raise NotApplicable(
            f"--subjects-from {reference_path}: {len(missing)} of {len(table)} images {are(len(missing))} "
            "missing from it, so their "
            f"subjects are unknown; remove them, or give a complete copy:\n{listed(missing)}"
        )
    firsts = [known[digest][0] for digest in table["pixel_sha256"]]
    conflicts = [
        f"{name}: {label} in the data, {theirs} in the copy"
        for name, label, (_, _, theirs) in zip(table["image_id"], table["label"], firsts, strict=True)
        if label >= 0 and theirs >= 0 and label != theirs
    ]
    if conflicts:
        raise UserError(
            f"--subjects-from {reference_path}: labels differ for the same pixels; correct one of them "
            f"(0 normal, 1 leukemic):\n{listed(conflicts)}"
        )
    subjects = pd.Series([subject for subject, _, _ in firsts], dtype="object", index=table.index)
    return table.assign(subject=subjects, group=[group for _, group, _ in firsts])
