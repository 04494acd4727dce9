"""The ladder for replays decides as the search's own, also among ties, undefined values and schedules of one trial."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from helpers.ladders import RULES, RUNGS, epoch_of, recipe_of

from benchmarks.racing.laddering.quick_ladder import QuickLadder
from search.policy.ladder import Ladder
from search.policy.rules import Rules

RECIPES = [
    recipe_of(40),
    recipe_of(40, optimizer__name="adamw", optimizer__restart_epochs=40),
    recipe_of(40, optimizer__name="adamw", optimizer__restart_epochs=10),
    recipe_of(4),
]


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize(
    "rules", [RULES, replace(RULES, num_priors=3, start=3), replace(RULES, pausing=False)], ids=["", "priors", "off"]
)
def test_it_decides_as_the_ladder(rules: Rules, seed: int) -> None:
    generator = np.random.default_rng(seed)
    ladders = [Ladder(rules, RUNGS), QuickLadder(rules, RUNGS)]
    came: dict[int, int] = {}
    ended: set[int] = set()
    for number in range(25):
        for ladder in ladders:
            ladder.begin(number, RECIPES[number % len(RECIPES)])
            if number < rules.num_priors:
                ladder.end(number)
        came[number] = 0
        ended.update(range(rules.num_priors))
        for _ in range(int(generator.integers(1, 6))):
            going = [each for each in came if each not in ended]
            if not going:
                break
            one = int(generator.choice(going))
            came[one], is_over = _step(ladders, one, came[one], generator)
            if is_over:
                ended.add(one)
            busy = set(generator.choice(number + 1, size=min(number, 4), replace=False).tolist())
            _compare(*ladders, busy, list(came))


def _step(ladders: list[Ladder], number: int, came: int, generator: np.random.Generator) -> tuple[int, bool]:
    """Let a trial go on a little: to an epoch, to its score, or to fold 1; returns how far it came, and if it is over.

    A trial that has a score came one further than its last epoch.
    """
    last = RECIPES[number % len(RECIPES)].train.epochs
    if generator.random() < 0.1:
        for ladder in ladders:
            ladder.end(number)
        return came, True
    if came > last:
        for ladder in ladders:
            ladder.add_epoch(number, epoch_of(1, 0.5, fold=1))
        return came, True
    if came == last:
        score = round(float(generator.random()), 1)
        for ladder in ladders:
            ladder.add_score(number, score)
        return last + 1, False
    stop = int(generator.integers(came + 1, last + 1))
    for epoch in range(came + 1, stop + 1):
        value = math.nan if generator.random() < 0.05 else round(float(generator.random()), 1)
        loss = math.nan if generator.random() < 0.2 else round(float(generator.random()), 1)
        for ladder in ladders:
            ladder.add_epoch(number, epoch_of(epoch, value, loss))
    return stop, False


def _compare(ladder: Ladder, quick: Ladder, busy: set[int], numbers: list[int]) -> None:
    assert quick.promotable(busy) == ladder.promotable(busy)
    assert quick.waiting(busy) == ladder.waiting(busy)[:1]
    for number in numbers:
        assert quick.place(number) == ladder.place(number)
        assert quick.stops(number) == ladder.stops(number)
