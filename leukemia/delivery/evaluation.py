"""Evaluation on a test set: reading it, predictions, scores."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import nn

from leukemia.base.errors import UserError, first_line, listed
from leukemia.base.spreadsheet import cell_of
from leukemia.config.recipe import Recipe
from leukemia.data.catalog import Catalog, read_catalog
from leukemia.data.images import open_images
from leukemia.data.reading import Reading
from leukemia.data.subjects import UNKNOWN, NotApplicable
from leukemia.data.view import view_of
from leukemia.delivery.choice import Choice
from leukemia.delivery.gallery import Gallery, gallery_of
from leukemia.delivery.overlap import HeldOut, LeftOut
from leukemia.scoring.baseline import verdict
from leukemia.scoring.calibration import Calibration
from leukemia.scoring.metrics import Interval, majority_rate, paired_difference, scores
from leukemia.scoring.operating_points import OperatingPoint, at_thresholds
from leukemia.scoring.patients import Patient, PatientScores, patient_scores, patients_of
from leukemia.scoring.subclasses import SubclassScore, subclass_scores
from leukemia.training.inference import NonFiniteProbabilities, predict

ON_TEST = "on the test set"

COMPARED = ("accuracy", "balanced_accuracy")
"""Metrics for comparing two models."""


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """Predictions and scores of a model on a test set."""

    catalog: Catalog
    choice: Choice
    """The model's threshold and temperature, and the thresholds that it is judged at."""

    of_network: np.ndarray
    """float64 (n,), of class 1 (leukemic), in the order of the catalogue's rows, before temperature scaling."""

    probabilities: np.ndarray
    """float64 (n,), those of the model: after temperature scaling."""

    scores: dict[str, Interval] | None
    """At the model's threshold. None if the test set has no labels."""

    operating_points: tuple[OperatingPoint, ...]
    """Of each threshold of the choice, held fixed. Empty if the test set has no labels."""

    calibration: Calibration | None
    """None if the test set has no labels."""

    subclasses: tuple[SubclassScore, ...]
    """Empty if the test set has no labels or no subclasses."""

    patients: tuple[Patient, ...]
    """Those of the test images, in the order of their names; empty if none is known, or if it has no labels."""

    patient_scores: PatientScores | None
    """None if there are no ``patients``."""

    gallery: Gallery | None
    """None if the test set has no labels, or if it was not asked for."""

    overlap: tuple[str, ...]
    """As ``HeldOut.overlap``."""

    left_out: LeftOut | None
    """As ``HeldOut.left_out``."""

    is_compared: bool
    """As ``HeldOut.is_compared``."""

    subjects_compared: bool
    """As ``HeldOut.subjects_compared``."""

    @property
    def labels(self) -> np.ndarray:
        """int64 (n,), 0 normal or 1 leukemic; without meaning if the test set has none."""
        return self.catalog.table["label"].to_numpy()

    @property
    def protocol(self) -> str:
        """``grouped`` if it is certain that no test subject is in the training data, else ``random-cell``."""
        return "grouped" if self.subjects_compared and not self.overlap else "random-cell"

    def verdict(self) -> str:
        """A sentence if the model is no better than always answering the more frequent class; empty if it is better, or
        if there are no scores."""
        if self.scores is None:
            return ""
        return verdict(self.scores, majority_rate(self.labels), float(self.labels.mean()), ON_TEST)

    def predictions(self) -> pd.DataFrame:
        """A row per image: ``image_id``, ``subject``, ``label`` (empty text without labels), ``subclass`` (if there are
        any), ``probability_leukemic`` (float64, in 0..1) and ``predicted`` (0 or 1)."""
        columns = ["image_id", "subject", "label", *(["subclass"] if self.subclasses else [])]
        table = self.catalog.table[columns].assign(
            image_id=self.catalog.table["image_id"].map(cell_of),
            probability_leukemic=self.probabilities,
            predicted=self.choice.decision.classes(self.probabilities),
        )
        return table if self.catalog.has_labels else table.assign(label="")

    def difference(self, other: np.ndarray) -> dict[str, Interval]:
        """The paired difference to another model on the same images, clustered by group, by metric of ``COMPARED``.

        No threshold was chosen for the other model: both have classes from 0.5 on. The test set must have labels.

        Args:
            other: float64 (n,), the other network's probabilities of class 1.
        """
        groups = self.catalog.table["group"].to_numpy()
        return {metric: paired_difference(self.labels, self.of_network, other, groups, metric) for metric in COMPARED}


