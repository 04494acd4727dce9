"""Both batch forms are held against albumentations' pipeline, and against each other."""

from __future__ import annotations

import itertools
import pickle
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import albumentations as A
import cv2
import numpy as np
import pytest
import torch
from scipy.stats import ks_2samp

from benchmarks.training.measuring.launches import Launches
from leukemia.config.recipe import Recipe
from leukemia.config.sections import COLOR, TRANSFORMATIONS, Augment, Data
from leukemia.data.augment import BORDER_MODES, evaluation_pipeline, training_pipeline
from leukemia.data.augmentation.device import DeviceBatches
from leukemia.data.augmentation.draws import draw
from leukemia.data.augmentation.host import HostBatches

CPU = torch.device("cpu")
SIDE = 63
KEYS = [(0, 1, 2, row) for row in range(24)]
COLORED = Recipe(augment=Augment(rotate_limit=60.0, border="reflect", brightness=0.3, contrast=0.4, saturation=0.5))


def only(*, grayscale: bool = False, **fields: float | str) -> Recipe:
    """A recipe with only these transformations."""
    augment = Augment(**{**dict.fromkeys(TRANSFORMATIONS, 0.0), **fields})
    return Recipe(augment=augment, data=Data(grayscale=grayscale))


def on_host(recipe: Recipe, images: np.ndarray, keys: list) -> np.ndarray:
    return HostBatches(recipe).transformed(images, keys)


def on_device(recipe: Recipe, images: np.ndarray, keys: list) -> np.ndarray:
    transformed = DeviceBatches(recipe, images, CPU).transformed(keys).permute(0, 2, 3, 1).numpy()
    assert np.array_equal(transformed, transformed.astype(np.uint8))
    return transformed.astype(np.uint8)


def reference(recipe: Recipe, images: np.ndarray, keys: list) -> np.ndarray:
    pipeline = training_pipeline(recipe)
    return np.stack([pipeline.transformed(images[key[3]], key) for key in keys])


@pytest.fixture(params=[on_host, on_device])
def form(request) -> Callable[[Recipe, np.ndarray, list], np.ndarray]:
    return request.param


@pytest.fixture(scope="module")
def images() -> np.ndarray:
    """Smooth pictures, like cells, without symmetry; read-only, like a memory map."""
    pictures = np.random.default_rng(0).integers(0, 256, (len(KEYS), SIDE, SIDE, 3), dtype=np.uint8)
    pictures = np.stack([cv2.normalize(cv2.GaussianBlur(each, (15, 15), 4), None, 0, 255, 32) for each in pictures])
    pictures.flags.writeable = False
    return pictures


@pytest.mark.parametrize("flips", list(itertools.product((0.0, 1.0), repeat=3)))
def test_flips_and_transpose_equal_albumentations(form, flips, images):
    recipe = only(**dict(zip(("horizontal_flip", "vertical_flip", "transpose"), flips, strict=True)))
    assert np.array_equal(form(recipe, images, KEYS), reference(recipe, images, KEYS))


@pytest.mark.parametrize("grayscale", [False, True])
def test_blur_and_grayscale_equal_albumentations(form, grayscale, images):
    noisy = np.random.default_rng(1).integers(0, 256, images.shape, dtype=np.uint8)
    for pictures in (images, noisy):
        recipe = only(blur=1.0, grayscale=grayscale)
        output, expected = form(recipe, pictures, KEYS), reference(recipe, pictures, KEYS)
        if form is on_device and torch.backends.cpu.get_cpu_capability() == "DEFAULT":
            # Without fused multiplications and additions, sums differ in the last bit, and few in their rounding.
            assert np.abs(output.astype(int) - expected).mean() < 1e-4
        else:
            assert np.array_equal(output, expected)


