"""The catalogue of a data set: one table of images with labels, subjects and groups; duplicates."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from functools import partial
from operator import itemgetter
from pathlib import Path

import pandas as pd

from leukemia.base import progress
from leukemia.base.errors import UserError
from leukemia.base.quantity import quantity
from leukemia.config.fitting import Size
from leukemia.config.recipe import Recipe
from leukemia.data.classes import CLASSES
from leukemia.data.conversions import conversion_notes
from leukemia.data.given import describe_sides, given_folds
from leukemia.data.groups import group_names, grouped_by_key, look_up_subjects
from leukemia.data.hashes import hash_images
from leukemia.data.labels import check_labels
from leukemia.data.layouts.cut_off import naming_cut_off
from leukemia.data.layouts.detect import find_images
from leukemia.data.layouts.last_resort import last_resort
from leukemia.data.layouts.source import Layout, Row, Source
from leukemia.data.names import check_names
from leukemia.data.reading import DEFAULT, Reading, Spelling
from leukemia.data.recurring_subjects import of_sites, recurring_subjects, subjects_of_tables
from leukemia.data.subject_places import subject_pattern
from leukemia.data.subjects import UNKNOWN, NotApplicable, read_subjects
from leukemia.data.versions import version_notes


@dataclass(frozen=True, kw_only=True, eq=False)
class Catalog:
    """All images of a data set, validated, with the groups that must stay together in a split."""

    table: pd.DataFrame
    """One row per image, sorted by ``image_id``, index 0..n-1: ``image_id`` (str, POSIX path relative to ``root``),
    ``path`` (str, absolute), ``label`` (int64: 0 normal, 1 leukemic; or -1 in all rows), ``subject`` (str, ``UNKNOWN``
    if only others are known; or None in all rows), ``subclass`` and ``split`` (str or None: the data's own finer class
    and part of a split), ``name`` (str: what a list calls the image, or its id) and ``position`` (int64: its place in
    the list), ``group`` (str), ``pixel_sha256`` (str), ``width`` and ``height`` (int64, pixels)."""

    root: Path
    """The folder that image ids are relative to."""

    layout: Layout
    """How the images were found."""

    fingerprint: str
    """SHA-256 over the sorted (image id, pixel hash, label, subject); independent of absolute paths and times."""

    duplicates: tuple[tuple[str, ...], ...]
    """Sets of ids of images with identical pixels."""

    excluded: tuple[str, ...] = ()
    """Test images found next to the training data and excluded: folder and number of images."""

    notes: tuple[str, ...] = ()
    """Remarks on how the data set was read, one line each, without names of images and patients."""

    subject_notes: tuple[str, ...] = ()
    """Remarks that may name images and patients; if it has no subjects, the first says how to give them."""

    subject_spelling: Spelling | None = None
    """How subjects are compared; None: in their normal form."""

    num_left_out: int = 0
    """How many images the options of reading leave out."""

    parts: str = ""
    """The parts of the data's own split, and what becomes of them, in a few words; empty if there are none."""

    is_split: bool = False
    """Whether the data's own split is kept, and has validation images."""

    class_words: tuple[str, str] | None = None
    """What the data call normal and leukemic, as ``Source.class_words``."""

    @property
    def class_names(self) -> tuple[str, str]:
        """A word for each class: the data's own if they have one, else ``normal`` and ``leukemic``."""
        words = self.class_words
        return CLASSES if words is None or any("," in each for each in words) else words

    @property
    def remarks(self) -> tuple[str, ...]:
        """What a user must know about how the data set was read, as every command prints it, one line each."""
        beside = (f"excluded {text}, not in the training folders, never used for training" for text in self.excluded)
        return (*self.subject_notes, *beside, *self.notes)

    @property
    def recorded(self) -> tuple[str, ...]:
        """The remarks for records, which W&B gets: without names, which those of excluded folders might be."""
        number = sum(int(re.findall(r"(\d+) images", text)[-1]) for text in self.excluded)
        beside = [f"excluded {quantity(number, 'image')} outside the training folders, never used for training"]
        return (*(beside if number else []), *self.notes)

    @property
    def protocols(self) -> tuple[str, ...]:
        """The possible splitting protocols; ``grouped`` needs subjects."""
        if self.is_split:
            return ("given",)
        return ("grouped", "random-cell") if self.has_subjects else ("random-cell",)

    @property
    def sizes(self) -> list[Size]:
        """Width and height of each image, in pixels, in the order of the rows."""
        return list(zip(self.table["width"].tolist(), self.table["height"].tolist(), strict=True))

    @property
    def has_labels(self) -> bool:
        """Whether the images have labels: all or none do."""
        return bool((self.table["label"] >= 0).all())

    @property
    def has_subjects(self) -> bool:
        """Whether any image has a subject; then all of the others have ``UNKNOWN``."""
        return bool(self.table["subject"].notna().all())

    @property
    def has_all_subjects(self) -> bool:
        """Whether the subject of every image is known."""
        return self.has_subjects and UNKNOWN not in set(self.table["subject"])


