"""Parameters of a batch: right rates, independent of each other and of every other image, as albumentations draws."""

from __future__ import annotations

import itertools

import albumentations as A
import numpy as np
import pytest
from scipy.stats import chisquare, kstest

from leukemia.config.sections import COLOR, TRANSFORMATIONS, Augment
from leukemia.data.augmentation.draws import FACTOR_STEPS, STREAMS, Draws, draw

HALF = Augment(**dict.fromkeys((*TRANSFORMATIONS, *COLOR), 0.5))
NUM = 4000
KEYS = {
    "rows": [(0, 0, 1, row) for row in range(NUM)],
    "epochs": [(0, 0, epoch, 7) for epoch in range(NUM)],
    "folds": [(0, fold, 1, 7) for fold in range(NUM)],
    "seeds": [(seed, 0, 1, 7) for seed in range(NUM)],
}


def numbers(draws: Draws) -> np.ndarray:
    """All parameters of each image, (n, 15)."""
    applied = [draws.applied[name] for name in TRANSFORMATIONS]
    factors = [draws.factor[name] for name in COLOR]
    return np.column_stack([*applied, draws.angle, draws.noise_key, draws.hole, *factors]).astype(float)


@pytest.mark.parametrize("along", KEYS)
def test_transformations_are_independent_along(along):
    values = numbers(draw(HALF, KEYS[along], 224))
    flags = values[:, : len(TRANSFORMATIONS)]
    # Four standard errors, also of the correlations of zero.
    assert flags.mean(axis=0) == pytest.approx(0.5, abs=2 / np.sqrt(NUM))
    bound = 4 / np.sqrt(NUM)
    count = values.shape[1]
    assert np.abs(np.corrcoef(values.T) - np.eye(count)).max() < bound
    assert np.abs(np.corrcoef(values[:-1].T, values[1:].T)[:count, count:]).max() < bound
    # Three at a time: each of the eight outcomes equally often.
    for names in itertools.combinations(range(len(TRANSFORMATIONS)), 3):
        outcomes = np.bincount(flags[:, names].astype(int) @ [1, 2, 4], minlength=8)
        assert chisquare(outcomes).pvalue > 1e-5


def test_parts_of_the_key_do_not_stand_for_each_other():
    draws = [numbers(draw(HALF, keys[1:], 224)) for keys in KEYS.values()]
    count = draws[0].shape[1]
    for one, two in itertools.combinations(draws, 2):
        assert np.abs(np.corrcoef(one.T, two.T)[:count, count:]).max() < 4.5 / np.sqrt(NUM)


def test_rates_are_those_of_the_recipe():
    augment = Augment(rotate=0.0, blur=1.0)
    applied = draw(augment, KEYS["rows"], 224).applied
    for name in TRANSFORMATIONS:
        probability = getattr(augment, name)
        error = np.sqrt(probability * (1 - probability) / NUM)
        assert applied[name].mean() == pytest.approx(probability, abs=4 * error)


@pytest.mark.parametrize("limit", [15.0, 90.0, 180.0])
def test_angles_are_uniform_up_to_their_limit(limit):
    angles = draw(Augment(rotate_limit=limit), KEYS["rows"], 224).angle
    assert kstest(angles, "uniform", (-limit, 2 * limit)).pvalue > 0.01
    np.testing.assert_allclose(angles / limit, draw(HALF, KEYS["rows"], 224).angle / 180, atol=1e-12)


@pytest.mark.parametrize("strength", [0.05, 0.5, 1.0])
def test_factors_of_color_are_uniform_in_steps_that_float32_multiplies_exactly(strength):
    draws = draw(Augment(**dict.fromkeys(COLOR, strength)), KEYS["rows"], 224)
    for factor in draws.factor.values():
        assert kstest(factor, "uniform", (1 - strength, 2 * strength)).pvalue > 0.01
        assert np.array_equal(factor * FACTOR_STEPS, np.rint(factor * FACTOR_STEPS))


def test_a_strength_of_0_changes_no_color():
    assert all((factor == 1).all() for factor in draw(Augment(), KEYS["rows"], 224).factor.values())


def test_a_field_keeps_its_random_stream():
    """Others would change the random numbers of all recipes."""
    assert STREAMS[:7] == ("horizontal_flip", "vertical_flip", "transpose", "rotate", "blur", "noise", "cutout")
    assert STREAMS[7:10] == ("brightness", "contrast", "saturation")
    assert len(set(STREAMS)) == len(STREAMS)
    assert set(STREAMS) == {*TRANSFORMATIONS, *COLOR}


@pytest.mark.parametrize("side", [32, 33, 39, 224, 250])
def test_holes_are_uniform_over_the_places_of_albumentations(side):
    draws = draw(HALF, KEYS["rows"], side)
    reference = A.CoarseDropout(
        hole_height_range=(0.125, 0.125), hole_width_range=(0.125, 0.125), num_holes_range=(1, 1)
    )
    reference.set_random_seed(0)
    holes = np.concatenate(
        [reference.get_params_dependent_on_data({"shape": (side, side, 3)}, {})["holes"] for _ in range(NUM)]
    )
    assert {draws.hole_px} == set(holes[:, 2] - holes[:, 0]) == set(holes[:, 3] - holes[:, 1])
    places = side - draws.hole_px + 1
    for axis, expected in enumerate((holes[:, 1], holes[:, 0])):
        counts = np.bincount(draws.hole[:, axis], minlength=places)
        assert len(counts) == places
        assert chisquare(counts).pvalue > 0.001
        assert (draws.hole[:, axis].min(), draws.hole[:, axis].max()) == (expected.min(), expected.max())


def test_an_image_does_not_depend_on_its_batch():
    together = numbers(draw(Augment(), KEYS["rows"][:50], 96))
    backward = numbers(draw(Augment(), KEYS["rows"][:50][::-1], 96))
    alone = np.concatenate([numbers(draw(Augment(), [key], 96)) for key in KEYS["rows"][:50]])
    assert np.array_equal(together, alone)
    assert np.array_equal(together, backward[::-1])


def test_probabilities_and_strengths_change_nothing_else():
    """A trial with others sees the same angles, so that two recipes can be compared."""
    one, two = draw(HALF, KEYS["rows"], 96), draw(Augment(), KEYS["rows"], 96)
    for name in ("angle", "noise_key", "hole"):
        assert np.array_equal(getattr(one, name), getattr(two, name))
    colored = draw(Augment(**dict.fromkeys(COLOR, 1.0)), KEYS["rows"], 96)
    assert all(np.array_equal(colored.applied[name], two.applied[name]) for name in TRANSFORMATIONS)
