"""Input pipelines built from a recipe: random transformations, then normalization."""

from __future__ import annotations

import os
import random
from dataclasses import dataclass

# Otherwise the library checks a server for a newer version on import.
os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")

import albumentations as A
import cv2
import numpy as np

from leukemia.config.recipe import Recipe
from leukemia.config.sections import COLOR, Augment
from leukemia.data.plugged_transforms import PluggedTransforms

Key = tuple[int, int, int, int]
"""(seed, fold, epoch, image row): determines the random transformations of one training image."""

IMAGENET_MEAN = (0.485, 0.456, 0.406)
"""Channel means of ImageNet in RGB order, in 0..1, as used to train torchvision's models."""

IMAGENET_STD = (0.229, 0.224, 0.225)
"""Channel standard deviations of ImageNet in RGB order, in 0..1."""

NOISE_STD = 5.8613
"""Passed to albumentations 2.0.8 for a noise variance of 30, both on the 0..255 scale. The library truncates the noise
toward zero to integers, so that sqrt(30) would give 25.95: for a standard deviation s, the variance after truncation is
the sum of (2k - 1) erfc(k / (s sqrt(2))) over k = 1, 2, ..., which is 30.00 for this s."""

BORDER_MODES = {"constant": cv2.BORDER_CONSTANT, "reflect": cv2.BORDER_REFLECT}
"""OpenCV's modes of ``augment.border``; a constant border is black."""

CUTOUT_SIDE = 0.125
"""Side of the hole as a fraction of the image's side."""

BLUR_SIGMA_PX = 0.8
"""OpenCV's default for a kernel of 3 px: 0.3 ((3 - 1) / 2 - 1) + 0.8."""


@dataclass(frozen=True, kw_only=True)
class Pipeline:
    """From an image to the network's input: random transformations, optional grayscale, normalization.

    Not thread-safe: the transformations hold the random state of the current image.
    """

    transform: A.Compose | None
    """The random transformations; None for evaluation."""

    grayscale: bool
    """One channel of ITU-R 601 luminance instead of RGB."""

    plugged: PluggedTransforms | None = None
    """What plug-ins do to an image before; None for evaluation."""

    def __call__(self, image: np.ndarray, seed: Key | None) -> np.ndarray:
        """The network's input for one image.

        Args:
            image: (H, W, 3) uint8 RGB in 0..255; not modified.
            seed: (seed, fold, epoch, image row), each at least 0. The same key gives the same output in any order and
                any process. Required by a training pipeline, ignored by an evaluation pipeline.

        Returns:
            (C, H, W) float32, C = 1 for grayscale, else 3: (x / 255 - mean) / std with ImageNet's statistics per
            channel. Grayscale uses the mean of the three means and of the three standard deviations.
        """
        transformed = self.transformed(image, seed)
        mean, std = channel_statistics(self.grayscale)
        channels = np.ascontiguousarray(transformed.transpose(2, 0, 1))
        return (channels - 255 * mean[:, None, None]) / (255 * std[:, None, None])

    def transformed(self, image: np.ndarray, seed: Key | None) -> np.ndarray:
        """The image before normalization, (H, W, C) uint8 in 0..255; arguments as for ``__call__``."""
        assert image.dtype == np.uint8
        assert image.shape[2:] == (3,)
        if self.transform is not None:
            assert seed is not None, "a training pipeline needs a seed"
            if self.plugged is not None:
                image = self.plugged(image, seed)
            _seed(self.transform, seed)
            image = self.transform(image=image)["image"]
        return cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)[:, :, None] if self.grayscale else image


def channel_statistics(grayscale: bool) -> tuple[np.ndarray, np.ndarray]:
    """Means and standard deviations that inputs are normalized with, in 0..1: each float32 (C,), C = 1 or 3."""
    mean, std = np.array(IMAGENET_MEAN, np.float32), np.array(IMAGENET_STD, np.float32)
    return (mean.mean(keepdims=True), std.mean(keepdims=True)) if grayscale else (mean, std)


