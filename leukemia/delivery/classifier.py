"""Classify image files with a delivered model."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from leukemia.base.errors import UserError
from leukemia.data.layouts.source import IMAGE_SUFFIXES, is_image, walk
from leukemia.data.view import view_of
from leukemia.delivery.evaluation import describe_broken
from leukemia.delivery.loading import load_delivered
from leukemia.training.device import choose_device, use_threads
from leukemia.training.inference import NonFiniteProbabilities, model_to_device, predict, read_images


def find_images(paths: Iterable[Path]) -> list[Path]:
    """The given files in their order, and for a folder all images below it, sorted.

    Raises:
        UserError: a folder has no images, or cannot be read.
    """
    found: list[Path] = []
    for path in paths:
        images = list(filter(is_image, walk(path))) if path.is_dir() else [path]
        if not images:
            raise UserError(f"{path}: no images in this folder; expected files named *{', *'.join(IMAGE_SUFFIXES)}")
        found += images
    return found


def classify(folder: Path, images: Sequence[Path], device_name: str) -> np.ndarray:
    """Probabilities of class 1 (leukemic), float64 (n,), one per image, with the TTA of the delivered recipe.

    Args:
        folder: folder of a delivered model, such as ``final/`` of a study.
        device_name: as for ``choose_device``.

    Raises:
        UserError: the folder has no valid model, an image cannot be read, or a probability is not finite.
    """
    model, recipe = load_delivered(folder)
    device = choose_device(device_name)
    use_threads(None)
    model = model_to_device(model, device)
    parts: list[np.ndarray] = []
    for pixels in read_images(images, view_of(recipe)):
        try:
            parts.append(predict(model, recipe, pixels, range(len(pixels)), device=device, tta=recipe.evaluate.tta))
        except NonFiniteProbabilities as error:
            names = [str(path) for path in images[sum(map(len, parts)) :]]
            raise UserError(f"--model {folder}: {describe_broken(error, names)}") from None
    return np.concatenate(parts)
