"""The loader of each pipeline: the same batches with and without processes, on the host and on a device."""

from __future__ import annotations

import multiprocessing

import numpy as np
import pytest
import torch

from leukemia.config.recipe import Recipe
from leukemia.config.sections import Augment, Train
from leukemia.data.augment import training_pipeline
from leukemia.data.augmentation.host import HostBatches
from leukemia.data.augmentation.loaders import DeviceLoader, TrainingLoader, loader_processes, training_loader
from leukemia.data.images import training_batches

CPU = torch.device("cpu")
BATCHES = training_batches(Recipe(train=Train(batch_size=4)), range(11), 0, 1)


@pytest.fixture
def images() -> np.ndarray:
    pictures = np.random.default_rng(0).integers(0, 256, (11, 40, 40, 3), dtype=np.uint8)
    pictures.flags.writeable = False
    return pictures


@pytest.fixture
def labels() -> np.ndarray:
    return np.arange(11) % 2


def loaded(loader: TrainingLoader) -> list[tuple[torch.Tensor, torch.Tensor]]:
    try:
        return list(loader(BATCHES))
    finally:
        loader.close()


@pytest.mark.parametrize("num_workers", [0, 2])
def test_the_batch_pipeline_gives_whole_batches_channels_last(num_workers, images, labels):
    recipe = Recipe()
    found = loaded(training_loader(recipe, images, labels, CPU, num_workers))
    for (batch, classes), keys in zip(found, BATCHES, strict=True):
        assert batch.is_contiguous(memory_format=torch.channels_last)
        assert np.array_equal(batch.numpy(), HostBatches(recipe)(images, keys))
        assert classes.dtype == torch.int64
        assert classes.tolist() == [labels[key[3]] for key in keys]


def test_the_reference_pipeline_gives_albumentations_images(images, labels):
    recipe = Recipe(train=Train(pipeline="reference"))
    pipeline = training_pipeline(recipe)
    for (batch, _), keys in zip(loaded(training_loader(recipe, images, labels, CPU, 0)), BATCHES, strict=True):
        assert np.array_equal(batch.numpy(), [pipeline(images[key[3]], key) for key in keys])


def test_a_device_gives_what_the_host_gives_without_processes(images, labels):
    recipe = Recipe(augment=Augment(rotate=0.0))
    before = set(multiprocessing.active_children())
    loader = DeviceLoader(recipe, images, labels, CPU)
    found = list(loader(BATCHES))
    assert set(multiprocessing.active_children()) == before
    for (batch, classes), (expected, same) in zip(
        found, loaded(training_loader(recipe, images, labels, CPU, 0)), strict=True
    ):
        assert torch.equal(batch, expected)
        assert torch.equal(classes, same)
    loader.close()
    with pytest.raises(AssertionError, match="the loader is closed"):
        next(loader(BATCHES))


@pytest.mark.parametrize(("pipeline", "expected"), [("batch", "DeviceLoader"), ("reference", "Loader")])
def test_cuda_makes_batches_on_the_device(pipeline, expected, images, labels, monkeypatch):
    """Without a GPU only the choice can be seen."""
    for name in ("DeviceLoader", "Loader"):
        monkeypatch.setattr(f"leukemia.data.augmentation.loaders.{name}", lambda *arguments, name=name: name)
    recipe, device = Recipe(train=Train(pipeline=pipeline)), torch.device("cuda")
    processes = loader_processes(recipe, device, 4)
    assert processes == {"DeviceLoader": 0, "Loader": 3}[expected]
    assert training_loader(recipe, images, labels, device, processes) == expected
    # The network computes on all CPUs.
    assert loader_processes(recipe, CPU, 4) == 0


def test_processes_that_would_do_nothing_are_refused(images, labels):
    with pytest.raises(AssertionError, match="the batches are made on the device"):
        training_loader(Recipe(), images, labels, torch.device("cuda"), 1)
