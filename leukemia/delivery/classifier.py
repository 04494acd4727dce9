"""Classify image files with a delivered model."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from leukemia.base.errors import UserError
from leukemia.data.layouts.detect import find_images
from leukemia.data.layouts.source import IMAGE_SUFFIXES, ignored_files, is_image, is_os_leftover, walk
from leukemia.data.layouts.tables import is_table
from leukemia.data.reading import UNLABELLED
from leukemia.data.view import view_of
from leukemia.delivery.evaluation import describe_broken
from leukemia.delivery.loading import load_delivered
from leukemia.training.device import choose_device, use_threads
from leukemia.training.inference import NonFiniteProbabilities, model_to_device, predict, read_images

log = logging.getLogger(__name__)


def named_images(paths: Iterable[Path]) -> list[tuple[str, Path]]:
    """The given images in their order, each with its name: for a CSV those that it lists, for a folder all below it.

    The name is what a CSV calls the image: its ``ID``, or its path as written. Other images are called by their path.
    Files that operating systems leave, which ``cells/*`` in a shell may name, are left out. Other files in a folder are
    counted in a warning.

    Raises:
        UserError: a folder has no images, or a folder or CSV cannot be read.
    """
    given = list(paths)
    found: list[tuple[str, Path]] = []
    for path in [path for path in given if not is_os_leftover(path.name)] or given[:1]:
        if is_table(path):
            rows = find_images(path, UNLABELLED, labels=False).rows
            found += [(str(row.path) if row.name is None else row.name, row.path) for row in rows]
            continue
        images = list(filter(is_image, walk(path))) if path.is_dir() else [path]
        if not images:
            raise UserError(f"{path}: no images in this folder; expected files named *{', *'.join(IMAGE_SUFFIXES)}")
        for note in ignored_files([path]) if path.is_dir() else ():
            log.warning("%s: %s", path, note)
        found += [(str(image), image) for image in images]
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
