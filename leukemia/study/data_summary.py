"""How many images and patients a data set has, and what it calls the classes, as a delivered model keeps it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from leukemia.data.catalog import Catalog
from leukemia.data.classes import CLASSES
from leukemia.data.subjects import UNKNOWN


@dataclass(frozen=True, kw_only=True)
class DataSummary:
    """The numbers of a data set, without names of images and patients."""

    name: str
    """Of its folder or file, without the folders above: these are of one machine."""

    num_images: int
    images: list[int] | None
    """Normal and leukemic ones; None without labels."""

    num_patients: int | None
    """None if no patient is known."""

    patients: list[int] | None
    """With normal and with leukemic images; a patient with both counts twice. None without patients or labels."""

    num_without_patient: int
    """Images without a patient; 0 if no patient is known."""

    words: list[str] | None
    """What the data call normal and leukemic; None if they only have numbers."""

    @classmethod
    def of(cls, catalog: Catalog, paths: Sequence[str]) -> DataSummary:
        """The summary of a catalogue.

        Args:
            paths: of the data, as the user gave them.
        """
        table = catalog.table
        known = table[table["subject"].notna() & (table["subject"] != UNKNOWN)]
        both = (0, 1)
        return cls(
            name=" + ".join(name_of(path) for path in paths),
            num_images=len(table),
            images=[int((table["label"] == label).sum()) for label in both] if catalog.has_labels else None,
            num_patients=int(known["subject"].nunique()) if catalog.has_subjects else None,
            patients=[int(known.loc[known["label"] == label, "subject"].nunique()) for label in both]
            if catalog.has_labels and catalog.has_subjects
            else None,
            num_without_patient=len(table) - len(known) if catalog.has_subjects else 0,
            words=None if catalog.class_words is None else list(catalog.class_words),
        )

    def describe(self) -> str:
        """Images, patients and classes, without a full stop.

        >>> summary = DataSummary(name="cells", num_images=5, images=[2, 3], num_patients=2, patients=[1, 1],
        ...                       num_without_patient=0, words=None)
        >>> summary.describe()
        'cells: 5 images (2 normal, 3 leukemic) of 2 patients (1 normal, 1 leukemic)'
        """
        text = f"{self.name}: {_number(self.num_images, 'image')}{_by_class(self.images)}"
        if self.num_patients is None:
            text += " of unknown patients"
        else:
            text += f" of {_number(self.num_patients, 'patient')}{_by_class(self.patients)}"
        if self.num_without_patient:
            text += f"; {_number(self.num_without_patient, 'image')} without a patient"
        if self.words is not None:
            words = [f"{word} ({name})" for word, name in zip(self.words, CLASSES, strict=True)]
            text += f"; its own words are {' and '.join(words)}"
        return text


def name_of(path: str) -> str:
    """The last part of a path, or the whole if it has none.

    >>> name_of("/data/C-NMC/training"), name_of("sample"), name_of("/")
    ('training', 'sample', '/')
    """
    return Path(path).name or path


def _number(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def _by_class(counts: Sequence[int] | None) -> str:
    return "" if counts is None else f" ({', '.join(f'{n:,} {name}' for n, name in zip(counts, CLASSES, strict=True))})"