@pytest.mark.parametrize(("side", "border"), [(SIDE, "constant"), (SIDE - 1, "constant"), (SIDE, "reflect")])
def test_rotation_differs_from_albumentations_by_a_tenth_of_a_grey_level(form, side, border, images):
    """After flips and a transpose, which are one interpolation with it."""
    pictures = images[:, :side, :side]
    recipe = only(rotate=1.0, horizontal_flip=0.5, vertical_flip=0.5, transpose=0.5, border=border)
    draws = draw(recipe.augment, KEYS, side)
    flipped = form(only(), pictures, KEYS)
    errors = []
    for index, output in enumerate(form(recipe, pictures, KEYS)):
        expected = flipped[index]
        for name, flip in (
            ("horizontal_flip", A.HorizontalFlip),
            ("vertical_flip", A.VerticalFlip),
            ("transpose", A.Transpose),
        ):
            expected = flip(p=float(draws.applied[name][index]))(image=expected)["image"]
        angle = float(draws.angle[index])
        rotate = A.Rotate(limit=(angle, angle), interpolation=cv2.INTER_LINEAR, border_mode=BORDER_MODES[border], p=1.0)
        errors.append(np.abs(rotate(image=expected)["image"].astype(int) - output).mean())
    assert np.mean(errors) < 0.1
    assert np.max(errors) < 0.2


@pytest.mark.parametrize("limit", [180.0, 10.0])
def test_the_border_and_the_limit_of_rotations_are_seen_in_the_images(form, limit):
    white = np.full((24, 65, 65, 3), 255, np.uint8)
    black, reflected = (
        form(only(rotate=1.0, rotate_limit=limit, border=border), white, KEYS) for border in ("constant", "reflect")
    )
    assert (reflected == 255).all()
    # At 10 degrees about 43 of the 144 pixels are outside of the image, at 45 degrees about 130.
    corners = (black[:, :12, :12] == 0).all(axis=3).sum(axis=(1, 2))
    assert corners.max() > (120 if limit == 180 else 20)
    assert limit == 180 or corners.max() < 60


def test_noise_has_variance_30_independently_per_channel(form):
    grey = np.full((24, 96, 96, 3), 128, np.uint8)
    noise = form(only(noise=1.0), grey, KEYS).astype(float) - 128
    assert noise.var() == pytest.approx(30, abs=0.3)
    assert noise.mean() == pytest.approx(0, abs=0.03)
    assert np.abs(np.corrcoef(noise.reshape(-1, 3).T) - np.eye(3)).max() < 4 / np.sqrt(noise.size / 3)
    assert ks_2samp(noise.ravel(), reference(only(noise=1.0), grey, KEYS).ravel() - 128.0).pvalue > 0.001


@pytest.mark.parametrize("level", [0, 255])
def test_noise_saturates(form, level):
    flat = np.full((24, 32, 32, 3), level, np.uint8)
    noise = form(only(noise=1.0), flat, KEYS).astype(int) - level
    assert 10 < np.abs(noise).max() < 40
    assert (noise == 0).mean() > 0.5


def test_a_hole_is_black_after_noise(form):
    white = np.full((24, 64, 64, 3), 255, np.uint8)
    for output in form(only(noise=1.0, cutout=1.0), white, KEYS):
        rows, columns = np.nonzero((output == 0).all(axis=2))
        assert len(rows) == 64
        assert np.ptp(rows) == np.ptp(columns) == 7


@pytest.mark.parametrize("name", TRANSFORMATIONS)
def test_rates_are_seen_in_the_images(form, name, images):
    keys = [(0, 0, epoch, 3) for epoch in range(300)]
    output = form(only(**{name: 0.3}), images, keys)
    changed = (output != images[3]).any(axis=(1, 2, 3))
    assert np.array_equal(changed, draw(only(**{name: 0.3}).augment, keys, SIDE).applied[name])
    assert changed.mean() == pytest.approx(0.3, abs=0.11)


@pytest.mark.parametrize(("recipe", "number"), [(Recipe(), 1500), (COLORED, 500)], ids=["default", "colored"])
def test_the_whole_pipeline_has_albumentations_distribution(form, recipe, number, images):
    """Kolmogorov-Smirnov over statistics of one image, rounded, since they have atoms."""
    keys = [(0, 0, epoch, 3) for epoch in range(number)]

    def statistics(outputs: np.ndarray) -> np.ndarray:
        values, half = outputs.astype(np.float32), SIDE // 2
        return np.stack(
            [
                values.mean(axis=(1, 2, 3)).round(1),
                values.std(axis=(1, 2, 3)).round(1),
                (values.sum(axis=3) == 0).mean(axis=(1, 2)).round(2),
                values[:, :half, :half].mean(axis=(1, 2, 3)).round(1),
                np.abs(np.diff(values, axis=2)).mean(axis=(1, 2, 3)).round(1),
            ]
        )

    ours, expected = statistics(form(recipe, images, keys)), statistics(reference(recipe, images, keys))
    for one, two in zip(ours, expected, strict=True):
        assert ks_2samp(one, two).pvalue > 0.01