def training_pipeline(recipe: Recipe) -> Pipeline:
    """Random transformations with the recipe's probabilities and strengths, then the steps of ``evaluation_pipeline``.

    The order is: those of plug-ins, by name; horizontal flip, vertical flip, transpose, rotation (bilinear),
    brightness, contrast, saturation, Gaussian blur (kernel of 3 px), Gaussian noise (variance 30), one black hole of
    12.5 % of the side. Color changes after the rotation, so that black corners stay like a black background, and before
    what blurs and disturbs a camera.
    """
    return Pipeline(
        transform=_transform(recipe.augment), grayscale=recipe.data.grayscale, plugged=PluggedTransforms(recipe)
    )


def evaluation_pipeline(recipe: Recipe) -> Pipeline:
    """Optional grayscale, then normalization; nothing random."""
    return Pipeline(transform=None, grayscale=recipe.data.grayscale)


def augmented_sheet(images: np.ndarray, recipe: Recipe, num_columns: int = 8) -> np.ndarray:
    """Samples of augmented training images, for a report.

    Args:
        images: (n, H, W, 3) uint8 RGB.
        recipe: provides augmentation, grayscale and seed.
        num_columns: images per row; the first is not augmented.

    Returns:
        (n, num_columns, H, W, 3) uint8 RGB, before normalization; grayscale is shown as three equal channels.
    """
    assert num_columns >= 1
    training, evaluation = training_pipeline(recipe), evaluation_pipeline(recipe)
    sheet = np.empty((len(images), num_columns, *images.shape[1:]), np.uint8)
    for row, image in enumerate(images):
        sheet[row, 0] = evaluation.transformed(image, None)
        for column in range(1, num_columns):
            sheet[row, column] = training.transformed(image, (recipe.train.seed, 0, column, row))
    return sheet


def _transform(augment: Augment) -> A.Compose:
    noise_std = NOISE_STD / 255
    return A.Compose(
        [
            A.HorizontalFlip(p=augment.horizontal_flip),
            A.VerticalFlip(p=augment.vertical_flip),
            A.Transpose(p=augment.transpose),
            A.Rotate(
                limit=(-augment.rotate_limit, augment.rotate_limit),
                interpolation=cv2.INTER_LINEAR,
                border_mode=BORDER_MODES[augment.border],
                fill=0,
                p=augment.rotate,
            ),
            *_color_changes(augment),
            A.GaussianBlur(blur_limit=(3, 3), sigma_limit=(BLUR_SIGMA_PX, BLUR_SIGMA_PX), p=augment.blur),
            A.GaussNoise(std_range=(noise_std, noise_std), p=augment.noise),
            A.CoarseDropout(
                num_holes_range=(1, 1),
                hole_height_range=(CUTOUT_SIDE, CUTOUT_SIDE),
                hole_width_range=(CUTOUT_SIDE, CUTOUT_SIDE),
                fill=0,
                p=augment.cutout,
            ),
        ],
        # Otherwise unknown arguments are ignored with a warning, and the defaults apply.
        strict=True,
    )


def _color_changes(augment: Augment) -> list[A.ColorJitter]:
    """One transform per strength above 0, since a single one would apply them in random order.

    Those of strength 0 are left out: they would draw random numbers, and so change those of the following transforms.
    """
    unchanged = {**dict.fromkeys(COLOR, (1.0, 1.0)), "hue": (0.0, 0.0)}
    return [
        A.ColorJitter(**{**unchanged, name: (1.0 - strength, 1.0 + strength)}, p=1.0)
        for name in COLOR
        if (strength := getattr(augment, name)) > 0
    ]


def _seed(transform: A.Compose, key: Key) -> None:
    """Set up one random stream, shared by all transforms of an image.

    The library's own ``seed`` gives every transform the same stream, so those of equal probability would always be
    applied together.
    """
    generator = np.random.default_rng(np.random.SeedSequence(key))
    transform.set_random_state(generator, random.Random(int(generator.integers(2**63))))
