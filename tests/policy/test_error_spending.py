"""Alpha spending: for any number of looks, the overall error rate is as requested, and each look spends its share."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import norm

from search.policy.error_spending import nominal_levels, shares

NUM_WALKS = 100_000


def first_crossings(levels: tuple[float, ...], seed: int, first_look: int = 1) -> np.ndarray:
    """Share of random walks that cross the bound for the first time at each look, float64 (looks,)."""
    generator, num_looks = np.random.default_rng(seed), len(levels)
    steps = generator.standard_normal((NUM_WALKS, first_look + num_looks - 1))
    scaled = (np.cumsum(steps, axis=1) / np.sqrt(np.arange(1, steps.shape[1] + 1)))[:, first_look - 1 :]
    below = scaled < norm.ppf(levels)
    first = np.where(below.any(axis=1), below.argmax(axis=1), num_looks)
    return np.bincount(first, minlength=num_looks + 1)[:-1] / NUM_WALKS


def slack(share: float) -> float:
    """Four standard errors of a share of all walks."""
    return 4 * float(np.sqrt(share * (1 - share) / NUM_WALKS))


@pytest.mark.parametrize(
    ("num_folds", "first_look"), [(2, 1), (3, 1), (5, 1), (10, 1), (3, 2), (4, 2), (5, 2), (10, 2)]
)
def test_all_looks_together_spend_the_error_and_each_look_its_share(num_folds: int, first_look: int) -> None:
    num_looks = num_folds - first_look
    found = first_crossings(nominal_levels(0.05, num_looks, first_look), seed=num_folds, first_look=first_look)
    assert found.sum() == pytest.approx(0.05, abs=slack(0.05))
    for crossed, share in zip(found, shares(num_looks), strict=True):
        assert crossed == pytest.approx(0.05 * share, abs=slack(0.05 * share))


@pytest.mark.parametrize("error", [0.01, 0.2, 0.5])
def test_other_error_rates_are_spent_exactly(error: float) -> None:
    assert first_crossings(nominal_levels(error, 4), seed=0).sum() == pytest.approx(error, abs=slack(error))


@pytest.mark.parametrize("num_looks", range(1, 12))
def test_shares_add_up_to_one_and_the_first_two_looks_have_most(num_looks: int) -> None:
    found = shares(num_looks)
    assert len(found) == num_looks
    assert sum(found) == pytest.approx(1.0)
    assert found[0] == max(found)
    assert sum(found[:2]) >= 0.9


def test_one_look_tests_at_the_whole_error() -> None:
    assert nominal_levels(0.05, 1) == pytest.approx((0.05,), abs=1e-5)


def test_later_looks_test_at_higher_levels_than_they_spend() -> None:
    levels = nominal_levels(0.05, 4)
    spent = [0.05 * share for share in shares(4)]
    assert levels[0] == pytest.approx(spent[0], abs=1e-5)
    assert all(level > own for level, own in zip(levels[1:], spent[1:], strict=True))
