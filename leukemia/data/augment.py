"""A recipe -> what happens to an image before the network sees it: random transformations, then normalization."""

from __future__ import annotations

import os
import random
from dataclasses import dataclass

# Else the library asks a server for its newest version at import.
os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")

import albumentations as A
import cv2
import numpy as np

from leukemia.config.recipe import Recipe
from leukemia.config.sections import Augment

Key = tuple[int, int, int, int]
"""(seed, fold, epoch, image row): all that the randomness of one training image depends on."""

IMAGENET_MEAN = (0.485, 0.456, 0.406)
"""Channel means of ImageNet in RGB order, on a scale of 0..1; torchvision's models are trained with these."""

IMAGENET_STD = (0.229, 0.224, 0.225)
"""Channel standard deviations of ImageNet in RGB order, on a scale of 0..1."""

NOISE_STD = 5.8613
"""Asked of albumentations 2.0.8 for a noise variance of 30, both on the 0..255 scale. It cuts the noise toward zero to
whole grey levels, so that sqrt(30) leaves 25.95: the variance left of s is the sum of (2k - 1) erfc(k / (s sqrt(2)))
over k = 1, 2, ..., and 30.00 for this s."""

CUTOUT_SIDE = 0.125
"""Side of the hole as a share of the image's side."""

BLUR_SIGMA_PX = 0.8
"""What OpenCV takes for a kernel of 3 px: 0.3 ((3 - 1) / 2 - 1) + 0.8."""


@dataclass(frozen=True, kw_only=True)
class Pipeline:
    """From an image to the network's input: transform, grayscale where the recipe says so, normalize.

    The transformations hold the random state of the image at hand: a pipeline serves one thread at a time.
    """

    transform: A.Compose | None
    """The random transformations; None where there are none."""

    grayscale: bool
    """One channel of ITU-R 601 luminance instead of three colours."""

    def __call__(self, image: np.ndarray, seed: Key | None) -> np.ndarray:
        """The network's input for one image.

        Args:
            image: (H, W, 3) uint8 RGB in 0..255; it is left as it is.
            seed: (seed, fold, epoch, image row), each at least 0. The same one gives the same output, in any order and
                any process. Required by a training pipeline, without effect in an evaluation pipeline.

        Returns:
            (C, H, W) float32, C = 1 for grayscale, else 3: (x / 255 - mean) / std with ImageNet's statistics per
            channel. One channel takes the mean of the three means and of the three standard deviations.
        """
        seen = self.seen(image, seed)
        mean, std = np.array(IMAGENET_MEAN, np.float32), np.array(IMAGENET_STD, np.float32)
        if self.grayscale:
            mean, std = mean.mean(keepdims=True), std.mean(keepdims=True)
        channels = np.ascontiguousarray(seen.transpose(2, 0, 1))
        return (channels - 255 * mean[:, None, None]) / (255 * std[:, None, None])

    def seen(self, image: np.ndarray, seed: Key | None) -> np.ndarray:
        """The picture before normalization, (H, W, C) uint8 in 0..255; arguments as in a call."""
        assert image.dtype == np.uint8
        assert image.shape[2:] == (3,)
        if self.transform is not None:
            assert seed is not None, "a training pipeline needs a seed"
            _seed(self.transform, seed)
            image = self.transform(image=image)["image"]
        return cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)[:, :, None] if self.grayscale else image


def training_pipeline(recipe: Recipe) -> Pipeline:
    """Random transformations with the recipe's probabilities, then what ``evaluation_pipeline`` does.

    In this order: horizontal flip, vertical flip, transpose, rotation within +-180 degrees (bilinear, black corners),
    Gaussian blur (kernel of 3 px), Gaussian noise (variance 30), one black hole of 12.5 % of the side.
    """
    return Pipeline(transform=_transform(recipe.augment), grayscale=recipe.data.grayscale)


def evaluation_pipeline(recipe: Recipe) -> Pipeline:
    """Grayscale where the recipe says so, then normalization; nothing random."""
    return Pipeline(transform=None, grayscale=recipe.data.grayscale)


def augmented_sheet(images: np.ndarray, recipe: Recipe, num_columns: int = 8) -> np.ndarray:
    """Samples of what training sees, for a report.

    Args:
        images: (n, H, W, 3) uint8 RGB.
        recipe: its augmentation, its grayscale and its seed are used.
        num_columns: pictures a row, the untransformed one first.

    Returns:
        (n, num_columns, H, W, 3) uint8 RGB, before normalization; grayscale is shown as three equal channels.
    """
    assert num_columns >= 1
    training, evaluation = training_pipeline(recipe), evaluation_pipeline(recipe)
    sheet = np.empty((len(images), num_columns, *images.shape[1:]), np.uint8)
    for row, image in enumerate(images):
        sheet[row, 0] = evaluation.seen(image, None)
        for column in range(1, num_columns):
            sheet[row, column] = training.seen(image, (recipe.train.seed, 0, column, row))
    return sheet


def _transform(augment: Augment) -> A.Compose:
    noise_std = NOISE_STD / 255
    return A.Compose(
        [
            A.HorizontalFlip(p=augment.horizontal_flip),
            A.VerticalFlip(p=augment.vertical_flip),
            A.Transpose(p=augment.transpose),
            A.Rotate(
                limit=(-180, 180),
                interpolation=cv2.INTER_LINEAR,
                border_mode=cv2.BORDER_CONSTANT,
                fill=0,
                p=augment.rotate,
            ),
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
        # Without it an argument that the library does not know is dropped with a warning, and its default applies.
        strict=True,
    )


def _seed(transform: A.Compose, key: Key) -> None:
    """One stream of random numbers for all transforms of one image.

    The library's own ``seed`` gives every transform the same stream: those of equal probability then fire together.
    """
    generator = np.random.default_rng(np.random.SeedSequence(key))
    transform.set_random_state(generator, random.Random(int(generator.integers(2**63))))
