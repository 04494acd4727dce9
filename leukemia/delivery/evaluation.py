"""A delivered model on a test set, which is read, compared with the training data, predicted and scored."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from leukemia.base.errors import UserError, listed
from leukemia.config.recipe import Recipe
from leukemia.data.catalog import Catalog
from leukemia.data.images import open_images
from leukemia.delivery.searched_data import view_of
from leukemia.scoring.metrics import Interval, paired_difference, scores
from leukemia.training.inference import predict
from leukemia.training.model import ResNet

COMPARED = ("accuracy", "balanced_accuracy")
"""Metrics in which two models are compared."""


@dataclass(frozen=True, kw_only=True)
class Tested:
    """What the delivered model said of a test set."""

    catalog: Catalog
    probabilities: np.ndarray
    """float64 (n,), of class 1 (leukemic), row by row of the catalogue."""

    scores: dict[str, Interval] | None
    """None where the test set has no labels."""

    overlap: tuple[str, ...]
    """Test images or subjects that were trained on, in words; empty unless the user allowed them."""

    subjects_compared: bool
    """Whether subjects are known on both sides, so that none can be shared unseen."""

    @property
    def protocol(self) -> str:
        """``grouped`` where it is known that no subject was trained on, else ``random-cell``."""
        return "grouped" if self.subjects_compared and not self.overlap else "random-cell"

    def difference(self, other: np.ndarray) -> dict[str, Interval]:
        """The paired difference to another model on the same images, clustered by group, per metric of ``COMPARED``.

        Args:
            other: float64 (n,), the other model's probabilities of class 1. The test set has labels.
        """
        labels, groups = self.catalog.table["label"].to_numpy(), self.catalog.table["group"].to_numpy()
        return {metric: paired_difference(labels, self.probabilities, other, groups, metric) for metric in COMPARED}


def overlap_of(training: Catalog, test: Catalog, *, allowed: bool) -> tuple[str, ...]:
    """Test images (by pixels) and subjects that are in the training data, counted.

    Raises:
        UserError: there are some and the user has not allowed them.
    """
    seen = test.table["pixel_sha256"].isin(set(training.table["pixel_sha256"]))
    images = [f"image {image_id}" for image_id in test.table["image_id"][seen]]
    subjects: list[str] = []
    if test.has_subjects and training.has_subjects:
        common = set(test.table["subject"]) & set(training.table["subject"])
        subjects = [f"subject {subject}" for subject in sorted(common)]
    if (images or subjects) and not allowed:
        raise UserError(
            f"--test: {len(images)} images and {len(subjects)} subjects of the test set are in the training data, so "
            "its scores would be too high; give other test data, or --allow-overlap (every output will then say so):\n"
            + listed([*images, *subjects])
        )
    words = [f"{len(images)} images"] if images else []
    return tuple([*words, f"{len(subjects)} subjects"] if subjects else words)


def predicted(model: ResNet, recipe: Recipe, test: Catalog, device: torch.device) -> np.ndarray:
    """Probabilities of class 1, float64 (n,), row by row of the catalogue, under the recipe's TTA."""
    images = open_images(test, view_of(recipe))
    return predict(model, recipe, images, range(len(images)), device=device, tta=recipe.evaluate.tta)


def tested(
    model: ResNet, recipe: Recipe, training: Catalog, test: Catalog, overlap: tuple[str, ...], device: torch.device
) -> Tested:
    """Predict the test set, and score it where it has labels."""
    probabilities = predicted(model, recipe, test, device)
    labels, groups = test.table["label"].to_numpy(), test.table["group"].to_numpy()
    return Tested(
        catalog=test,
        probabilities=probabilities,
        scores=scores(labels, probabilities, groups) if test.has_labels else None,
        overlap=overlap,
        subjects_compared=training.has_subjects and test.has_subjects,
    )
