"""Augmentation: each transformation does what it says, none knows of another, and a key fixes them all."""

from __future__ import annotations

import dataclasses
import itertools
import pickle

import albumentations as A
import cv2
import numpy as np
import pytest

from leukemia.config.recipe import Recipe
from leukemia.config.sections import Augment, Data
from leukemia.data.augment import IMAGENET_MEAN, IMAGENET_STD, augmented_sheet, evaluation_pipeline, training_pipeline

NAMES = [item.name for item in dataclasses.fields(Augment)]
KEY = (0, 1, 2, 3)


def only(**probabilities: float) -> Recipe:
    """A recipe whose other transformations are off."""
    return Recipe(augment=Augment(**{**dict.fromkeys(NAMES, 0.0), **probabilities}))


@pytest.fixture
def image() -> np.ndarray:
    """A picture without symmetry or black pixels; read-only, as a memory map gives it."""
    picture = np.random.default_rng(0).integers(1, 256, (32, 32, 3), dtype=np.uint8)
    picture.flags.writeable = False
    return picture


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("horizontal_flip", lambda image: image[:, ::-1]),
        ("vertical_flip", lambda image: image[::-1]),
        ("transpose", lambda image: image.transpose(1, 0, 2)),
    ],
)
def test_flips_equal_numpys(name, expected, image):
    assert np.array_equal(training_pipeline(only(**{name: 1.0})).seen(image, KEY), expected(image))


@pytest.mark.parametrize("name", NAMES)
def test_probability_one_is_always_and_zero_is_never(name, image):
    always, never = training_pipeline(only(**{name: 1.0})), training_pipeline(only())
    for row in range(20):
        key = (0, 0, 0, row)
        assert not np.array_equal(always.seen(image, key), image)
        assert np.array_equal(never.seen(image, key), image)


def test_order_of_flip_and_transpose(image):
    seen = training_pipeline(only(horizontal_flip=1.0, transpose=1.0)).seen(image, KEY)
    assert np.array_equal(seen, image[:, ::-1].transpose(1, 0, 2))


def test_rotation_takes_every_direction_and_leaves_black_corners():
    size, center = 65, 32
    picture = np.full((size, size, 3), 50, np.uint8)
    picture[center - 1 : center + 2, 54:57] = 255
    pipeline = training_pipeline(only(rotate=1.0))
    angles = []
    for row in range(200):
        seen = pipeline.seen(picture, (0, 0, 0, row))
        assert seen.shape == picture.shape
        y, x = (coordinates.mean() - center for coordinates in np.nonzero(seen[..., 0] > 120))
        assert np.hypot(x, y) == pytest.approx(23, abs=1.0)
        angles.append(np.degrees(np.arctan2(y, x)))
        # At 45 degrees the corner lies 13 px outside the square.
        if 20 < abs(angles[-1]) % 90 < 70:
            assert seen[0, 0].max() == 0
    counts, _ = np.histogram(angles, bins=4, range=(-180, 180))
    assert counts.min() > 30


def test_blur_equals_opencvs_kernel_of_three(image):
    seen = training_pipeline(only(blur=1.0)).seen(image, KEY)
    expected = cv2.GaussianBlur(image, (3, 3), 0.8)
    assert np.abs(seen.astype(int) - expected)[1:-1, 1:-1].max() <= 1


def test_blur_reaches_one_pixel():
    dot = np.zeros((9, 9, 3), np.uint8)
    dot[4, 4] = 255
    seen = training_pipeline(only(blur=1.0)).seen(dot, KEY)
    assert (seen[3:6, 3:6] > 0).all()
    assert seen.astype(int).sum() == pytest.approx(3 * 255, abs=15)
    seen[3:6, 3:6] = 0
    assert seen.max() == 0


def test_noise_has_variance_30_in_each_channel_alone():
    grey = np.full((128, 128, 3), 128, np.uint8)
    noise = training_pipeline(only(noise=1.0)).seen(grey, KEY).astype(float) - 128
    # Three standard errors of a variance of 30 over 128 x 128 pixels are 1.0; of the mean over all, 0.07.
    assert noise.var(axis=(0, 1)) == pytest.approx(30, abs=1.0)
    assert noise.mean() == pytest.approx(0, abs=0.08)
    assert np.abs(np.corrcoef(noise.reshape(-1, 3).T) - np.eye(3)).max() < 0.03


def test_cutout_is_one_square_hole_of_an_eighth_at_any_place():
    white = np.full((64, 64, 3), 255, np.uint8)
    pipeline = training_pipeline(only(cutout=1.0))
    corners = set()
    for row in range(50):
        seen = pipeline.seen(white, (0, 0, 0, row))
        rows, columns = np.nonzero((seen == 0).all(axis=2))
        assert len(rows) == (seen < 255).sum() // 3 == 64
        assert np.ptp(rows) == np.ptp(columns) == 7
        corners.add((rows.min(), columns.min()))
    assert len(corners) > 40


def test_hole_is_black_after_noise():
    grey = np.full((64, 64, 3), 128, np.uint8)
    assert (training_pipeline(only(noise=1.0, cutout=1.0)).seen(grey, KEY) == 0).sum() == 3 * 64