def test_an_image_does_not_depend_on_its_batch(form, images):
    together = form(Recipe(), images, KEYS)
    assert np.array_equal(together, form(Recipe(), images, KEYS[::-1])[::-1])
    assert np.array_equal(together, np.concatenate([form(Recipe(), images, [key]) for key in KEYS]))


@pytest.mark.parametrize("grayscale", [False, True])
def test_both_forms_are_equal_without_rotation(grayscale, images):
    fields = dict.fromkeys((*TRANSFORMATIONS, *COLOR), 0.5) | {"rotate": 0.0}
    recipe = only(**fields, grayscale=grayscale)
    host, device = HostBatches(recipe)(images, KEYS), DeviceBatches(recipe, images, CPU)(KEYS)
    assert host.dtype == np.float32
    assert host.shape == device.shape == (len(KEYS), 1 if grayscale else 3, SIDE, SIDE)
    assert torch.from_numpy(host).is_contiguous(memory_format=torch.channels_last)
    assert device.is_contiguous(memory_format=torch.channels_last)
    assert np.array_equal(host, device.numpy())


@pytest.mark.parametrize("grayscale", [False, True])
def test_normalization_equals_the_evaluation_pipeline(grayscale, images):
    recipe = only(grayscale=grayscale)
    pipeline = evaluation_pipeline(recipe)
    expected = np.stack([pipeline(images[key[3]], None) for key in KEYS])
    assert np.array_equal(HostBatches(recipe)(images, KEYS), expected)
    assert np.array_equal(DeviceBatches(recipe, images, CPU)(KEYS).numpy(), expected)


def test_no_global_random_state_is_used(form, images):
    cv2.setRNGSeed(7)
    before = cv2.randu(np.empty((1, 8), np.float32), 0, 1)
    state, numpy_state = torch.get_rng_state(), np.random.get_state()[1].copy()
    cv2.setRNGSeed(7)
    first = form(only(noise=1.0, rotate=1.0), images, KEYS)
    assert np.array_equal(cv2.randu(np.empty((1, 8), np.float32), 0, 1), before)
    assert torch.equal(torch.get_rng_state(), state)
    assert np.array_equal(np.random.get_state()[1], numpy_state)
    assert np.array_equal(form(only(noise=1.0, rotate=1.0), images, KEYS), first)


def test_threads_and_pickles_give_the_same(images):
    batches = HostBatches(Recipe())
    expected = batches(images, KEYS)
    with ThreadPoolExecutor(4) as pool:
        for found in pool.map(lambda _: batches(images, KEYS), range(8)):
            assert np.array_equal(found, expected)
    assert np.array_equal(pickle.loads(pickle.dumps(batches))(images, KEYS), expected)


@pytest.mark.parametrize("recipe", [Recipe(), COLORED], ids=["default", "colored"])
def test_the_device_form_computes_in_float32_under_autocast(recipe, images):
    """Precise BatchNorm takes its batches where the network computes in bfloat16."""
    batches = DeviceBatches(recipe, images, CPU)
    with torch.autocast("cpu", torch.bfloat16):
        found = batches(KEYS)
    assert torch.equal(found, batches(KEYS))


@pytest.mark.parametrize(("recipe", "most"), [(Recipe(), 40), (COLORED, 70)], ids=["default", "colored"])
def test_the_device_form_has_few_launches_and_never_waits(recipe, most, images):
    batches = DeviceBatches(recipe, images, CPU)
    counts = []
    for epoch in range(10):
        with Launches() as launches:
            batches([(0, 0, epoch, row) for row in range(24)])
        counts.append(launches.count)
        assert launches.synchronizations == 0
    # The same operations whatever is drawn, as a CUDA graph needs.
    assert len(set(counts)) == 1
    assert counts[0] <= most
