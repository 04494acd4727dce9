"""Augmentation: each transformation is correct, they are independent, and a key determines all of them."""

from __future__ import annotations

import itertools
import pickle

import albumentations as A
import cv2
import numpy as np
import pytest

from leukemia.config.recipe import Recipe
from leukemia.config.sections import TRANSFORMATIONS, Augment, Data
from leukemia.data.augment import IMAGENET_MEAN, IMAGENET_STD, augmented_sheet, evaluation_pipeline, training_pipeline

KEY = (0, 1, 2, 3)


def only(**fields: float | str) -> Recipe:
    """A recipe with only these transformations."""
    return Recipe(augment=Augment(**{**dict.fromkeys(TRANSFORMATIONS, 0.0), **fields}))


@pytest.fixture
def image() -> np.ndarray:
    """A picture without symmetry or black pixels; read-only, like a memory map."""
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
def test_flips_equal_numpy(name, expected, image):
    assert np.array_equal(training_pipeline(only(**{name: 1.0})).transformed(image, KEY), expected(image))


@pytest.mark.parametrize("name", TRANSFORMATIONS)
def test_probability_one_means_always_and_zero_never(name, image):
    always, never = training_pipeline(only(**{name: 1.0})), training_pipeline(only())
    for row in range(20):
        key = (0, 0, 0, row)
        assert not np.array_equal(always.transformed(image, key), image)
        assert np.array_equal(never.transformed(image, key), image)


def test_flip_is_applied_before_transpose(image):
    output = training_pipeline(only(horizontal_flip=1.0, transpose=1.0)).transformed(image, KEY)
    assert np.array_equal(output, image[:, ::-1].transpose(1, 0, 2))


@pytest.mark.parametrize("limit", [0.0, 30.0, 90.0])
def test_rotation_stays_within_its_limit(limit):
    """Seen by a spot to the right of the centre."""
    picture = np.zeros((65, 65, 3), np.uint8)
    picture[31:34, 54:57] = 255
    pipeline = training_pipeline(only(rotate=1.0, rotate_limit=limit))
    angles = []
    for row in range(60):
        y, x = (each.mean() - 32 for each in np.nonzero(pipeline.transformed(picture, (0, 0, 0, row))[..., 0] > 120))
        angles.append(np.degrees(np.arctan2(-y, x)))
    # A pixel at this distance is 2.5 degrees.
    assert -limit - 2.5 < min(angles) <= 2.5 - 0.9 * limit
    assert 0.9 * limit - 2.5 <= max(angles) < limit + 2.5


def test_corners_are_reflected():
    white = np.full((64, 64, 3), 255, np.uint8)
    # Its left half is black: so are reflections across the left edge, and no others.
    half = white.copy()
    half[:, :32] = 0
    reflecting, black = (training_pipeline(only(rotate=1.0, border=border)) for border in ("reflect", "constant"))
    for row in range(10):
        key = (0, 0, 0, row)
        assert (reflecting.transformed(white, key) == 255).all()
        assert (black.transformed(white, key) == 0).any()
        assert (reflecting.transformed(half, key) == 0).mean() == pytest.approx(0.5, abs=0.1)


def test_rotation_covers_all_angles_and_leaves_black_corners():
    size, center = 65, 32
    picture = np.full((size, size, 3), 50, np.uint8)
    picture[center - 1 : center + 2, 54:57] = 255
    pipeline = training_pipeline(only(rotate=1.0))
    angles = []
    for row in range(200):
        output = pipeline.transformed(picture, (0, 0, 0, row))
        assert output.shape == picture.shape
        y, x = (coordinates.mean() - center for coordinates in np.nonzero(output[..., 0] > 120))
        assert np.hypot(x, y) == pytest.approx(23, abs=1.0)
        angles.append(np.degrees(np.arctan2(y, x)))
        # At 45 degrees the corner is 13 px outside the square.
        if 20 < abs(angles[-1]) % 90 < 70:
            assert output[0, 0].max() == 0
    counts, _ = np.histogram(angles, bins=4, range=(-180, 180))
    assert counts.min() > 30


def test_blur_equals_opencvs_3_px_kernel(image):
    output = training_pipeline(only(blur=1.0)).transformed(image, KEY)
    expected = cv2.GaussianBlur(image, (3, 3), 0.8)
    assert np.abs(output.astype(int) - expected)[1:-1, 1:-1].max() <= 1


def test_blur_reaches_one_pixel():
    dot = np.zeros((9, 9, 3), np.uint8)
    dot[4, 4] = 255
    output = training_pipeline(only(blur=1.0)).transformed(dot, KEY)
    assert (output[3:6, 3:6] > 0).all()
    assert output.astype(int).sum() == pytest.approx(3 * 255, abs=15)
    output[3:6, 3:6] = 0
    assert output.max() == 0


def test_noise_has_variance_30_independently_per_channel():
    grey = np.full((128, 128, 3), 128, np.uint8)
    noise = training_pipeline(only(noise=1.0)).transformed(grey, KEY).astype(float) - 128
    # Three standard errors of a variance of 30 over 128 x 128 pixels are 1.0; of the mean over all, 0.07.
    assert noise.var(axis=(0, 1)) == pytest.approx(30, abs=1.0)
    assert noise.mean() == pytest.approx(0, abs=0.08)
    assert np.abs(np.corrcoef(noise.reshape(-1, 3).T) - np.eye(3)).max() < 0.03


def test_cutout_is_one_square_hole_of_an_eighth_at_random_positions():
    white = np.full((64, 64, 3), 255, np.uint8)
    pipeline = training_pipeline(only(cutout=1.0))
    corners = set()
    for row in range(50):
        output = pipeline.transformed(white, (0, 0, 0, row))
        rows, columns = np.nonzero((output == 0).all(axis=2))
        assert len(rows) == (output < 255).sum() // 3 == 64
        assert np.ptp(rows) == np.ptp(columns) == 7
        corners.add((rows.min(), columns.min()))
    assert len(corners) > 40