def test_transformations_fire_independently_of_each_other_and_of_the_neighbour(image):
    pipeline = training_pipeline(only(**dict.fromkeys(NAMES, 0.5)))
    fired = np.empty((600, len(NAMES)))
    for row in range(len(fired)):
        pipeline(image, (0, 0, 0, row))
        # The library keeps the parameters of the last application, and none where there was none.
        fired[row] = [bool(transform.params) for transform in pipeline.transform.transforms]
    assert fired.mean(axis=0) == pytest.approx(0.5, abs=0.09)
    # Four standard errors of a correlation of zero over 600 images.
    bound = 4 / np.sqrt(len(fired))
    assert np.abs(np.corrcoef(fired.T) - np.eye(len(NAMES))).max() < bound
    across = np.corrcoef(fired[:-1].T, fired[1:].T)[: len(NAMES), len(NAMES) :]
    assert np.abs(across).max() < bound


def test_effects_of_flips_and_cutout_are_uncorrelated():
    """The same, seen from outside: an image of four levels tells which flips it went through."""
    quarters = np.repeat(np.repeat(np.array([[60, 120], [180, 240]], np.uint8), 16, axis=0), 16, axis=1)
    picture = np.stack([quarters] * 3, axis=2)
    pipeline = training_pipeline(only(horizontal_flip=0.5, vertical_flip=0.5, transpose=0.5, cutout=0.5))
    outcomes = []
    for row in range(800):
        seen = pipeline.seen(picture, (0, 0, 0, row))[..., 0]
        # The hole of 4 px covers at most a part of a quarter: the brightest pixel is the quarter's own level.
        levels = [int(seen[y : y + 16, x : x + 16].max()) for y, x in itertools.product((0, 16), (0, 16))]
        outcomes.append((*levels, bool((seen == 0).any())))
    counts = np.array([outcomes.count(outcome) for outcome in set(outcomes)])
    assert len(counts) == 16
    # Chi-square against equal shares of the 8 symmetries, with and without a hole: 99.9 % of 15 degrees of freedom.
    assert ((counts - 50) ** 2 / 50).sum() < 37.7


def test_a_key_fixes_the_output_in_any_order(image):
    pipeline, other = training_pipeline(Recipe()), training_pipeline(Recipe())
    keys = [(0, fold, epoch, row) for fold in range(2) for epoch in range(2) for row in range(5)]
    forward = {key: pipeline(image, key) for key in keys}
    backward = {key: other(image, key) for key in reversed(keys)}
    assert all(np.array_equal(forward[key], backward[key]) for key in keys)


def test_every_part_of_the_key_counts(image):
    pipeline = training_pipeline(only(noise=1.0))
    outputs = [
        pipeline.seen(image, key) for key in [(0, 0, 0, 0), (1, 0, 0, 0), (0, 1, 0, 0), (0, 0, 1, 0), (0, 0, 0, 1)]
    ]
    assert all(not np.array_equal(one, two) for one, two in itertools.combinations(outputs, 2))


def test_input_is_left_as_it_is(image):
    before = image.copy()
    pipeline = training_pipeline(only(**dict.fromkeys(NAMES, 1.0)))
    pipeline(image, KEY)
    training_pipeline(only(cutout=1.0))(image, KEY)
    assert np.array_equal(image, before)


def test_a_copy_sent_to_another_process_does_the_same(image):
    pipeline = training_pipeline(Recipe())
    assert np.array_equal(pickle.loads(pickle.dumps(pipeline))(image, KEY), pipeline(image, KEY))


def test_normalization_equals_the_librarys(image):
    output = evaluation_pipeline(Recipe())(image, None)
    expected = A.Normalize(mean=IMAGENET_MEAN, std=IMAGENET_STD)(image=image)["image"].transpose(2, 0, 1)
    assert output.shape == (3, 32, 32)
    assert output.dtype == np.float32
    assert output.flags.c_contiguous
    np.testing.assert_allclose(output, expected, atol=1e-5)


def test_grayscale_is_one_channel_of_luminance(image):
    output = evaluation_pipeline(Recipe(data=Data(grayscale=True)))(image, None)
    luminance = np.rint(image @ np.array([0.299, 0.587, 0.114]))
    expected = (luminance / 255 - np.mean(IMAGENET_MEAN)) / np.mean(IMAGENET_STD)
    assert output.shape == (1, 32, 32)
    assert output.dtype == np.float32
    # One grey level, where the rounding falls the other way.
    np.testing.assert_allclose(output[0], expected, atol=1.01 / 255 / np.mean(IMAGENET_STD))


def test_training_without_randomness_equals_evaluation(image):
    assert np.array_equal(training_pipeline(only())(image, KEY), evaluation_pipeline(only())(image, None))


def test_evaluation_ignores_the_key(image):
    pipeline = evaluation_pipeline(Recipe())
    assert np.array_equal(pipeline(image, KEY), pipeline(image, None))


def test_training_without_a_key_is_refused(image):
    with pytest.raises(AssertionError, match="needs a seed"):
        training_pipeline(Recipe())(image, None)


def test_sheet_shows_the_original_and_then_what_training_sees(image):
    images = np.stack([image, image[::-1]])
    sheet = augmented_sheet(images, Recipe(), num_columns=4)
    assert sheet.shape == (2, 4, 32, 32, 3)
    assert sheet.dtype == np.uint8
    assert np.array_equal(sheet[:, 0], images)
    assert np.array_equal(sheet[1, 2], training_pipeline(Recipe()).seen(images[1], (0, 0, 2, 1)))
    assert len({sheet[0, column].tobytes() for column in range(4)}) == 4


def test_sheet_in_grayscale_has_equal_channels(image):
    sheet = augmented_sheet(image[None], Recipe(data=Data(grayscale=True)), num_columns=3)
    assert sheet.shape == (1, 3, 32, 32, 3)
    assert np.array_equal(sheet[..., 0], sheet[..., 1])
    assert np.array_equal(sheet[..., 0], sheet[..., 2])