def read_catalog(
    data: Path, reading: Reading = DEFAULT, *, labels: bool = True, recipe: Recipe | None = None
) -> Catalog:
    """Find, read and validate all images of a data set.

    Args:
        data: the C-NMC folder as published, the folder of one of its test phases or its labels CSV; a CSV
            ``Path,label`` (case-insensitive header, optional column of subjects); or folders named by class.
        reading: the user's options.
        labels: False accepts images without labels; labels for only some of the images are still an error.
        recipe: for a command that will use the images: those read for the first time are stored as this recipe needs
            them, so that ``open_images`` does not decode them again.

    Raises:
        MissingFile: ``data`` does not exist.
        NotApplicable: the data cannot obey an option on subjects.
        UserError: the data set is invalid; the message lists all offending files or rows.
    """
    # With another copy, the options on subjects apply to that.
    own = reading if reading.subjects_from is None else reading.without_subjects()
    with progress.bar("finding images"), naming_cut_off(Path(data), reading):
        source = find_images(Path(data), own, labels=labels)
    named = sorted(((row.path.relative_to(source.root).as_posix(), row) for row in source.rows), key=itemgetter(0))
    written = [row.subject for _, row in named]
    subjects = read_subjects(
        [image_id for image_id, _ in named],
        written,
        own,
        columns=source.unread_columns,
        recurring=source.recurring_columns,
        left=source.left_columns,
        pattern=partial(subject_pattern, [image_id for image_id, _ in named], source.words),
    )
    subjects = of_sites(subjects, [row.table for _, row in named], own)
    table, converted = _table(source, named, subjects.names, recipe)
    recurring = recurring_subjects([image_id for image_id, _ in named], subjects.names, own)
    if own.subject_pattern is None or own.subject_column is not None:
        recurring += subjects_of_tables([row.table for _, row in named], subjects.names, own)
    notes, subject_notes = (*source.notes, *converted), (*subjects.notes, *recurring)
    if reading.subjects_from is not None:
        reference, path = _reference(table, data, reading), Path(reading.subjects_from)
        table = look_up_subjects(table, reference.table, path)
        notes += (
            f"subjects and groups are those of {path}: subjects may share images there that are here only once, and "
            "such an image has the first of its subjects",
            *(f"--subjects-from: {note}" for note in reference.notes),
        )
        subject_notes = tuple(f"--subjects-from: {note}" for note in reference.subject_notes)
    with last_resort(data, reading, labels=labels):
        check_labels(table, data, required=labels)
    is_split = labels and reading.split_column is not None and bool(given_folds(table))
    if is_split:
        notes += (describe_sides(table, has_subjects=bool(table["subject"].notna().all())),)
    of_versions, named_versions = version_notes(table, is_split=is_split)
    return Catalog(
        table=table,
        root=source.root,
        layout=source.layout,
        fingerprint=fingerprint_of(table),
        duplicates=duplicates_of(table),
        excluded=source.excluded,
        notes=(*notes, *of_versions),
        subject_notes=(*subject_notes, *source.named_notes, *named_versions),
        subject_spelling=reading.subject_spelling,
        num_left_out=source.num_left_out,
        parts=source.parts,
        is_split=is_split,
        class_words=source.class_words,
    )


def _table(
    source: Source, named: list[tuple[str, Row]], subjects: tuple[str, ...] | None, recipe: Recipe | None
) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """The table of a catalogue, and notes on the conversion of its images."""
    image_ids, rows = [image_id for image_id, _ in named], [row for _, row in named]
    positions = {row.path: position for position, row in enumerate(source.rows)}
    check_names([*image_ids, *dict.fromkeys(subjects or ())], source.root)
    hashed = hash_images(source.root, {image_id: row.path for image_id, row in named}, recipe)
    hashes = [image.sha256 for image in hashed]
    table = pd.DataFrame(
        {
            "image_id": image_ids,
            "path": [str(row.path) for row in rows],
            "label": pd.Series([-1 if row.label is None else row.label for row in rows], dtype="int64"),
            "subject": pd.Series([None] * len(rows) if subjects is None else subjects, dtype="object"),
            "subclass": pd.Series([row.subclass for row in rows], dtype="object"),
            "split": pd.Series([row.split for row in rows], dtype="object"),
            "name": [image_id if row.name is None else row.name for image_id, row in named],
            "position": [positions[row.path] for row in rows],
            "group": group_names(image_ids, subjects, hashes),
            "pixel_sha256": hashes,
            "width": [image.width for image in hashed],
            "height": [image.height for image in hashed],
        }
    )
    return table, conversion_notes((image.conversions, image.brightest) for image in hashed)


def _reference(table: pd.DataFrame, data: Path, reading: Reading) -> Catalog:
    """The copy of ``--subjects-from``, with subjects."""
    if table["subject"].notna().all():
        raise NotApplicable(f"--subjects-from has no effect: {data} already has subjects; leave it out")
    assert reading.subjects_from is not None
    path = Path(reading.subjects_from)
    reference = read_catalog(path, reading.of_subjects(), labels=False)
    if not reference.has_subjects:
        raise UserError(f"--subjects-from {path}: it has no subjects either; give a copy of C-NMC")
    return reference


def duplicates_of(table: pd.DataFrame) -> tuple[tuple[str, ...], ...]:
    """As ``Catalog.duplicates``, of a catalogue's table."""
    sets = grouped_by_key(zip(table["pixel_sha256"], table["image_id"], strict=True)).values()
    return tuple(tuple(image_ids) for image_ids in sets if len(image_ids) > 1)


def fingerprint_of(table: pd.DataFrame) -> str:
    """As ``Catalog.fingerprint``, of a catalogue's table."""
    rows = zip(table["image_id"], table["pixel_sha256"], table["label"].tolist(), table["subject"], strict=True)
    return hashlib.sha256(json.dumps(list(rows)).encode()).hexdigest()
