"""Which recipes have the same learning-rate schedule."""

from __future__ import annotations

from typing import Any

import pytest
from helpers.ladders import recipe_of

from leukemia.config.optimizers import OPTIMIZERS
from search.policy.built_in import restart_choices
from search.policy.rate_schedule import RateSchedule


def adamw(restart_epochs: int, factor: int = 1, epochs: int = 30, **settings: Any) -> RateSchedule:
    return RateSchedule.of(
        recipe_of(
            epochs,
            optimizer__name="adamw",
            optimizer__restart_epochs=restart_epochs,
            optimizer__restart_factor=factor,
            **settings,
        )
    )


@pytest.mark.parametrize(
    ("restart_epochs", "factor", "ends"),
    [
        (30, 1, (1.0,)),
        (10, 1, (10 / 30, 20 / 30, 1.0)),
        (10, 2, (10 / 30, 1.0)),
        (2, 2, (2 / 30, 6 / 30, 14 / 30, 1.0)),
        (14, 1, (14 / 30, 28 / 30, 42 / 30)),  # the last cycle is cut off
        (60, 1, (2.0,)),
    ],
)
def test_cycles_end_at_these_shares(restart_epochs: int, factor: int, ends: tuple[float, ...]) -> None:
    assert adamw(restart_epochs, factor).cycle_ends == ends


def test_the_factor_counts_only_with_restarts() -> None:
    assert adamw(30, 1) == adamw(30, 2)
    assert adamw(10, 1) != adamw(10, 2)


def test_the_length_of_training_does_not_count() -> None:
    assert adamw(10, 2, epochs=30) == adamw(5, 2, epochs=15)
    assert adamw(10, epochs=30) != adamw(10, epochs=40)


def test_a_warm_up_counts_by_its_share_of_the_training() -> None:
    assert adamw(10, optimizer__warmup_epochs=3).warmup == 0.1
    assert adamw(10, optimizer__warmup_epochs=3) != adamw(10)
    assert adamw(10, 2, 30, optimizer__warmup_epochs=6) == adamw(5, 2, 15, optimizer__warmup_epochs=3)
    assert adamw(10, optimizer__warmup_epochs=3).cycle_ends == adamw(10).cycle_ends


def test_other_settings_do_not_count() -> None:
    assert adamw(10, optimizer__learning_rate=1e-4, model__depth=50) == adamw(10)


@pytest.mark.parametrize("name", sorted(OPTIMIZERS))
def test_each_optimizer_has_its_own_schedule(name: str) -> None:
    mine = RateSchedule.of(recipe_of(30, optimizer__name=name).resolved([(32, 32)]))
    assert (mine.optimizer, mine.cycle_ends) == (name, (1.0,))


def test_every_schedule_of_the_space_ends_with_training() -> None:
    for epochs in (8, 24, 30, 45):
        for first in restart_choices(epochs):
            for factor in (1, 2):
                assert adamw(first, factor, epochs).cycle_ends[-1] == 1.0