def read_test_set(path: Path, reading: Reading, recipe: Recipe, base: str | None = None) -> Catalog:
    """The catalogue of a test set, whose labels may be missing.

    Args:
        path: location of the test set.
        reading: options for the training data. All but ``base`` apply here, too; if those on subjects and classes
            cannot, subjects or classes are read as without them, and a note says so. With ``split_column``, the test
            set is the part ``test`` of data that have one.
        recipe: as for ``read_catalog``.
        base: ``--test-base``, in the place of ``reading.base``.

    Raises:
        UserError: the test set is invalid.
    """
    options = reading.of_test_set(base)
    try:
        return read_catalog(path, options, labels=False, recipe=recipe)
    except NotApplicable as error:
        without = dataclasses.replace(options.without_subjects(), subjects_from=None)
        catalog = read_catalog(path, without, labels=False, recipe=recipe)
        # The error may name an image.
        notes = (*catalog.subject_notes, f"read without this option: {first_line(error).rstrip(':')}")
        return dataclasses.replace(catalog, subject_notes=notes)


def predict_test_set(model: nn.Module, recipe: Recipe, test: Catalog, device: torch.device) -> np.ndarray:
    """The network's probabilities of class 1, float64 (n,), in the order of the catalogue's rows, with TTA.

    Raises:
        UserError: some are NaN or infinite; the images are listed.
    """
    images = open_images(test, view_of(recipe))
    try:
        return predict(model, recipe, images, range(len(images)), device=device, tta=recipe.evaluate.tta, is_exact=True)
    except NonFiniteProbabilities as error:
        raise UserError(f"--test: {describe_broken(error, list(test.table['image_id']))}") from None


def describe_broken(error: NonFiniteProbabilities, names: Sequence[str]) -> str:
    """Message about an unusable model, with the affected images; ``names`` are those of all predicted images."""
    images = [names[position] for position in error.positions]
    return f"{error}: the model cannot be used; train it with a lower learning rate\n{listed(images)}"


def evaluate(
    model: nn.Module, recipe: Recipe, held_out: HeldOut, device: torch.device, choice: Choice, *, explain: bool = False
) -> Evaluation:
    """Predict the test set, and compute scores if it has labels.

    Args:
        explain: whether to compute the gallery, too.
    """
    test = held_out.catalog
    of_network = predict_test_set(model, recipe, test, device)
    probabilities = choice.decision.probabilities(of_network)
    found: dict[str, Any] = _UNLABELLED if not test.has_labels else _scored(test, choice, of_network, probabilities)
    gallery = None
    if explain and test.has_labels:
        gallery = gallery_of(
            model,
            recipe,
            open_images(test, view_of(recipe)),
            test.table["image_id"].tolist(),
            test.table["label"].to_numpy(),
            probabilities,
            choice.decision.threshold,
            device,
        )
    return Evaluation(
        catalog=test,
        choice=choice,
        of_network=of_network,
        probabilities=probabilities,
        **found,
        gallery=gallery,
        overlap=held_out.overlap,
        left_out=held_out.left_out,
        is_compared=held_out.is_compared,
        subjects_compared=held_out.subjects_compared,
    )


_UNLABELLED = {
    "scores": None,
    "subclasses": (),
    "operating_points": (),
    "calibration": None,
    "patients": (),
    "patient_scores": None,
}
"""Fields of an ``Evaluation`` without labels."""


def _scored(test: Catalog, choice: Choice, of_network: np.ndarray, probabilities: np.ndarray) -> dict[str, Any]:
    """The same fields with labels."""
    table, threshold = test.table, choice.decision.threshold
    labels, groups, subclasses = table["label"].to_numpy(), table["group"].to_numpy(), list(table["subclass"])
    is_known = (table["subject"].notna() & (table["subject"] != UNKNOWN)).to_numpy()
    known = table[is_known]
    patients: tuple[Patient, ...] = ()
    if len(known):
        patients = patients_of(
            known["subject"].tolist(),
            known["label"].to_numpy(),
            probabilities[is_known],
            known["group"].tolist(),
            known["subclass"].tolist(),
            threshold=threshold,
        )
    num_unknown = len(table) - len(known)
    return {
        "scores": scores(labels, probabilities, groups, threshold=threshold),
        "subclasses": subclass_scores(subclasses, labels, probabilities, groups, threshold=threshold),
        "operating_points": at_thresholds(
            choice.thresholds, labels, probabilities, groups, prevalence=choice.prevalence
        ),
        "calibration": Calibration.of(
            labels, of_network, groups, temperature=choice.decision.temperature, after=probabilities
        ),
        "patients": patients,
        "patient_scores": patient_scores(patients, num_unknown=num_unknown, threshold=threshold) if patients else None,
    }
