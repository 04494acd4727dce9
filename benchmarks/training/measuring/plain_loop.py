"""The loop that most people write: float32, DataLoader, cv2.imread, albumentations, optimizers as published."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Generator
from pathlib import Path
from typing import Any

import albumentations as A
import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader, Dataset

from benchmarks.training.measuring.case import Case
from leukemia.data.augment import IMAGENET_MEAN, IMAGENET_STD, training_pipeline
from leukemia.training.model import build_model
from leukemia.training.ranger21_package import package_ranger21

FILE_PX = 450
"""Side of an image in its file, as in C-NMC 2019; its centre is trained on."""


class _Files(Dataset[tuple[np.ndarray, int]]):
    """Images read from files, one at a time."""

    def __init__(self, paths: list[Path], labels: np.ndarray, transform: A.Compose) -> None:
        self.paths, self.labels, self.transform = paths, labels, transform

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, row: int) -> tuple[np.ndarray, int]:
        image = cv2.cvtColor(cv2.imread(str(self.paths[row])), cv2.COLOR_BGR2RGB)
        return np.ascontiguousarray(self.transform(image=image)["image"].transpose(2, 0, 1)), int(self.labels[row])


def plain_loop(case: Case) -> Generator[float, None, None]:
    """Train epoch after epoch of ``case.num_batches``; yields the seconds per image of each.

    Images are loaded in this process, as a trial does on a CPU: on the same cores, loader processes would only take
    time from the network.
    """
    recipe = case.recipe
    torch.manual_seed(0)
    model = build_model(recipe).train()
    optimizer = _optimizer(case, model)
    with tempfile.TemporaryDirectory(prefix="throughput-") as folder:
        dataset = _Files(_written(case, Path(folder)), case.labels(), _transform(case))
        loader = DataLoader(dataset, batch_size=recipe.train.batch_size, shuffle=True)
        while True:
            start = time.perf_counter()
            for images, labels in loader:
                optimizer.zero_grad()
                F.cross_entropy(model(images), labels).backward()
                optimizer.step()
            yield (time.perf_counter() - start) / case.num_images


def _written(case: Case, folder: Path) -> list[Path]:
    """Files with noise, BMP as in C-NMC 2019."""
    generator, paths = np.random.default_rng(0), [folder / f"{row}.bmp" for row in range(case.num_images)]
    for path in paths:
        image = generator.integers(0, 256, (FILE_PX, FILE_PX, 3), dtype=np.uint8)
        if not cv2.imwrite(str(path), image):
            raise OSError(f"{path}: OpenCV could not write the image")
    return paths


def _optimizer(case: Case, model: nn.Module) -> Any:
    if case.optimizer == "adamw":
        return torch.optim.AdamW(model.parameters(), lr=case.recipe.optimizer.learning_rate)
    return package_ranger21(model, case.recipe, case.num_batches, own_schedule=True)


def _transform(case: Case) -> A.Compose:
    """The centre, the random transformations of the recipe, and albumentations' own normalization."""
    random = training_pipeline(case.recipe).transform
    assert random is not None
    crop = A.CenterCrop(case.size_px, case.size_px)
    return A.Compose([crop, *random.transforms, A.Normalize(mean=IMAGENET_MEAN, std=IMAGENET_STD)], strict=True)
