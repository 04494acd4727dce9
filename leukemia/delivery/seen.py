"""What a model has seen in its training: enough to recognize an image or a subject again, without its name."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from leukemia.base.record import read_record, write_record
from leukemia.data.catalog import Catalog
from leukemia.data.reading import Spelling
from leukemia.data.subjects import UNKNOWN, key
from leukemia.study import layout
from leukemia.study.data_source import Sha256
from leukemia.study.models import trained_on

DIGITS = 16
"""Hexadecimal digits of each hash: among a million images, two agree by chance with a probability of 3e-8."""


@dataclass(frozen=True, kw_only=True)
class SeenRecord:
    """``seen.json`` of a delivered model. Hashes of short subject names can be guessed: W&B does not get the file."""

    images: list[str]
    """The first ``DIGITS`` of the SHA-256 of each image's pixels, sorted."""

    subjects: list[str] | None
    """As ``hash_of`` each known subject in its normal form, sorted; None if the data have no subjects."""

    has_all_subjects: bool
    subject_spelling: Spelling | None
    pretrained_on: Sha256 | None


@dataclass(frozen=True, kw_only=True)
class Seen:
    """The images and subjects of a data set that a model was trained on."""

    images: frozenset[str]
    """As in ``SeenRecord``."""

    subjects: Mapping[str, str] | None
    """The name of each subject by its hash, empty if only the hash is known; None if the data have no subjects."""

    has_all_subjects: bool
    """Whether the subject of every image is known."""

    subject_spelling: Spelling | None
    """How subjects are compared; None: in their normal form."""

    pretrained_on: str | None
    """Fingerprint of the data that the model was trained on before, as ``trained_on`` of ``model.pretrained``."""

    @classmethod
    def of(cls, catalog: Catalog, pretrained: str | None = None) -> Seen:
        """The images and subjects of a catalogue, with the names of subjects.

        Args:
            pretrained: ``model.pretrained`` of the recipe.

        Raises:
            UserError: these weights are those of a delivered model whose record is invalid.
        """
        subjects: dict[str, str] | None = None
        if catalog.has_subjects:
            names = sorted(set(catalog.table["subject"]) - {UNKNOWN})
            subjects = {hash_of(key(name, catalog.subject_spelling)): name for name in names}
        return cls(
            images=frozenset(catalog.table["pixel_sha256"].str[:DIGITS]),
            subjects=subjects,
            has_all_subjects=catalog.has_all_subjects,
            subject_spelling=catalog.subject_spelling,
            pretrained_on=None if pretrained is None else trained_on(Path(pretrained)),
        )

    @classmethod
    def read(cls, folder: Path) -> Seen | None:
        """As ``write`` has stored it in a model's folder; None if an earlier version delivered the model.

        Raises:
            UserError: the file is damaged.
        """
        path = folder / layout.SEEN
        if not path.is_file():
            return None
        record = read_record(SeenRecord, path)
        return cls(
            images=frozenset(record.images),
            subjects=None if record.subjects is None else dict.fromkeys(record.subjects, ""),
            has_all_subjects=record.has_all_subjects,
            subject_spelling=record.subject_spelling,
            pretrained_on=record.pretrained_on,
        )

    def write(self, folder: Path) -> None:
        """Store hashes, without names, in a model's folder."""
        write_record(
            folder / layout.SEEN,
            {
                "images": sorted(self.images),
                "subjects": None if self.subjects is None else sorted(self.subjects),
                "has_all_subjects": self.has_all_subjects,
                "subject_spelling": self.subject_spelling,
                "pretrained_on": self.pretrained_on,
            },
        )

    def has_images(self, test: Catalog) -> pd.Series:
        """Whether each image of a test set has the pixels of a training image: bool (n,)."""
        return test.table["pixel_sha256"].str[:DIGITS].isin(self.images)

    def name_of(self, subject: str) -> str | None:
        """What the training data call a subject of another data set; None if they do not have it.

        It is ``subject`` itself if only the hash is known.
        """
        if self.subjects is None or subject == UNKNOWN:
            return None
        found = self.subjects.get(hash_of(key(subject, self.subject_spelling)))
        return found or subject if found is not None else None


def hash_of(text: str) -> str:
    """The first ``DIGITS`` of the SHA-256 of a text, in hexadecimal.

    >>> hash_of("h3")
    '97fb5f8538b89f6c'
    """
    return hashlib.sha256(text.encode()).hexdigest()[:DIGITS]
