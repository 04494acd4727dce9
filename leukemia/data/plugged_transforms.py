"""Augmentations of plug-ins: transforms of albumentations, applied to an image before the built-in ones."""

from __future__ import annotations

import os
import random
import zlib
from collections.abc import Callable, Sequence
from typing import Any

# Otherwise the library checks a server for a newer version on import.
os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")

import albumentations as A
import numpy as np

from leukemia.base.errors import UserError, first_line
from leukemia.base.faults import is_machine_fault
from leukemia.config.recipe import Recipe
from leukemia.plugins.plugin_file import PluginFile
from leukemia.plugins.registry import builder_of, file_of, load


class PluggedTransforms:
    """The augmentations of a recipe's plug-ins, in the order of their names; both pipelines have the same.

    They come first, since colors are to be changed before black corners and holes are cut. Each has a random stream of
    its own for each image, so they leave the built-in transformations and each other as they are. Not thread-safe.
    """

    def __init__(self, recipe: Recipe) -> None:
        """Args:
        recipe: with its plug-ins, whose files have been loaded.

        Raises:
            UserError: a file has not been loaded, or returns no transform of this probability.
        """
        self._recipe = recipe
        # Of a probability of 0 there is nothing to do.
        self._transforms = [(name, _built(recipe, name, p)) for name, p in recipe.augmentations if p > 0]

    def __reduce__(self) -> tuple[Callable[..., PluggedTransforms], tuple[Any, ...]]:
        """As the recipe and the text of its plug-ins: a process that loads images has not run them."""
        found = [file_of(sha256) for _, sha256 in self._recipe.plugins]
        return _rebuilt, (self._recipe, [file for file in found if file is not None])

    def __call__(self, image: np.ndarray, key: Sequence[int]) -> np.ndarray:
        """The transformed image.

        Args:
            image: (H, W, 3) uint8 RGB in 0..255; not modified.
            key: (seed, fold, epoch, image row), which determines the result.

        Raises:
            UserError: a transform fails, or changes the shape or the type.
        """
        for name, transform in self._transforms:
            generator = np.random.default_rng(np.random.SeedSequence((*key, zlib.crc32(name.encode()))))
            transform.set_random_state(generator, random.Random(int(generator.integers(2**63))))
            try:
                found = transform(image=image.copy())["image"]
            except Exception as error:
                if is_machine_fault(error):
                    raise
                raise UserError(
                    f"augment.{name}: the plug-in's transform failed with {type(error).__name__}: {first_line(error)}"
                ) from error
            if not isinstance(found, np.ndarray) or found.dtype != np.uint8 or found.shape != image.shape:
                got = f"{found.dtype} {found.shape}" if isinstance(found, np.ndarray) else type(found).__name__
                raise UserError(
                    f"augment.{name}: expected a transform that keeps uint8 {image.shape}, got {got}; correct the "
                    "plug-in"
                )
            image = np.ascontiguousarray(found)
        return image


def check_augmentations(recipe: Recipe, side_px: int) -> None:
    """Check before training that each of a recipe's augmentations of plug-ins transforms an image.

    Raises:
        UserError: as ``PluggedTransforms``.
    """
    always = {f"augment.{name}": 1.0 for name, _ in recipe.augmentations}
    noise = np.random.default_rng(0).integers(0, 256, (side_px, side_px, 3), dtype=np.uint8)
    PluggedTransforms(recipe.with_settings(always))(noise, (0, 0, 0, 0))


def _built(recipe: Recipe, name: str, probability: float) -> A.Compose:
    build = builder_of(recipe, name, "augmentation")
    try:
        transform = build(probability)
    except Exception as error:
        raise UserError(
            f"augment.{name}: the plug-in failed with {type(error).__name__}: {first_line(error)}"
        ) from error
    if not isinstance(transform, A.BasicTransform):
        raise UserError(
            f"augment.{name}: expected the plug-in to return a transform of albumentations, got a "
            f"{type(transform).__name__}"
        )
    if transform.p != probability:
        raise UserError(
            f"augment.{name}: expected a transform with p={probability:g}, got p={transform.p:g}; pass p on to it"
        )
    return A.Compose([transform])


def _rebuilt(recipe: Recipe, files: Sequence[PluginFile]) -> PluggedTransforms:
    load(files)
    return PluggedTransforms(recipe)