def test_hole_is_black_after_noise():
    grey = np.full((64, 64, 3), 128, np.uint8)
    assert (training_pipeline(only(noise=1.0, cutout=1.0)).transformed(grey, KEY) == 0).sum() == 3 * 64


def test_transformations_are_independent_of_each_other_and_of_the_previous_image(image):
    pipeline = training_pipeline(only(**dict.fromkeys(TRANSFORMATIONS, 0.5)))
    applied = np.empty((600, len(TRANSFORMATIONS)))
    for row in range(len(applied)):
        pipeline(image, (0, 0, 0, row))
        # The library keeps the parameters of the last call, empty if the transform was not applied.
        applied[row] = [bool(transform.params) for transform in pipeline.transform.transforms]
    assert applied.mean(axis=0) == pytest.approx(0.5, abs=0.09)
    # Four standard errors of a correlation of zero over 600 images.
    bound = 4 / np.sqrt(len(applied))
    assert np.abs(np.corrcoef(applied.T) - np.eye(len(TRANSFORMATIONS))).max() < bound
    across = np.corrcoef(applied[:-1].T, applied[1:].T)
    across = across[: len(TRANSFORMATIONS), len(TRANSFORMATIONS) :]
    assert np.abs(across).max() < bound


def test_effects_of_flips_and_cutout_are_uncorrelated():
    """The same, seen from the output: four grey levels reveal which flips were applied."""
    quarters = np.repeat(np.repeat(np.array([[60, 120], [180, 240]], np.uint8), 16, axis=0), 16, axis=1)
    picture = np.stack([quarters] * 3, axis=2)
    pipeline = training_pipeline(only(horizontal_flip=0.5, vertical_flip=0.5, transpose=0.5, cutout=0.5))
    outcomes = []
    for row in range(800):
        output = pipeline.transformed(picture, (0, 0, 0, row))[..., 0]
        # The hole of 4 px never covers a whole quarter: the brightest pixel has the level of the quarter.
        levels = [int(output[y : y + 16, x : x + 16].max()) for y, x in itertools.product((0, 16), (0, 16))]
        outcomes.append((*levels, bool((output == 0).any())))
    counts = np.array([outcomes.count(outcome) for outcome in set(outcomes)])
    assert len(counts) == 16
    # Chi-square against equal shares of the 8 symmetries, with and without a hole: 99.9 % of 15 degrees of freedom.
    assert ((counts - 50) ** 2 / 50).sum() < 37.7


def test_a_key_determines_the_output_in_any_order(image):
    pipeline, other = training_pipeline(Recipe()), training_pipeline(Recipe())
    keys = [(0, fold, epoch, row) for fold in range(2) for epoch in range(2) for row in range(5)]
    forward = {key: pipeline(image, key) for key in keys}
    backward = {key: other(image, key) for key in reversed(keys)}
    assert all(np.array_equal(forward[key], backward[key]) for key in keys)


def test_every_part_of_the_key_matters(image):
    pipeline = training_pipeline(only(noise=1.0))
    outputs = [
        pipeline.transformed(image, key)
        for key in [(0, 0, 0, 0), (1, 0, 0, 0), (0, 1, 0, 0), (0, 0, 1, 0), (0, 0, 0, 1)]
    ]
    assert all(not np.array_equal(one, two) for one, two in itertools.combinations(outputs, 2))


def test_the_input_is_not_modified(image):
    before = image.copy()
    pipeline = training_pipeline(only(**dict.fromkeys(TRANSFORMATIONS, 1.0)))
    pipeline(image, KEY)
    training_pipeline(only(cutout=1.0))(image, KEY)
    assert np.array_equal(image, before)


def test_a_pickled_pipeline_gives_the_same_output(image):
    pipeline = training_pipeline(Recipe())
    assert np.array_equal(pickle.loads(pickle.dumps(pipeline))(image, KEY), pipeline(image, KEY))


def test_normalization_equals_albumentations(image):
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
    # Rounding may differ by one grey level.
    np.testing.assert_allclose(output[0], expected, atol=1.01 / 255 / np.mean(IMAGENET_STD))


def test_training_without_randomness_equals_evaluation(image):
    assert np.array_equal(training_pipeline(only())(image, KEY), evaluation_pipeline(only())(image, None))


def test_evaluation_ignores_the_key(image):
    pipeline = evaluation_pipeline(Recipe())
    assert np.array_equal(pipeline(image, KEY), pipeline(image, None))


def test_training_without_a_key_is_rejected(image):
    with pytest.raises(AssertionError, match="needs a seed"):
        training_pipeline(Recipe())(image, None)


def test_sheet_shows_the_original_and_then_augmented_images(image):
    images = np.stack([image, image[::-1]])
    sheet = augmented_sheet(images, Recipe(), num_columns=4)
    assert sheet.shape == (2, 4, 32, 32, 3)
    assert sheet.dtype == np.uint8
    assert np.array_equal(sheet[:, 0], images)
    assert np.array_equal(sheet[1, 2], training_pipeline(Recipe()).transformed(images[1], (0, 0, 2, 1)))
    assert len({sheet[0, column].tobytes() for column in range(4)}) == 4


def test_sheet_in_grayscale_has_equal_channels(image):
    sheet = augmented_sheet(image[None], Recipe(data=Data(grayscale=True)), num_columns=3)
    assert sheet.shape == (1, 3, 32, 32, 3)
    assert np.array_equal(sheet[..., 0], sheet[..., 1])
    assert np.array_equal(sheet[..., 0], sheet[..., 2])
