"""Scores by patient: one prediction per patient, from the mean probability of the patient's images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from leukemia.scoring.bootstrap import THRESHOLD
from leukemia.scoring.metrics import METRICS, Interval, checked, scores
from leukemia.scoring.subclasses import SubclassScore, subclass_scores

PATIENT_METRICS = tuple(metric for metric in METRICS if metric != "ece")
"""Scores by patient. A calibration error over 15 bins needs more values than there are patients."""


@dataclass(frozen=True, kw_only=True)
class Patient:
    """The images of a patient, and what they say together."""

    name: str
    group: str
    """Patients who share images are one group."""

    label: int | None
    """Class of all images, 0 normal or 1 leukemic; None if there are images of both."""

    subclass: str | None
    """Of all images; None if there is none, or several."""

    num_images: int
    share_called_leukemic: float
    """Of the images, in 0..1."""

    mean_probability: float
    """Of class 1 over the images, in 0..1."""

    predicted: int
    """1 leukemic if the mean probability is at least the threshold, else 0 normal."""

    @property
    def is_right(self) -> bool | None:
        """Whether the patient is classified correctly; None if there is no one class."""
        return None if self.label is None else self.predicted == self.label


@dataclass(frozen=True, kw_only=True)
class PatientScores:
    """Scores over the patients whose images are of one class."""

    num_patients: int
    num_mixed: int
    """Further patients, with images of both classes; they are not scored."""

    num_unknown: int
    """Images without a patient; they are not scored."""

    scores: Mapping[str, Interval]
    """By the names of ``PATIENT_METRICS``, with 95 % intervals from a bootstrap over groups. Empty without patients."""

    subclasses: tuple[SubclassScore, ...]
    """Share of the patients of each subclass who are classified correctly; ``n`` counts patients."""

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "n": self.num_patients,
            "of_both_classes": self.num_mixed,
            "images_without_patient": self.num_unknown,
            **{name: interval.to_dict() for name, interval in self.scores.items()},
            "subclasses": [each.to_dict() for each in self.subclasses],
        }


def patients_of(
    names: Sequence[str],
    labels: ArrayLike,
    probabilities: ArrayLike,
    groups: Sequence[str],
    subclasses: Sequence[str | None],
    *,
    threshold: float = THRESHOLD,
) -> tuple[Patient, ...]:
    """The patients of images, in the order of their names.

    Args:
        names: of the patient of each image, (n,); as are the others.
        labels, probabilities, groups: as for ``leukemia.scoring.metrics.scores``.
        subclasses: None for none.
        threshold: from which an image or a patient is called leukemic.

    Raises:
        ValueError: as for ``scores``.
    """
    known, found = checked(labels, probabilities)
    rows: dict[str, list[int]] = {}
    for row, name in enumerate(names):
        rows.setdefault(name, []).append(row)
    return tuple(
        _patient(name, known[own], found[own], groups[own[0]], [subclasses[row] for row in own], threshold)
        for name, own in sorted(rows.items())
    )


def _patient(
    name: str,
    labels: np.ndarray,
    probabilities: np.ndarray,
    group: str,
    subclasses: Sequence[str | None],
    threshold: float,
) -> Patient:
    mean = float(probabilities.mean())
    return Patient(
        name=name,
        group=group,
        label=int(labels[0]) if labels.min() == labels.max() else None,
        subclass=subclasses[0] if len(set(subclasses)) == 1 else None,
        num_images=len(labels),
        share_called_leukemic=float((probabilities >= threshold).mean()),
        mean_probability=mean,
        predicted=int(mean >= threshold),
    )


def patient_scores(patients: Sequence[Patient], *, num_unknown: int = 0, threshold: float = THRESHOLD) -> PatientScores:
    """Score the patients whose images are of one class, each counted once.

    Args:
        num_unknown: images without a patient, for the record.
        threshold: as for ``patients_of``.
    """
    scored = [each for each in patients if each.label is not None]
    found: dict[str, Interval] = {}
    of_subclasses: tuple[SubclassScore, ...] = ()
    if scored:
        labels = np.array([each.label for each in scored], dtype=np.int64)
        means = np.array([each.mean_probability for each in scored])
        groups = [each.group for each in scored]
        every = scores(labels, means, groups, threshold=threshold)
        found = {metric: every[metric] for metric in PATIENT_METRICS}
        of_subclasses = subclass_scores([each.subclass for each in scored], labels, means, groups, threshold=threshold)
    return PatientScores(
        num_patients=len(scored),
        num_mixed=len(patients) - len(scored),
        num_unknown=num_unknown,
        scores=found,
        subclasses=of_subclasses,
    )
