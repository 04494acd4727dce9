"""Resampled tables: reproducible, with a known true accuracy."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from helpers.replay_tables import NUM_EPOCHS, NUM_FOLDS, START, make_table

from benchmarks.racing.replaying.resampling import Landscape, fit, resample
from benchmarks.racing.replaying.table import Table


def test_resampled_tables_are_reproducible(recorded: Table) -> None:
    components = fit(recorded)
    landscape = Landscape(recorded.space, recorded.recipes, components.level)
    one, again, other = (resample(recorded, components, landscape, 30, seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(one.seen.probabilities, again.seen.probabilities)
    np.testing.assert_array_equal(one.truth, again.truth)
    assert not np.array_equal(one.truth, other.truth)
    assert one.seen.recipes[0] == START
    assert one.seen.accuracy.shape == (3, 30, NUM_FOLDS, NUM_EPOCHS)


def test_resampled_truth_is_the_mean_over_seeds(recorded: Table) -> None:
    components = fit(recorded)
    landscape = Landscape(recorded.space, recorded.recipes, components.level)
    view = resample(recorded, components, landscape, 200, 0)
    assert abs(np.mean(view.seen.scores.mean(axis=(0, 2)) - view.truth)) < 0.005
    # The recorded recipes are correct independently of each other, and the model should find that.
    assert components.difficulty < 0.05
    assert np.all(components.fold < 0.3)


def test_shared_difficulty_is_found() -> None:
    generator = np.random.default_rng(0)
    seen = make_table([0.8] * 10, per_fold=200)
    latent = 0.85 + np.sqrt(0.6) * generator.standard_normal(1000)
    latent = latent + np.sqrt(0.2) * generator.standard_normal((10, 1000))
    right = latent + np.sqrt(0.2) * generator.standard_normal((2, 10, 1000)) > 0
    components = fit(replace(seen, probabilities=np.where(right == seen.labels, 0.9, 0.1)))
    assert components.difficulty == pytest.approx(0.6, abs=0.08)
    assert components.own == pytest.approx(0.2, abs=0.08)
