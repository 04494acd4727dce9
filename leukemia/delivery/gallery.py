"""The surest mistakes of a model on a test set, and as many right answers, with where the network looked."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from leukemia.base import interrupts, progress
from leukemia.config.recipe import Recipe
from leukemia.config.sections import Tta
from leukemia.delivery.explanation import Explanation
from leukemia.scoring.calibration import log_odds
from leukemia.training.gradcam import NoMap, relevance

MOST = 12
"""Mistakes that are shown, at most."""

VIEWS: Tta = "d4"
"""The maps are averaged over the eight flips and rotations by right angles, whatever the recipe's augmentation."""


@dataclass(frozen=True, kw_only=True)
class Gallery:
    """Images of a test set with their maps; ``rows`` are positions in its catalogue."""

    num_mistakes: int
    """In the whole test set."""

    mistakes: tuple[Explanation, ...]
    """The surest first, at most ``MOST``."""

    mistake_rows: tuple[int, ...]
    right: tuple[Explanation, ...]
    """As many, if there are; called the same classes, the surest first."""

    right_rows: tuple[int, ...]
    no_map: str = ""
    """Why the images have no maps, as a sentence without its period; empty if they have."""


def surest(
    labels: np.ndarray, probabilities: np.ndarray, threshold: float, most: int = MOST
) -> tuple[list[int], list[int]]:
    """Rows of the surest mistakes, and of as many of the surest right answers.

    How sure an answer is, is the distance of its log-odds from those of the threshold. For each mistake there is a
    right answer of the same class, as long as there are: maps show what speaks for the class that was answered.

    Args:
        labels: int64 (n,), 0 or 1.
        probabilities: float64 (n,), of class 1, in 0..1.
        threshold: from which an image is called leukemic.
        most: mistakes, at most.

    >>> surest(np.array([0, 0, 1, 1]), np.array([0.1, 0.8, 0.9, 0.7]), 0.5)
    ([1], [2])
    """
    called = (probabilities >= threshold).astype(np.int64)
    order = np.argsort(-np.abs(log_odds(probabilities) - log_odds(np.asarray(threshold))), kind="stable")
    mistakes = [int(row) for row in order if called[row] != labels[row]][:most]
    correct = [int(row) for row in order if called[row] == labels[row]]
    right: list[int] = []
    for answer in (0, 1):
        wanted = sum(called[row] == answer for row in mistakes)
        right += [row for row in correct if called[row] == answer][:wanted]
    others = [row for row in correct if row not in right]
    right += others[: len(mistakes) - len(right)]
    return mistakes, sorted(right, key=correct.index)


def gallery_of(
    model: nn.Module,
    recipe: Recipe,
    images: np.ndarray,
    names: list[str],
    labels: np.ndarray,
    probabilities: np.ndarray,
    threshold: float,
    device: torch.device,
) -> Gallery:
    """The gallery of a test set.

    Args:
        model: on ``device``.
        images: uint8 (n, S, S, 3), in the recipe's crop and size.
        names: of the images.
        labels, probabilities, threshold: as for ``surest``; the probabilities are those of the model.
    """
    mistakes, right = surest(labels, probabilities, threshold)
    rows, called = [*mistakes, *right], (probabilities >= threshold).astype(np.int64)
    found, no_map = [], ""
    with progress.bar("explaining images", len(rows)) as advance:
        for row in rows:
            interrupts.check()
            heat = None
            if not no_map:
                try:
                    (heat,) = relevance(model, recipe, images, [row], called[[row]], device=device, tta=VIEWS)
                except NoMap as reason:
                    no_map = str(reason)
            found.append(
                Explanation(
                    name=names[row],
                    pixels=np.array(images[row]),
                    probability_leukemic=float(probabilities[row]),
                    predicted=int(called[row]),
                    relevance=heat,
                )
            )
            advance()
    return Gallery(
        num_mistakes=int((called != labels).sum()),
        mistakes=tuple(found[: len(mistakes)]),
        mistake_rows=tuple(mistakes),
        right=tuple(found[len(mistakes) :]),
        right_rows=tuple(right),
        no_map=no_map,
    )
