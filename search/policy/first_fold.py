"""How far a trial has come in fold 0, and what it showed at each rung."""

from __future__ import annotations

import math
from collections.abc import Iterator
from statistics import fmean

from leukemia.config.recipe import Recipe
from leukemia.config.results import Epoch
from leukemia.study.ladder import END
from search.policy.ranking import Standing
from search.policy.rate_schedule import RateSchedule
from search.policy.rungs import Rungs, rungs_of


class FirstFold:
    """Fold 0 of a trial. Epochs may be added in any order; one that is added again keeps its first results."""

    def __init__(self, recipe: Recipe, rungs: Rungs) -> None:
        """
        Args:
            recipe: resolved.
        """
        self._schedule = RateSchedule.of(recipe)
        self._epoch_at = {**rungs_of(recipe.train.epochs, rungs.shares), END: recipe.train.epochs}
        self._share_after = {epoch: share for share, epoch in self._epoch_at.items() if share != END}
        self._epochs: dict[int, Epoch] = {}
        self._last = 0
        self._score: float | None = None

    def add(self, epoch: Epoch) -> None:
        """Add an epoch of fold 0."""
        self._epochs.setdefault(epoch.epoch, epoch)
        self._last = max(self._last, epoch.epoch)

    def finish(self, score: float) -> None:
        """Add the score of the finished fold; NaN if it is undefined."""
        self._score = score

    @property
    def stops(self) -> list[int]:
        """The epochs of the rungs before the fold's end, ascending."""
        return list(self._share_after)

    def at(self) -> float | None:
        """The share of the rung where the trial is now; None between two rungs."""
        return self._share_after.get(self._last) if self._score is None else END

    def reached(self, since: int = 1) -> Iterator[float]:
        """The shares of all rungs that the trial has reached, ascending, of those after epoch ``since`` or later."""
        yield from (share for epoch, share in self._share_after.items() if epoch >= since and epoch in self._epochs)
        if self._score is not None:
            yield END

    def trained_at(self, share: float) -> float:
        """The share of the fold that the trial had trained at a rung that it reached: epochs are whole."""
        return self._epoch_at[share] / self._epoch_at[END]

    def has_passed(self, share: float) -> bool:
        """Whether an epoch of the fold was trained after a rung that the trial has reached."""
        return self._last > self._epoch_at[share]

    def standing(self, share: float) -> Standing:
        """What the trial showed at a rung that it reached: validation accuracy, and at the fold's end the score."""
        last = self._epochs.get(self._epoch_at[share])
        if self._score is not None and share == END:
            value = self._score
        else:
            assert last is not None, "the trial has not reached this rung"
            value = last.validation_accuracy
        trained = [each.seconds for number, each in self._epochs.items() if number <= self._epoch_at[share]]
        return Standing(
            value=value,
            loss=math.nan if last is None else last.validation_loss,
            seconds=fmean(trained) if trained else math.inf,
            schedule=self._schedule,
        )
