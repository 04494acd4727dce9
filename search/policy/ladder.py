"""The ladder: trials wait at rungs inside fold 0 and at its end, and the best third of those at a rung goes on.

A trial that waits is never stopped for it: it goes on when it is among the best, or when there is nothing else to do,
so a recipe that starts slowly can still win. This is successive halving (Jamieson & Talwalkar, AISTATS 2016) that
changes the order of the work instead of dropping trials.
"""

from __future__ import annotations

import itertools
from collections.abc import Collection
from statistics import fmean

from leukemia.config.recipe import Recipe
from leukemia.config.results import Epoch
from leukemia.study.ladder import END, LadderRecord, Place, RungRecord
from search.policy.first_fold import FirstFold
from search.policy.ranking import Standing, ranked, reduced
from search.policy.rules import Rules
from search.policy.rungs import Rungs


class Ladder:
    """Ranks the trials at each rung and says which of them goes on.

    Without pausing no trial waits. Its state follows from what a study folder contains, in whatever order it is added:
    recipes, epochs and scores of fold 0, which trials have gone on to other folds, and which have ended. Only jobs with
    a trial's own seed are added.
    """

    def __init__(self, rules: Rules, rungs: Rungs) -> None:
        self._rules, self._rungs = rules, rungs
        self._folds: dict[int, FirstFold] = {}
        self._onward: set[int] = set()
        """Trials that have gone on to other folds."""

        self._ended: set[int] = set()
        self._ranks: dict[float, dict[int, int]] = {}
        """By rung, until an addition changes them: an epoch between two rungs changes none."""

    def begin(self, number: int, recipe: Recipe) -> None:
        """Register a trial; a no-op for one that is registered.

        Args:
            recipe: resolved.
        """
        self._folds.setdefault(number, FirstFold(recipe, self._rungs))

    def add_epoch(self, number: int, epoch: Epoch) -> None:
        """Add an epoch of a registered trial. One of another fold than 0 shows that the trial has gone on."""
        if epoch.fold > 0:
            self._onward.add(number)
            return
        fold = self._folds[number]
        fold.add(epoch)
        for share in fold.reached(since=epoch.epoch):
            self._ranks.pop(share, None)

    def add_score(self, number: int, score: float) -> None:
        """Add the score of fold 0 of a registered trial; NaN if it is undefined."""
        self._folds[number].finish(score)
        self._ranks.pop(END, None)

    def end(self, number: int) -> None:
        """Record that a trial has ended, in whatever way: it waits no more, but still counts at its rungs."""
        self._ended.add(number)

    def stops(self, number: int) -> list[int]:
        """The epochs of fold 0 after which a registered trial waits, ascending, without the fold's end."""
        return self._folds[number].stops if self._may_wait(number) else []

    def place(self, number: int) -> Place | None:
        """Where a registered trial waits; None between two rungs, and once it has gone on to other folds or ended.

        A trial that goes on is still said to wait until its next epoch is added. The starting recipe never waits.
        """
        share = self._waits_at(number)
        if share is None:
            return None
        ranks = self._ranks_at(share)
        return Place(share=share, rank=ranks[number], reached=len(ranks))

    def promotable(self, busy: Collection[int]) -> int | None:
        """The trial to go on next because it is among the best at its rung, highest rung first; None if none is.

        Args:
            busy: numbers of the trials with jobs that run, or that are due to run.
        """
        for share in (END, *reversed(self._rungs.shares)):
            ranks = self._ranks_at(share)
            for number in itertools.islice(ranks, self._rungs.num_kept(len(ranks))):
                if number not in busy and self._waits_at(number) == share:
                    return number
        return None

    def waiting(self, busy: Collection[int]) -> list[int]:
        """All trials that wait, in the order in which they go on when there is nothing else to do.

        Lowest (better + 1/2) / n first, with the number of better trials at the rung and of all there; then the higher
        rung.

        Args:
            busy: as for ``promotable``.
        """
        places = {number: self.place(number) for number in self._folds if number not in busy}
        order = {
            number: ((place.rank - 0.5) / place.reached, -place.share, number)
            for number, place in places.items()
            if place is not None
        }
        return sorted(order, key=order.__getitem__)

    def record(self, waiting: Collection[int]) -> LadderRecord:
        """The content of ``ladder.json``.

        Args:
            waiting: numbers of the trials that wait, without those that are due to go on.
        """
        if not self._rules.pausing:
            return LadderRecord()
        places = {number: place for number in sorted(waiting) if (place := self.place(number)) is not None}
        rungs = [
            RungRecord(
                share=share,
                trained=fmean(self._folds[number].trained_at(share) for number in ranks),
                reached=len(ranks),
                went_on=sum(self._went_on(number, share, is_waiting=number in places) for number in ranks),
            )
            for share in (*self._rungs.shares, END)
            if (ranks := self._ranks_at(share))
        ]
        return LadderRecord(rungs=rungs, waiting={f"{number:04d}": place for number, place in places.items()})

    def _went_on(self, number: int, share: float, *, is_waiting: bool) -> bool:
        is_past = number in self._onward or self._folds[number].has_passed(share)
        return is_past or not (is_waiting or number in self._ended)

    def _may_wait(self, number: int) -> bool:
        never = not self._rules.pausing or number == self._rules.start
        return not (never or number in self._onward or number in self._ended)

    def shown(self) -> dict[int, dict[int, float]]:
        """What each trial showed at the rungs that it reached, by its number and the rung's, counted from 1.

        Values compare within a rung only: before the end of fold 0 they are less the mean of the trial's schedule, as
        they are ranked, and at the end they are scores. Of a trial reused from an earlier study only the latter. Empty
        without pausing.
        """
        found: dict[int, dict[int, float]] = {}
        for rung, share in enumerate((*self._rungs.shares, END) if self._rules.pausing else (), start=1):
            standings = self._standings(share, since=0 if share == END else self._rules.num_priors)
            values = {number: each.value for number, each in standings.items()}
            for number, value in (values if share == END else reduced(standings)).items():
                found.setdefault(number, {})[rung] = value
        return found

    def _waits_at(self, number: int) -> float | None:
        if not self._may_wait(number):
            return None
        share = self._folds[number].at()
        return None if share == END and self._rules.num_folds == 1 else share

    def _ranks_at(self, share: float) -> dict[int, int]:
        """Rank from 1 of each trial that has reached a rung, best first, without those reused from earlier studies."""
        if share not in self._ranks:
            standings = self._standings(share, since=self._rules.num_priors)
            order = ranked(standings, by_schedule=share != END, by_cost=self._rules.by_cost)
            self._ranks[share] = {number: rank for rank, number in enumerate(order, start=1)}
        return self._ranks[share]

    def _standings(self, share: float, since: int) -> dict[int, Standing]:
        """What the trials with a number of at least ``since`` showed at a rung, if they have reached it."""
        return {
            number: fold.standing(share)
            for number, fold in self._folds.items()
            if number >= since and share in fold.reached()
        }
