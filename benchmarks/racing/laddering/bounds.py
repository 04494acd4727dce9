"""The slowest and the fastest search: one that completes every recipe, and one that knows the winner in advance."""

from __future__ import annotations

import math

from benchmarks.racing.laddering.world import World
from benchmarks.racing.replaying.clock import Work
from benchmarks.racing.replaying.proposals import Proposer


class CompleteSearch:
    """Completes every recipe; a worker trains the folds of a recipe one after the other."""

    def __init__(self, world: World, proposer: Proposer) -> None:
        self._world, self._proposer = world, proposer
        self.choice: int | None = None

    def next(self) -> Work | None:
        recipe = self._proposer.propose()
        return None if recipe is None else Work(recipe, 0, 0, float(self._world.seconds[recipe].sum()))

    def finish(self, work: Work) -> None:
        visible = self._world.visible
        if self.choice is None or visible[work.trial] > visible[self.choice]:
            self.choice = work.trial


class OracleSearch:
    """Stops every recipe after a share of fold 0 except the one with the highest visible score.

    That one trains the rest of fold 0 and all its other folds side by side, before others start.
    """

    def __init__(self, world: World, proposer: Proposer, share: float) -> None:
        """
        Args:
            share: of the epochs of fold 0, in 0..1.
        """
        self._world, self._proposer = world, proposer
        self._epochs = max(1, math.floor(share * world.num_epochs + 0.5))
        self._left: list[Work] = []
        self._num_open = 0
        self.choice: int | None = None

    def next(self) -> Work | None:
        if self._left:
            return self._left.pop()
        recipe = self._proposer.propose()
        return None if recipe is None else Work(recipe, 0, 0, self._world.seconds_of(recipe, 0, 0, self._epochs))

    def finish(self, work: Work) -> None:
        best, last = self._world.best, self._world.num_epochs
        if work.trial != best:
            return
        if self._num_open == 0:
            rest = self._world.seconds_of(best, 0, self._epochs, last)
            others = [self._world.seconds_of(best, fold, 0, last) for fold in range(1, self._world.num_folds)]
            self._left = [Work(best, 0, 1, seconds) for seconds in (rest, *others) if seconds > 0]
            self._num_open = len(self._left)
        else:
            self._num_open -= 1
            if self._num_open == 0:
                self.choice = best
