"""The interval of a paired difference: the noise of folds, and its share in the interval."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import t as student

from leukemia.scoring.jackknife import Difference
from leukemia.scoring.paired import PRIOR_NOISE, fold_noise, paired_interval


def test_noise_without_repeats_is_the_prior() -> None:
    assert fold_noise([]) == PRIOR_NOISE
    assert fold_noise([], prior=0.03) == pytest.approx(0.03)


def test_noise_is_the_variance_that_images_do_not_explain() -> None:
    # (0.04^2 - 0.0004 + 0.02^2 - 0.0002) / 2 = 0.0007; with the prior's pair (0.0001 + 0.0007) / 3.
    seen = [Difference(0.04, 0.0004, 9), Difference(-0.02, 0.0002, 9)]
    assert fold_noise(seen) == pytest.approx(math.sqrt(0.0008 / 3))
    # A variance below what the images explain means no noise.
    assert fold_noise([Difference(0.01, 0.01, 9)] * 3) == pytest.approx(PRIOR_NOISE / 2)
    # With one group, the explained variance is unknown.
    assert fold_noise([Difference(0.5, math.nan, 1)]) == pytest.approx(PRIOR_NOISE / math.sqrt(2))


def test_noise_is_estimated_from_many_repeats() -> None:
    generator, noise, images = np.random.default_rng(1), 0.02, 0.03
    values = generator.normal(0, math.sqrt(2 * noise**2 + images**2), 4000)
    assert fold_noise([Difference(float(value), images**2, 40) for value in values]) == pytest.approx(noise, rel=0.1)


def test_an_interval_has_the_noise_of_both_sides_and_their_seeds() -> None:
    # Five folds, 3 seeds against 1: 0.0004 + 0.02^2 / 5 * (1 / 3 + 1).
    spread = student.ppf(0.975, 11) * math.sqrt(0.0004 + 0.02**2 / 5 * (1 / 3 + 1))
    found = paired_interval(Difference(0.03, 0.0004, 12), 0.02, 5, (3, 1))
    assert (found.value, found.low, found.high) == pytest.approx((0.03, 0.03 - spread, 0.03 + spread))


def test_one_group_has_no_interval() -> None:
    found = paired_interval(Difference(0.03, math.nan, 1), 0.02, 5, (1, 1))
    assert found.value == 0.03
    assert math.isnan(found.low)
    assert math.isnan(found.high)
