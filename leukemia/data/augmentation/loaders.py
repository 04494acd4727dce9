"""Where the batches of a training run come from: OpenCV in loader processes, or torch on the GPU."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from leukemia.config.recipe import Recipe
from leukemia.data.augment import training_pipeline
from leukemia.data.augmentation.device import DeviceBatches
from leukemia.data.augmentation.host import HostBatches
from leukemia.data.augmentation.rows import sent
from leukemia.data.images import Batch, ImageRows, Loader


class TrainingLoader(Protocol):
    """Augmented batches of one training run."""

    def __call__(self, batches: Sequence[Batch]) -> Iterator[tuple[Tensor, Tensor]]:
        """Per batch: images (B, C, H, W) float32 and labels (B,) int64, on the CPU or the network's device."""

    def close(self) -> None:
        """Release processes and memory."""


def training_loader(
    recipe: Recipe, images: np.ndarray, labels: np.ndarray, device: torch.device, num_workers: int
) -> TrainingLoader:
    """The loader of the recipe's pipeline on a device.

    Args:
        images: uint8 (n, side, side, 3) RGB, memory-mapped or not.
        labels: int64 (n,).
        device: of the network. On CUDA the batch pipeline runs there and needs no processes, unless the recipe has
            augmentations of plug-ins.
        num_workers: number of loading processes; 0 loads in this process. Does not affect the results.
    """
    assert num_workers == 0 or not _is_on_device(recipe, device), "the batches are made on the device"
    pin_memory = device.type == "cuda"
    if _is_on_device(recipe, device):
        return DeviceLoader(recipe, images, labels, device)
    if recipe.train.pipeline == "reference":
        return Loader(ImageRows(images, labels, training_pipeline(recipe)), num_workers, pin_memory)
    return Loader(BatchRows(images, labels, HostBatches(recipe)), num_workers, pin_memory, collate=_as_it_is)


def loader_processes(recipe: Recipe, device: torch.device, cpus: int) -> int:
    """How many loading processes use the CPUs of a training on a device, leaving one to the training itself.

    None on a CPU, where the network computes on all of them, and none where the batches are made on the device, which
    augmentations of plug-ins rule out.

    >>> loader_processes(Recipe().with_settings({"train.pipeline": "reference"}), torch.device("cuda"), 16)
    15
    >>> loader_processes(Recipe(), torch.device("cuda"), 16)
    0
    """
    return cpus - 1 if device.type == "cuda" and not _is_on_device(recipe, device) else 0


def _is_on_device(recipe: Recipe, device: torch.device) -> bool:
    # Plug-ins transform images one by one on the CPU.
    is_plugged = any(probability > 0 for _, probability in recipe.augmentations)
    return recipe.train.pipeline == "batch" and device.type == "cuda" and not is_plugged


class BatchRows(Dataset[tuple[Tensor, Tensor]]):
    """Images by the keys of a whole batch, transformed together."""

    def __init__(self, images: np.ndarray, labels: np.ndarray, batches: HostBatches) -> None:
        assert labels.shape == (len(images),)
        self._images, self._labels, self._batches = images, labels, batches

    def __getitems__(self, keys: Batch) -> tuple[Tensor, Tensor]:
        """Images (B, C, H, W) float32 in channels-last memory, and labels (B,) int64."""
        labels = self._labels[[key[3] for key in keys]]
        return torch.from_numpy(self._batches(self._images, keys)), torch.from_numpy(labels)


class DeviceLoader:
    """Batches made on a CUDA device, in this process."""

    def __init__(self, recipe: Recipe, images: np.ndarray, labels: np.ndarray, device: torch.device) -> None:
        self._batches: DeviceBatches | None = DeviceBatches(recipe, images, device)
        self._labels, self._device = labels, device

    def __call__(self, batches: Sequence[Batch]) -> Iterator[tuple[Tensor, Tensor]]:
        """Per batch: (B, C, H, W) float32 in channels-last memory and (B,) int64, on the device."""
        assert self._batches is not None, "the loader is closed"
        for keys in batches:
            labels = torch.from_numpy(self._labels[[key[3] for key in keys]])
            yield self._batches(keys), sent(labels, self._device)

    def close(self) -> None:
        """Release the images on the device."""
        self._batches = None


def _as_it_is(batch: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
    """In place of collating: the items are a batch already."""
    return batch
