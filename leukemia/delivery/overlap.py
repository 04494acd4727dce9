"""What a test set shares with the training data: it is refused, left out, or scored nevertheless."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import pandas as pd

from leukemia.base.errors import UserError, listed
from leukemia.config.recipe import Recipe
from leukemia.data.catalog import Catalog
from leukemia.data.classes import CLASSES
from leukemia.data.part import part_of
from leukemia.data.subjects import MOST_NAMED, UNKNOWN
from leukemia.delivery.seen import Seen
from leukemia.study import layout

Rule = Literal["refuse", "drop", "allow"]
"""What happens to a test set that overlaps the training data: ``drop`` leaves these images out."""

IDENTICAL = "identical to a training image"
SUBJECT = "of a training subject"
RELATED = "of a subject that shares identical images with those"
REASONS = (IDENTICAL, SUBJECT, RELATED)
"""Why a test image is left out; the first one that applies counts."""


@dataclass(frozen=True, kw_only=True)
class LeftOut:
    """How many test images are left out, since they or their subjects are in the training data."""

    counts: dict[str, int]
    """By reason, those of ``REASONS`` that occur."""

    num_images: int
    """Of the whole test set."""

    @property
    def total(self) -> int:
        """How many images are left out."""
        return sum(self.counts.values())

    def reasons(self) -> list[str]:
        """The counts as text."""
        return [f"{number} {reason}" for reason, number in self.counts.items()]

    def describe(self) -> str:
        """The result as one line, without names of images and patients.

        >>> LeftOut(counts={IDENTICAL: 2, SUBJECT: 1}, num_images=9).describe()
        '3 of 9 test images are left out (--drop-overlap): 2 identical to a training image, 1 of a training subject'
        """
        if not self.counts:
            return f"none of {self.num_images} test images is left out (--drop-overlap): no overlap was found"
        return (
            f"{self.total} of {self.num_images} test images are left out (--drop-overlap): {', '.join(self.reasons())}"
        )


@dataclass(frozen=True, kw_only=True)
class HeldOut:
    """A test set after the comparison with the training data."""

    catalog: Catalog
    """The images to predict."""

    overlap: tuple[str, ...] = ()
    """Counts of its images and subjects that are in the training data, as text; empty unless the user allowed it."""

    left_out: LeftOut | None = None
    """None unless the user asked for it."""

    is_compared: bool = True
    """Whether the images were compared with the training images; False if the model keeps no record of these."""

    subjects_compared: bool = False
    """Whether all subjects are known in both data sets, so that shared subjects are detected."""


def compare(recipe: Recipe, seen: Seen | None, test: Catalog, rule: Rule) -> HeldOut:
    """Compare a test set with the training data, and with those of a delivered model as ``model.pretrained``.

    Args:
        seen: of the training data; None if nothing is known of them, which every output then says.

    Raises:
        UserError: they overlap, and ``rule`` is ``refuse``; or ``drop`` leaves no images, or those of one class, or
            has nothing to compare with.
    """
    allowed = rule == "allow"
    if seen is None:
        if rule == "drop":
            raise UserError(
                f"--drop-overlap: the model has no {layout.SEEN}, since an earlier version delivered it: test images "
                "cannot be compared with its training images; leave the option out, or run leukemia.final"
            )
        return HeldOut(catalog=test, is_compared=False)
    subjects_compared = seen.has_all_subjects and test.has_all_subjects
    if rule != "drop":
        found = find_overlap(seen, test, allowed=allowed)
        overlap = (*found, *find_seen(recipe, seen, test, allowed=allowed))
        return HeldOut(catalog=test, overlap=overlap, subjects_compared=subjects_compared)
    find_seen(recipe, seen, test, allowed=False)
    held_out = leave_out(seen, test)
    find_seen(recipe, seen, held_out.catalog, allowed=False)
    return dataclasses.replace(held_out, subjects_compared=subjects_compared)


def find_overlap(seen: Seen, test: Catalog, *, allowed: bool) -> tuple[str, ...]:
    """Count test images (compared by pixels) and subjects that are also in the training data.

    Subjects are compared in their normal form, unless those of the training data are kept as written.

    Raises:
        UserError: there are some, and ``allowed`` is false.
    """
    images = [f"image {image_id}" for image_id in test.table["image_id"][seen.has_images(test)]]
    subjects = [
        f"subject {name if name == same else f'{name} ({same} in the training data)'}"
        for name, same in _common_subjects(seen, test)
    ]
    if (images or subjects) and not allowed:
        num_left_out = int((_reasons(seen, test) != "").sum())
        raise UserError(
            f"--test: {len(images)} images and {len(subjects)} subjects of the test set are in the training data, so "
            "scores would be too optimistic; use other test data, --drop-overlap (leaves out these images and all "
            f"images of these subjects, {num_left_out} of {len(test.table)}), or --allow-overlap (scores them, too); "
            "with either, every output will say so:\n" + listed([*images, *subjects])
        )
    counts = [f"{len(images)} images"] if images else []
    return tuple([*counts, f"{len(subjects)} subjects"] if subjects else counts)


def leave_out(seen: Seen, test: Catalog) -> HeldOut:
    """The test images that are not in the training data, nor their subjects.

    Raises:
        UserError: none remain, or those of one class only.
    """
    reasons = _reasons(seen, test)
    counts = {reason: int((reasons == reason).sum()) for reason in REASONS}
    left_out = LeftOut(counts={reason: each for reason, each in counts.items() if each}, num_images=len(reasons))
    if not left_out.counts:
        return HeldOut(catalog=dataclasses.replace(test, notes=(*test.notes, left_out.describe())), left_out=left_out)
    kept = part_of(test, reasons == "")
    labels = sorted(set(kept.table["label"]))
    if len(labels) < test.table["label"].nunique():
        remain = f"only images of class {labels[0]} ({CLASSES[labels[0]]}) remain" if labels else "none remain"
        raise UserError(f"--test: {left_out.describe()}, so {remain}; use other test data")
    catalog = dataclasses.replace(
        kept,
        notes=(*kept.notes, left_out.describe()),
        subject_notes=(*kept.subject_notes, *_named(test, reasons)),
    )
    return HeldOut(catalog=catalog, left_out=left_out)


def _named(test: Catalog, reasons: pd.Series) -> Iterator[str]:
    """The names of the images that are left out, one line per reason."""
    for reason in REASONS:
        found = test.table["image_id"][reasons == reason].tolist()
        if found:
            more = f" and {len(found) - MOST_NAMED} more" if len(found) > MOST_NAMED else ""
            yield f"left out, {reason}: {', '.join(found[:MOST_NAMED])}{more}"


def find_seen(recipe: Recipe, seen: Seen, test: Catalog, *, allowed: bool) -> tuple[str, ...]:
    """As ``find_overlap``, for a delivered model as ``model.pretrained`` that was trained on this very test set.

    Of such a model only the fingerprint of all of its data is known: a part in common is not noticed.

    Raises:
        UserError: it was, and ``allowed`` is false.
    """
    if seen.pretrained_on != test.fingerprint:
        return ()
    if not allowed:
        raise UserError(
            f"--test: {recipe.model.pretrained}, from which training starts, was trained on this test set, so scores "
            "would be too optimistic, and --drop-overlap would leave no images; use other test data or weights, or "
            "--allow-overlap (every output will then say so)"
        )
    return ("all images, by way of model.pretrained",)


def _common_subjects(seen: Seen, test: Catalog) -> Iterator[tuple[str, str]]:
    """The names of each subject in the test set and in the training data."""
    for name in sorted(set(test.table["subject"])) if test.has_subjects else ():
        same = seen.name_of(name)
        if same is not None:
            yield name, same


def _reasons(seen: Seen, test: Catalog) -> pd.Series:
    """Why each test image is to be left out, one of ``REASONS``; empty if it is not: str (n,)."""
    table, identical = test.table, seen.has_images(test)
    same = table["subject"].isin([name for name, _ in _common_subjects(seen, test)])
    # The images without a subject are one group, but may be of many patients.
    is_known = table["subject"] != UNKNOWN
    related = table["group"].isin(set(table["group"][(identical | same) & is_known])) & is_known
    reasons = pd.Series("", index=table.index)
    for reason, applies in ((RELATED, related), (SUBJECT, same), (IDENTICAL, identical)):
        reasons[applies] = reason
    return reasons
