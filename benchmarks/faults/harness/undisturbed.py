"""A search that was never killed: what others are compared with, and when they can be killed."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

from benchmarks.faults.harness.case import Case
from benchmarks.faults.harness.moments import Moment, moments_of
from benchmarks.faults.harness.search import Search
from leukemia.study.folder import Study


@dataclass(frozen=True, kw_only=True)
class Aim:
    """When a process is killed: some seconds after something has happened in its search."""

    happened: Callable[[Search], bool]
    seconds: float


class Undisturbed:
    """A search that was never killed, and when others like it can be."""

    def __init__(self, search: Search, case: Case) -> None:
        """
        Args:
            search: has ended.
        """
        self._case, self.study = case, Study.open(search.folder)
        self.moments = moments_of(search.events(), case)
        """After each event that it has logged."""

        epochs = [self.study.epochs(number)["seconds"] for number in self.study.trials()]
        self._num_epochs = sum(map(len, epochs))
        self._epoch_seconds = sum(float(each.sum()) for each in epochs) / self._num_epochs

    def any_moment(self, draw: random.Random) -> Aim:
        """An aim at a random epoch or shortly after it, when folds are scored and committed."""
        epoch, delay = draw.randrange(self._num_epochs), draw.random()
        return Aim(
            happened=lambda search: sum(search.epochs().values()) >= epoch,
            seconds=delay * 1.2 * self._epoch_seconds,
        )

    def at(self, moment: Moment, draw: random.Random) -> Aim:
        """An aim at a random one of the times when this moment occurs: as it begins, or within an epoch's time."""
        first = draw.choice([index for index, each in enumerate(self.moments) if each == moment])

        def happened(search: Search) -> bool:
            # It may be over already, if the machine is busy.
            return moment in moments_of(search.events(), self._case)[first:]

        return Aim(happened=happened, seconds=draw.choice([0.0, draw.random()]) * self._epoch_seconds)
