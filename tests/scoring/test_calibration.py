"""Temperature scaling, and scores of probabilities."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn import metrics as reference

from leukemia.scoring.calibration import (
    CALIBRATION,
    TEMPERATURES,
    Calibration,
    calibration_scores,
    cross_tempered,
    fit_temperature,
    leukemic_bins,
    tempered,
)


def drawn(temperature: float, num_images: int = 4000, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Labels, and probabilities whose log-odds are ``temperature`` times the true ones."""
    generator = np.random.default_rng(seed)
    odds = generator.normal(0.4, 2.0, num_images)
    labels = (generator.uniform(size=num_images) < 1 / (1 + np.exp(-odds))).astype(int)
    return labels, 1 / (1 + np.exp(-temperature * odds))


@pytest.mark.parametrize("temperature", [0.6, 1.0, 2.5])
def test_the_temperature_of_a_simulation_is_found(temperature: float) -> None:
    labels, probabilities = drawn(temperature)
    found = fit_temperature(labels, probabilities)
    assert found == pytest.approx(temperature, rel=0.05)
    # A minimum, of the likelihood as scikit-learn computes it.
    losses = {
        factor: reference.log_loss(labels, tempered(probabilities, factor * found)) for factor in (0.98, 1.0, 1.02)
    }
    assert min(losses, key=losses.__getitem__) == 1.0


def test_scaling_keeps_order_and_classes() -> None:
    _, probabilities = drawn(1.0)
    scaled = tempered(probabilities, 2.0)
    assert (np.argsort(scaled, kind="stable") == np.argsort(probabilities, kind="stable")).all()
    assert ((scaled >= 0.5) == (probabilities >= 0.5)).all()
    assert (np.abs(scaled - 0.5) <= np.abs(probabilities - 0.5)).all()
    assert tempered(probabilities, 1.0) is probabilities, "not even rounded"
    assert np.isfinite(tempered([0.0, 1.0], 0.5)).all()


def test_separated_classes_and_a_single_class_have_a_bounded_temperature() -> None:
    assert fit_temperature([0, 0, 1, 1], [0.2, 0.3, 0.7, 0.8]) == pytest.approx(TEMPERATURES[0], rel=1e-3)
    assert fit_temperature([0, 0, 1, 1], [0.8, 0.7, 0.3, 0.2]) == pytest.approx(TEMPERATURES[1], rel=1e-3)
    assert fit_temperature([1, 1], [0.2, 0.3]) == 1.0


def test_each_fold_is_scaled_by_the_others() -> None:
    labels, probabilities = drawn(2.0, num_images=300)
    folds = np.arange(300) % 3
    found = cross_tempered(labels, probabilities, folds)
    for fold in range(3):
        others = folds != fold
        temperature = fit_temperature(labels[others], probabilities[others])
        np.testing.assert_allclose(found[~others], tempered(probabilities[~others], temperature))
    alone = cross_tempered(labels, probabilities, np.zeros(300, dtype=int))
    np.testing.assert_allclose(alone, tempered(probabilities, fit_temperature(labels, probabilities)))


def test_scores_equal_scikit_learn_and_a_loop_over_bins() -> None:
    labels, probabilities = drawn(1.7, num_images=500)
    found = calibration_scores(labels, probabilities, range(500), num_resamples=10)
    assert tuple(found) == CALIBRATION
    assert found["nll"].value == pytest.approx(reference.log_loss(labels, probabilities), rel=1e-6)
    assert found["brier"].value == pytest.approx(reference.brier_score_loss(labels, probabilities))
    error = 0.0
    for number in range(15):
        inside = (probabilities > number / 15) & (probabilities <= (number + 1) / 15)
        if inside.any():
            error += inside.mean() * abs(probabilities[inside].mean() - labels[inside].mean())
    assert found["calibration_error"].value == pytest.approx(error)


def test_bins_count_every_image() -> None:
    labels, probabilities = np.array([0, 1, 1, 0]), np.array([0.0, 1.0, 0.5, 0.5])
    counts, means, shares = leukemic_bins(labels, probabilities).T
    assert counts.sum() == 4
    assert (counts[0], counts[7], counts[14]) == (1, 2, 1)
    assert (means[7], shares[7]) == (0.5, 0.5)
    assert np.isnan(means[1])


def test_intervals_are_over_patients() -> None:
    """Ten images of one patient are worth little more than one."""
    labels, probabilities = drawn(1.0, num_images=60)
    single = calibration_scores(labels, probabilities, range(60))
    tenfold = calibration_scores(np.repeat(labels, 10), np.repeat(probabilities, 10), np.repeat(range(60), 10))
    for name in CALIBRATION:
        assert tenfold[name].value == pytest.approx(single[name].value)
        assert tenfold[name].low == pytest.approx(single[name].low)
        assert single[name].low <= single[name].value <= single[name].high


def test_scaling_helps_where_probabilities_are_too_extreme() -> None:
    labels, probabilities = drawn(2.5, num_images=1000)
    after = cross_tempered(labels, probabilities, np.arange(1000) % 5)
    found = Calibration.of(labels, probabilities, range(1000), temperature=2.5, after=after)
    for name in CALIBRATION:
        assert found.after[name].value < found.before[name].value, name
    assert Calibration.from_dict(found.to_dict()) == found
