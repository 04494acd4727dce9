"""Augmentations of plug-ins: the same in both pipelines, in any order and process, and apart from the built-in ones."""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.plugins import AUGMENTATION, unknown, written

from leukemia.base.errors import UserError
from leukemia.config.recipe import Recipe
from leukemia.data.augment import evaluation_pipeline, training_pipeline
from leukemia.data.augmentation.host import HostBatches
from leukemia.data.augmentation.loaders import loader_processes
from leukemia.data.plugged_transforms import PluggedTransforms, check_augmentations
from leukemia.plugins.registry import load_named

KEYS = [(0, 1, 2, row) for row in range(40)]
OFF = dict.fromkeys(
    (f"augment.{name}" for name in ("horizontal_flip", "vertical_flip", "transpose", "rotate", "blur")), 0.0
)


@pytest.fixture(autouse=True)
def nothing_loaded() -> Iterator[None]:
    with unknown():
        yield


@pytest.fixture
def images() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (40, 32, 32, 3), dtype=np.uint8)


def recipe_of(tmp_path: Path, probability: float, text: str = AUGMENTATION, **settings: float) -> Recipe:
    load_named(written(tmp_path, own=text))
    changed = {f"augment.{key}": value for key, value in settings.items()}
    return Recipe().with_settings(
        {**OFF, "augment.noise": 0.0, "augment.cutout": 0.0, "augment.swap": probability, **changed}
    )


def test_both_pipelines_apply_the_same_to_an_image(tmp_path: Path, images: np.ndarray) -> None:
    recipe = recipe_of(tmp_path, 0.5)
    batch, pipeline = HostBatches(recipe).transformed(images, KEYS), training_pipeline(recipe)
    for key, image, found in zip(KEYS, images, batch, strict=True):
        assert np.array_equal(pipeline.transformed(image, key), found)
        # The channels are shuffled, or nothing is done.
        assert np.array_equal(np.sort(found, axis=2), np.sort(image, axis=2))
    changed = [not np.array_equal(image, found) for image, found in zip(images, batch, strict=True)]
    # One shuffle in six leaves the channels as they are.
    assert 8 <= sum(changed) <= 26
    evaluated = evaluation_pipeline(recipe).transformed(images[0], None)
    assert np.array_equal(evaluated, images[0])


def test_an_image_does_not_depend_on_its_batch(tmp_path: Path, images: np.ndarray) -> None:
    batches = HostBatches(recipe_of(tmp_path, 0.5))
    whole = batches.transformed(images, KEYS)
    assert np.array_equal(batches.transformed(images, KEYS[::-1])[::-1], whole)
    assert np.array_equal(batches.transformed(images, KEYS[7:9]), whole[7:9])
    later = [(*key[:2], 3, key[3]) for key in KEYS]
    assert not np.array_equal(batches.transformed(images, later), whole)


def test_the_built_in_transformations_stay_as_they_are(tmp_path: Path, images: np.ndarray) -> None:
    built_in = {"horizontal_flip": 0.5, "rotate": 0.5, "noise": 0.0, "cutout": 0.5}
    recipe = recipe_of(tmp_path, 0.5, **built_in)
    for never in (
        recipe.with_settings({"augment.swap": 0.0}),
        Recipe().with_settings({**OFF, **{f"augment.{k}": v for k, v in built_in.items()}}),
    ):
        for pipeline in (HostBatches, None):
            found, plain = (
                pipeline(each).transformed(images, KEYS)
                if pipeline
                else np.stack([training_pipeline(each).transformed(images[key[3]], key) for key in KEYS])
                for each in (recipe, never)
            )
            # Of noise-free transformations, the order of the channels is all that differs.
            assert np.array_equal(np.sort(found, axis=3), np.sort(plain, axis=3))
            assert not np.array_equal(found, plain)


def test_each_has_its_own_random_numbers(tmp_path: Path, images: np.ndarray) -> None:
    alone = PluggedTransforms(recipe_of(tmp_path, 0.5))
    another = AUGMENTATION.replace("swap", "before").replace("A.ChannelShuffle(p=p)", "A.InvertImg(p=p)")
    load_named(written(tmp_path, other=another))
    both = PluggedTransforms(recipe_of(tmp_path, 0.5).with_settings({"augment.before": 0.5}))
    differences = set()
    for key, image in zip(KEYS, images, strict=True):
        found, plain = both(image, key), alone(image, key)
        assert np.array_equal(found, plain) or np.array_equal(found, 255 - plain)
        differences.add((np.array_equal(found, plain), np.array_equal(plain, image)))
    assert len(differences) == 4


def test_a_process_without_the_plugin_gets_its_text(tmp_path: Path, images: np.ndarray) -> None:
    batches = HostBatches(recipe_of(tmp_path, 1.0))
    expected, sent = batches.transformed(images, KEYS), pickle.dumps(batches)
    with unknown():
        assert np.array_equal(pickle.loads(sent).transformed(images, KEYS), expected)


def test_on_a_gpu_loader_processes_apply_it(tmp_path: Path) -> None:
    recipe = recipe_of(tmp_path, 0.5)
    assert loader_processes(recipe, torch.device("cuda"), 4) == 3
    assert loader_processes(recipe, torch.device("cpu"), 4) == 0
    assert loader_processes(recipe.with_settings({"augment.swap": 0.0}), torch.device("cuda"), 4) == 0


@pytest.mark.parametrize(
    ("transform", "message"),
    [
        ("A.ChannelShuffle(p=0.5)", "expected a transform with p=1, got p=0.5; pass p on to it"),
        ("len", "expected the plug-in to return a transform of albumentations, got a builtin_function_or_method"),
        ("A.NoSuchTransform(p=p)", "the plug-in failed with AttributeError"),
        ("A.Resize(16, 16, p=p)", r"expected a transform that keeps uint8 \(32, 32, 3\), got uint8 \(16, 16, 3\)"),
        ("A.ToFloat(p=p)", r"expected a transform that keeps uint8 \(32, 32, 3\), got float32 \(32, 32, 3\)"),
        ("A.RandomCrop(64, 64, p=p)", "the plug-in's transform failed with "),
    ],
)
def test_a_transform_is_checked_before_training(transform: str, message: str, tmp_path: Path) -> None:
    recipe = recipe_of(tmp_path, 0.0, AUGMENTATION.replace("A.ChannelShuffle(p=p)", transform))
    with pytest.raises(UserError, match=rf"^augment.swap: {message}"):
        check_augmentations(recipe, 32)


def test_a_probability_is_one(tmp_path: Path) -> None:
    recipe = recipe_of(tmp_path, 1.0)
    with pytest.raises(UserError, match=r"^augment.swap: expected a value from 0 to 1, got 1.5$"):
        recipe.with_settings({"augment.swap": 1.5})
    with pytest.raises(UserError, match=r"^augment.swap: expected a number, got 'often'$"):
        recipe.with_settings({"augment.swap": "often"})
