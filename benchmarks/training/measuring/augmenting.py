"""The time to augment an image on one core: albumentations one by one, against whole batches."""

from __future__ import annotations

import statistics
import time

import torch

from benchmarks.training.measuring.case import CPU, Case
from leukemia.data.augmentation.loaders import TrainingLoader, training_loader
from leukemia.data.images import Batch, training_batches

SIZE_PX = 224
PIPELINES = ("reference", "batch")


def milliseconds_per_image(num_batches: int, turns: int) -> dict[str, float]:
    """Median milliseconds per image of each pipeline, in alternation, with one thread.

    From rows of the array to normalized batches, by the loader that trains.

    Args:
        num_batches: batches of 32 images of one turn.
        turns: after a first one of each pipeline, which warms up.
    """
    case = Case(depth=18, size_px=SIZE_PX, optimizer="adamw", num_batches=num_batches)
    images, labels = case.images(), case.labels()
    loaders = {
        name: training_loader(case.recipe.with_settings({"train.pipeline": name}), images, labels, CPU, num_workers=0)
        for name in PIPELINES
    }
    found: dict[str, list[float]] = {name: [] for name in PIPELINES}
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        for turn in range(turns + 1):
            batches = training_batches(case.recipe, range(case.num_images), fold=0, epoch=turn + 1)
            for name in PIPELINES if turn % 2 else reversed(PIPELINES):
                found[name].append(1000 * _seconds(loaders[name], batches) / case.num_images)
    finally:
        torch.set_num_threads(threads)
    return {name: statistics.median(values[1:]) for name, values in found.items()}


def _seconds(loader: TrainingLoader, batches: list[Batch]) -> float:
    start = time.perf_counter()
    for _ in loader(batches):
        pass
    return time.perf_counter() - start
