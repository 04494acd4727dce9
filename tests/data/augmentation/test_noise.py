"""Noise: the distribution of albumentations' truncated noise, and independence in every direction."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from scipy.stats import kstest

from leukemia.config.sections import Augment
from leukemia.data.augment import NOISE_STD
from leukemia.data.augmentation.draws import draw
from leukemia.data.augmentation.noise import LEVELS, noise

KEYS = [(0, 0, 1, row) for row in range(20)]


def test_levels_are_a_truncated_gaussian_of_variance_30():
    assert LEVELS.shape == (65536,)
    assert LEVELS.mean() == 0
    assert np.square(LEVELS.astype(float)).mean() == pytest.approx(30, abs=0.01)
    for level in range(1, 20):
        share = (np.abs(LEVELS) >= level).mean()
        assert share == pytest.approx(math.erfc(level / (NOISE_STD * math.sqrt(2))), abs=2 / 65536)


def test_values_are_independent_in_every_direction():
    """Of the image, of the batch, and of the bits that neighbours share."""
    values = np.stack([noise(key, (96, 96, 3)) for key in draw(Augment(), KEYS, 96).noise_key]).astype(float)
    assert values.var() == pytest.approx(30, abs=0.3)
    assert values.mean() == pytest.approx(0, abs=4 * math.sqrt(30 / values.size))
    for axis, step in ((0, 1), (1, 1), (1, 32), (2, 1), (2, 2), (2, 64), (3, 1)):
        length = values.shape[axis]
        one, two = np.take(values, range(step, length), axis), np.take(values, range(length - step), axis)
        for function in (np.asarray, np.abs):
            assert abs(np.corrcoef(function(one).ravel(), function(two).ravel())[0, 1]) < 4 / math.sqrt(one.size)


def test_noise_has_no_pattern():
    """The spectrum of white noise is flat: exponentially distributed around its mean."""
    keys = draw(Augment(), KEYS, 96).noise_key
    power = np.concatenate(
        [np.abs(np.fft.fft(noise(key, (4096,)))[1:2048]) ** 2 / (4096 * LEVELS.astype(float).var()) for key in keys]
    )
    assert kstest(power, "expon").pvalue > 0.01
    assert power.max() < math.log(len(power)) + 8


def test_both_words_of_the_key_matter():
    noises = [noise(np.array(key, np.uint32), (40, 40, 3)) for key in itertools.product((11, 2**31), repeat=2)]
    for one, two in itertools.combinations(noises, 2):
        assert (one != two).mean() > 0.8


def test_an_odd_number_of_values():
    key = np.array([1, 2], np.uint32)
    assert np.array_equal(noise(key, (5,)), noise(key, (6,))[:5])
