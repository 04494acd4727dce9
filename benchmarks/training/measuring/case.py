"""A case of the throughput benchmark: a network, a size of images and an optimizer, with its recipe and images."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from leukemia.config.recipe import Recipe

EPOCHS = 1000
"""Of the recipe: more than are measured, so that no schedule ends."""

CPU = torch.device("cpu")
"""All sides compute on it."""


@dataclass(frozen=True, kw_only=True)
class Case:
    """What is trained, on all sides alike."""

    depth: int
    size_px: int
    optimizer: str
    num_batches: int
    """Batches of one turn."""

    @property
    def recipe(self) -> Recipe:
        """The starting recipe of a search with this network, size and optimizer."""
        settings = {
            "model.depth": self.depth,
            "data.size_px": self.size_px,
            "data.crop_px": self.size_px,
            "train.epochs": EPOCHS,
            "optimizer.name": self.optimizer,
            # A low rate, since a network that diverges on noise would not be measured.
            "optimizer.learning_rate": 3e-5,
        }
        return Recipe().with_settings(settings).resolved([(self.size_px, self.size_px)])

    @property
    def num_images(self) -> int:
        """Images of one turn."""
        return self.num_batches * self.recipe.train.batch_size

    def images(self) -> np.ndarray:
        """Noise, since time does not depend on it: uint8 (num_images, size_px, size_px, 3)."""
        shape = (self.num_images, self.size_px, self.size_px, 3)
        return np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)

    def labels(self) -> np.ndarray:
        """int64 (num_images,), both classes in turns."""
        return np.arange(self.num_images) % 2
