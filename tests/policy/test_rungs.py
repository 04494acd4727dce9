"""The rungs of fold 0: after which epochs, how many go on, and which options are refused."""

from __future__ import annotations

import pytest

from leukemia.base.errors import UserError
from search.policy.rungs import Rungs, rungs_of


@pytest.mark.parametrize(
    ("epochs", "expected"),
    [
        (40, [2, 6, 18]),
        (30, [2, 5, 14]),
        (24, [2, 4, 11]),
        (8, [2, 4]),
        (4, [2]),
        (3, []),  # epoch 2 is past 60 %
        (1, []),
        (200, [10, 30, 90]),
    ],
)
def test_a_trial_waits_after_these_epochs(epochs: int, expected: list[int]) -> None:
    assert list(rungs_of(epochs).values()) == expected


@pytest.mark.parametrize(
    ("epochs", "shares"), [(40, [0.05, 0.15, 0.45]), (24, [0.05, 0.15, 0.45]), (8, [0.15, 0.45]), (4, [0.45])]
)
def test_where_rungs_fall_together_the_last_share_names_them(epochs: int, shares: list[float]) -> None:
    assert list(rungs_of(epochs)) == shares


def test_no_rung_is_past_60_percent_whatever_the_shares() -> None:
    for epochs in range(1, 200):
        found = rungs_of(epochs, (0.01, 0.3, 0.59, 0.6))
        assert all(2 <= epoch <= 0.6 * epochs + 1e-9 for epoch in found.values())
        assert sorted(set(found.values())) == list(found.values())


def test_halves_are_rounded_up_as_written() -> None:
    # In binary, 0.35 * 10 is 3.5 and 0.145 * 100 is 14.499999999999998.
    assert rungs_of(10, (0.35,)) == {0.35: 4}
    assert rungs_of(100, (0.145,)) == {0.145: 15}


def test_a_third_of_those_at_a_rung_goes_on() -> None:
    rungs = Rungs(keep=0.33)
    assert all(rungs.num_kept(reached) == reached // 3 for reached in range(1000))


@pytest.mark.parametrize(
    ("keep", "reached", "expected"),
    [(0.67, 3, 2), (0.5, 5, 2), (0.25, 8, 2), (0.35, 20, 7), (0.1, 10, 1), (0.34, 3, 1), (0.17, 6, 1), (0.95, 20, 19)],
)
def test_other_shares_are_what_they_look_like(keep: float, reached: int, expected: int) -> None:
    assert Rungs(keep=keep).num_kept(reached) == expected


@pytest.mark.parametrize(
    "shares", [(0.45, 0.15), (0.15, 0.15), (0.0, 0.15), (-0.1,), (0.05, 0.61), (float("nan"),), (0.1, float("nan"))]
)
def test_shares_must_ascend_within_the_first_60_percent(shares: tuple[float, ...]) -> None:
    with pytest.raises(
        UserError, match=r"--rungs: expected shares of the first fold, ascending, above 0 and at most 0\.6, got"
    ):
        Rungs(shares=shares)


@pytest.mark.parametrize("keep", [0.0, 0.04, 1.0, -0.33, float("nan")])
def test_some_go_on_and_some_wait(keep: float) -> None:
    with pytest.raises(UserError, match=r"--keep: expected a share from 0\.05 to 0\.95, got"):
        Rungs(keep=keep)


def test_without_shares_trials_wait_at_the_end_of_the_fold_only() -> None:
    assert rungs_of(40, Rungs(shares=()).shares) == {}
