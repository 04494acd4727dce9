"""Evaluation on a test set: overlap with the training data, predictions, scores."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from leukemia.base.errors import UserError, first_line, listed
from leukemia.config.recipe import Recipe
from leukemia.data.catalog import Catalog, read_catalog
from leukemia.data.images import open_images
from leukemia.data.reading import Reading
from leukemia.data.subjects import UNKNOWN, NotApplicable, key
from leukemia.data.view import view_of
from leukemia.scoring.metrics import Interval, paired_difference, scores
from leukemia.scoring.subclasses import SubclassScore, subclass_scores
from leukemia.study.models import trained_on
from leukemia.training.inference import NonFiniteProbabilities, predict
from leukemia.training.resnet import ResNet

COMPARED = ("accuracy", "balanced_accuracy")
"""Metrics for comparing two models."""


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """Predictions and scores of a model on a test set."""

    catalog: Catalog
    probabilities: np.ndarray
    """float64 (n,), of class 1 (leukemic), in the order of the catalogue's rows."""

    scores: dict[str, Interval] | None
    """None if the test set has no labels."""

    subclasses: tuple[SubclassScore, ...]
    """Empty if the test set has no labels or no subclasses."""

    overlap: tuple[str, ...]
    """Counts of test images and subjects that are in the training data, as text; empty unless the user allowed it."""

    subjects_compared: bool
    """Whether all subjects are known in both data sets, so that shared subjects are detected."""

    @property
    def protocol(self) -> str:
        """``grouped`` if it is certain that no test subject is in the training data, else ``random-cell``."""
        return "grouped" if self.subjects_compared and not self.overlap else "random-cell"

    def difference(self, other: np.ndarray) -> dict[str, Interval]:
        """The paired difference to another model on the same images, clustered by group, by metric of ``COMPARED``.

        The test set must have labels.

        Args:
            other: float64 (n,), the other model's probabilities of class 1.
        """
        labels, groups = self.catalog.table["label"].to_numpy(), self.catalog.table["group"].to_numpy()
        return {metric: paired_difference(labels, self.probabilities, other, groups, metric) for metric in COMPARED}


def read_test_set(path: Path, reading: Reading, recipe: Recipe) -> Catalog:
    """The catalogue of a test set, whose labels may be missing.

    Args:
        path: location of the test set.
        reading: options for the training data. Those on subjects and classes apply here, too; if they cannot, subjects
            or classes are read as without them, and a note says so.
        recipe: as for ``read_catalog``.

    Raises:
        UserError: the test set is invalid.
    """
    options = reading.of_test_set()
    try:
        return read_catalog(path, options, labels=False, recipe=recipe)
    except NotApplicable as error:
        catalog = read_catalog(path, options.without_subjects(), labels=False, recipe=recipe)
        # The error may name an image.
        notes = (*catalog.subject_notes, f"read without this option: {first_line(error)}")
        return dataclasses.replace(catalog, subject_notes=notes)


def find_overlap(training: Catalog, test: Catalog, *, allowed: bool) -> tuple[str, ...]:
    """Count test images (compared by pixels) and subjects that are also in the training data.

    Subjects are compared in their normal form, unless those of the training data are kept as written.

    Raises:
        UserError: there are some, and ``allowed`` is false.
    """
    trained = test.table["pixel_sha256"].isin(set(training.table["pixel_sha256"]))
    images = [f"image {image_id}" for image_id in test.table["image_id"][trained]]
    subjects: list[str] = []
    if test.has_subjects and training.has_subjects:
        subjects = [f"subject {subject}" for subject in _common_subjects(training, test)]
    if (images or subjects) and not allowed:
        raise UserError(
            f"--test: {len(images)} images and {len(subjects)} subjects of the test set are in the training data, so "
            "scores would be too optimistic; use other test data, or --allow-overlap (every output will then say so):\n"
            + listed([*images, *subjects])
        )
    counts = [f"{len(images)} images"] if images else []
    return tuple([*counts, f"{len(subjects)} subjects"] if subjects else counts)


def _common_subjects(training: Catalog, test: Catalog) -> Iterator[str]:
    spelling = training.subject_spelling
    trained = {key(name, spelling): name for name in sorted(set(training.table["subject"]) - {UNKNOWN})}
    for name in sorted(set(test.table["subject"]) - {UNKNOWN}):
        same = trained.get(key(name, spelling))
        if same is not None:
            yield name if same == name else f"{name} ({same} in the training data)"


def find_seen(recipe: Recipe, test: Catalog, *, allowed: bool) -> tuple[str, ...]:
    """As ``find_overlap``, for a delivered model as ``model.pretrained`` that was trained on this very test set.

    Of such a model only the fingerprint of all of its data is known: a part in common is not noticed.

    Raises:
        UserError: it was, and ``allowed`` is false.
    """
    named = recipe.model.pretrained
    if named is None or trained_on(Path(named)) != test.fingerprint:
        return ()
    if not allowed:
        raise UserError(
            f"--test: {named}, from which training starts, was trained on this test set, so scores would be too "
            "optimistic; use other test data or weights, or --allow-overlap (every output will then say so)"
        )
    return ("all images, by way of model.pretrained",)


def predict_test_set(model: ResNet, recipe: Recipe, test: Catalog, device: torch.device) -> np.ndarray:
    """Probabilities of class 1, float64 (n,), in the order of the catalogue's rows, with the recipe's TTA.

    Raises:
        UserError: some are NaN or infinite; the images are listed.
    """
    images = open_images(test, view_of(recipe))
    try:
        return predict(model, recipe, images, range(len(images)), device=device, tta=recipe.evaluate.tta)
    except NonFiniteProbabilities as error:
        raise UserError(f"--test: {describe_broken(error, list(test.table['image_id']))}") from None


def describe_broken(error: NonFiniteProbabilities, names: Sequence[str]) -> str:
    """Message about an unusable model, with the affected images; ``names`` are those of all predicted images."""
    images = [names[position] for position in error.positions]
    return f"{error}: the model cannot be used; train it with a lower learning rate\n{listed(images)}"


def evaluate(
    model: ResNet, recipe: Recipe, training: Catalog, test: Catalog, overlap: tuple[str, ...], device: torch.device
) -> Evaluation:
    """Predict the test set, and compute scores if it has labels."""
    probabilities = predict_test_set(model, recipe, test, device)
    labels, groups = test.table["label"].to_numpy(), test.table["group"].to_numpy()
    return Evaluation(
        catalog=test,
        probabilities=probabilities,
        scores=scores(labels, probabilities, groups) if test.has_labels else None,
        subclasses=subclass_scores(list(test.table["subclass"]), labels, probabilities, groups)
        if test.has_labels
        else (),
        overlap=overlap,
        subjects_compared=training.has_all_subjects and test.has_all_subjects,
    )
