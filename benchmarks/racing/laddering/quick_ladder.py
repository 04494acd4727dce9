"""The ladder with cached intermediate results, for thousands of replays. A test holds it to the ladder."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Collection

import numpy as np

from leukemia.config.results import Epoch
from leukemia.study.ladder import END
from search.policy.ladder import Ladder
from search.policy.ranking import PRIOR_TRIALS, Standing
from search.policy.rate_schedule import RateSchedule
from search.policy.rules import Rules
from search.policy.rungs import Rungs


class QuickLadder(Ladder):
    """``Ladder`` for one objective, which ranks only what an addition changes and lists no trial that does not wait."""

    def __init__(self, rules: Rules, rungs: Rungs) -> None:
        super().__init__(rules, rungs)
        assert not rules.by_cost
        self._reached: dict[float, _Reached] = defaultdict(_Reached)
        self._queues: dict[float, tuple[dict[int, int], list[int]]] = {}
        """By rung, the trials that wait there, best first, and the ranks from which they were listed."""

    def add_epoch(self, number: int, epoch: Epoch) -> None:
        self._forget(number)
        super().add_epoch(number, epoch)
        self._note(number)

    def add_score(self, number: int, score: float) -> None:
        self._forget(number)
        super().add_score(number, score)
        self._note(number)

    def end(self, number: int) -> None:
        self._forget(number)
        super().end(number)

    def _forget(self, number: int) -> None:
        """A trial is about to leave the place where it waits."""
        share = self._waits_at(number)
        if share is not None:
            self._queues.pop(share, None)

    def _note(self, number: int) -> None:
        """Register a trial at the rungs that it has reached."""
        fold = self._folds[number]
        for share in fold.reached() if number >= self._rules.num_priors else ():
            if number not in self._reached[share].numbers:
                self._reached[share].add(number, fold.standing(share))

    def promotable(self, busy: Collection[int]) -> int | None:
        for share in (END, *reversed(self._rungs.shares)):
            number = self._first_of(share, busy)
            if number is not None:
                ranks = self._ranks_at(share)
                if ranks[number] <= self._rungs.num_kept(len(ranks)):
                    return number
        return None

    def waiting(self, busy: Collection[int]) -> list[int]:
        """Only the first, which is all that a schedule takes."""
        first = []
        for share in (END, *self._rungs.shares):
            number = self._first_of(share, busy)
            if number is not None:
                ranks = self._ranks_at(share)
                first.append(((ranks[number] - 0.5) / len(ranks), -share, number))
        return [min(first)[2]] if first else []

    def _first_of(self, share: float, busy: Collection[int]) -> int | None:
        """The best trial that waits at a rung and is not busy."""
        if not self._rules.pausing:
            return None
        ranks = self._ranks_at(share)
        known = self._queues.get(share)
        if known is None or known[0] is not ranks:
            known = ranks, [number for number in ranks if self._waits_at(number) == share]
            self._queues[share] = known
        return next((number for number in known[1] if number not in busy), None)

    def _ranks_at(self, share: float) -> dict[int, int]:
        if share not in self._ranks:
            order = self._reached[share].ranked(by_schedule=share != END)
            self._ranks[share] = {number: rank for rank, number in enumerate(order, start=1)}
        return self._ranks[share]


class _Reached:
    """The trials at a rung, and sums over each of their schedules; ``search.policy.ranking`` says what is computed."""

    def __init__(self) -> None:
        self.numbers: dict[int, None] = {}
        """In the order in which they came."""

        self._values: list[float] = []
        self._losses: list[float] = []
        self._schedules: list[int] = []
        self._codes: dict[RateSchedule, int] = {}
        self._finite: list[list[float]] = []
        """Values of each schedule."""

    def add(self, number: int, standing: Standing) -> None:
        """Add a trial that is not there yet."""
        code = self._codes.setdefault(standing.schedule, len(self._codes))
        if code == len(self._finite):
            self._finite.append([])
        if math.isfinite(standing.value):
            self._finite[code].append(standing.value)
        self.numbers[number] = None
        self._schedules.append(code)
        self._values.append(standing.value)
        self._losses.append(math.inf if math.isnan(standing.loss) else standing.loss)

    def ranked(self, *, by_schedule: bool) -> list[int]:
        """The numbers of the trials, best first."""
        numbers, values = list(self.numbers), np.array(self._values)
        if by_schedule and any(self._finite):
            # As in the ladder, sums are rounded once, so that both find the same ties.
            prior = PRIOR_TRIALS * math.fsum(value for each in self._finite for value in each)
            prior /= sum(map(len, self._finite))
            means = [(math.fsum(each) + prior) / (len(each) + PRIOR_TRIALS) for each in self._finite]
            values = values - np.array(means)[self._schedules]
        values[np.isnan(values)] = -math.inf
        return [numbers[index] for index in np.lexsort((np.array(numbers), np.array(self._losses), -values))]
