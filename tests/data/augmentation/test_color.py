"""Changes of color: those of albumentations to the last bit, in both batch forms, and what they do to an image."""

from __future__ import annotations

import albumentations as A
import cv2
import numpy as np
import pytest
import torch
from scipy.stats import kstest

from leukemia.config.recipe import Recipe
from leukemia.config.sections import COLOR, TRANSFORMATIONS, Augment
from leukemia.data.augment import training_pipeline
from leukemia.data.augmentation.color import recolor
from leukemia.data.augmentation.device import DeviceBatches
from leukemia.data.augmentation.draws import draw
from leukemia.data.augmentation.host import HostBatches

KEYS = [(0, 1, 2, row) for row in range(24)]


def only(**strengths: float) -> Recipe:
    """A recipe with only these changes of color."""
    return Recipe(augment=Augment(**{**dict.fromkeys(TRANSFORMATIONS, 0.0), **strengths}))


def on_host(recipe: Recipe, images: np.ndarray) -> np.ndarray:
    return HostBatches(recipe).transformed(images, KEYS)


def on_device(recipe: Recipe, images: np.ndarray) -> np.ndarray:
    found = DeviceBatches(recipe, images, torch.device("cpu")).transformed(KEYS)
    return found.permute(0, 2, 3, 1).numpy().astype(np.uint8)


def reference(recipe: Recipe, images: np.ndarray) -> np.ndarray:
    pipeline = training_pipeline(recipe)
    return np.stack([pipeline.transformed(images[key[3]], key) for key in KEYS])


@pytest.fixture(params=[on_host, on_device])
def form(request):
    return request.param


@pytest.fixture(params=[on_host, on_device, reference])
def any_form(request):
    return request.param


@pytest.fixture(scope="module")
def noisy() -> np.ndarray:
    """Every level of every channel."""
    return np.random.default_rng(1).integers(0, 256, (len(KEYS), 63, 63, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def pale() -> np.ndarray:
    """Levels from 70 to 120, which none of the strengths below drives to 0 or 255."""
    return np.random.default_rng(2).integers(70, 121, (len(KEYS), 48, 48, 3), dtype=np.uint8)


def of_the_library(image: np.ndarray, **factors: float) -> np.ndarray:
    """The image after one ``ColorJitter`` for each factor."""
    for name, factor in factors.items():
        none = {**dict.fromkeys(COLOR, (1.0, 1.0)), "hue": (0.0, 0.0)}
        image = A.ColorJitter(**{**none, name: (factor, factor)}, p=1.0)(image=image)["image"]
    return image


@pytest.mark.parametrize("strength", [0.1, 0.7, 1.0])
@pytest.mark.parametrize("names", [*((name,) for name in COLOR), COLOR], ids="+".join)
def test_colors_equal_albumentations_to_the_last_bit(form, names, strength, noisy):
    recipe = only(**dict.fromkeys(names, strength))
    drawn = draw(recipe.augment, KEYS, noisy.shape[1]).factor
    changed = 0
    for index, output in enumerate(form(recipe, noisy)):
        expected = of_the_library(noisy[index], **{name: float(drawn[name][index]) for name in names})
        assert np.array_equal(output, expected)
        changed += not np.array_equal(output, noisy[index])
    # Factors within 0.004 of 1 change no level.
    assert changed >= 20


@pytest.mark.parametrize("name", COLOR)
def test_the_reference_draws_factors_uniformly(name):
    pipeline = training_pipeline(only(**{name: 0.4}))
    image = np.zeros((2, 2, 3), np.uint8)
    factors = []
    for row in range(500):
        pipeline.transformed(image, (0, 0, 0, row))
        # The library keeps the parameters of the last call.
        factors.extend(each.params[name] for each in pipeline.transform.transforms if name in each.params)
    assert len(factors) == 500
    assert kstest(factors, "uniform", (0.6, 0.8)).pvalue > 0.01


def test_without_strengths_the_reference_has_no_further_transforms():
    """They would draw random numbers, and so change those of the others."""
    assert len(training_pipeline(Recipe()).transform.transforms) == len(TRANSFORMATIONS)
    assert len(training_pipeline(only(contrast=0.1)).transform.transforms) == len(TRANSFORMATIONS) + 1


def test_brightness_multiplies_levels(any_form, pale):
    ratios = (any_form(only(brightness=0.4), pale) / pale.astype(float)).mean(axis=(1, 2, 3))
    assert ratios.min() < 0.8
    assert ratios.max() > 1.2
    assert (np.abs(ratios - 1) < 0.41).all()


def test_contrast_stretches_levels_and_keeps_the_mean(any_form, pale):
    output = any_form(only(contrast=0.4), pale).astype(float)
    ratios = output.std(axis=(1, 2, 3)) / pale.std(axis=(1, 2, 3))
    assert ratios.min() < 0.8
    assert ratios.max() > 1.2
    # Levels are truncated: half a level.
    assert output.mean(axis=(1, 2, 3)) == pytest.approx(pale.mean(axis=(1, 2, 3)), abs=1.0)


def test_saturation_changes_color_and_keeps_luminance(any_form, pale):
    output = any_form(only(saturation=0.6), pale)
    ratios = np.ptp(output, axis=3).mean(axis=(1, 2)) / np.ptp(pale, axis=3).mean(axis=(1, 2))
    assert ratios.min() < 0.7
    assert ratios.max() > 1.3
    for image, before in zip(output, pale, strict=True):
        after, grey = (cv2.cvtColor(each, cv2.COLOR_RGB2GRAY).astype(int) for each in (image, before))
        assert np.abs(after - grey).max() <= 1


def test_a_saturation_of_0_is_gray(noisy):
    image = noisy[0].copy()
    recolor(image, {"saturation": 0.0})
    assert np.array_equal(image[..., 0], cv2.cvtColor(noisy[0], cv2.COLOR_RGB2GRAY))
    assert np.array_equal(image[..., 0], image[..., 1])
    assert np.array_equal(image[..., 0], image[..., 2])


def test_factors_of_1_change_nothing(noisy):
    image = noisy[0].copy()
    recolor(image, dict.fromkeys(COLOR, 1.0))
    assert np.array_equal(image, noisy[0])


def test_black_corners_stay_like_a_black_background(any_form):
    """Contrast lifts both: colors change after the rotation."""
    image = np.zeros((len(KEYS), 64, 64, 3), np.uint8)
    image[:, 24:40, 24:40] = 200
    fields = {**dict.fromkeys(TRANSFORMATIONS, 0.0), "rotate": 1.0, "contrast": 1.0}
    output = any_form(Recipe(augment=Augment(**fields)), image)
    assert output[:, 0, 0].max() > 0
    # The corner is outside of the image, the middle of its upper edge inside.
    assert np.array_equal(output[:, 0, 0], output[:, 4, 32])
