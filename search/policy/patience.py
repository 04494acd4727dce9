"""Patience of a search that pauses trials: how much it has trained since its best score last rose beyond noise."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence
from fractions import Fraction
from statistics import fmean

from leukemia.config.recipe import Recipe
from leukemia.config.results import Epoch
from search.policy.rules import Rules

STARTED_PER_COMPLETE = 3
"""``Rules.patience`` counts started trials, of which a search that pauses completes about a third."""


def last_improvement(scores: Sequence[float], step: float) -> int:
    """Index of the last score that is higher by more than ``step`` than the improvement before it; -1 if there is none.

    >>> last_improvement([0.8, 0.9, 0.905, 0.7], step=0.01)
    1
    """
    mark, found = -math.inf, -1
    for index, score in enumerate(scores):
        if score > mark + step:
            mark, found = score, index
    return found


class Patience:
    """Counts training in complete trials' worth: an epoch counts 1 / (folds x epochs of its trial).

    The device time of an epoch does not matter, since one deep network would then use up the patience. Epochs trained
    again do not count, nor do repeats (not to be added here) and trials reused from earlier studies.
    """

    def __init__(self, rules: Rules) -> None:
        self._rules = rules
        self._lengths: dict[int, int] = {}
        self._epochs: defaultdict[int, set[tuple[int, int]]] = defaultdict(set)
        self._ends: dict[int, float] = {}

    def begin(self, number: int, recipe: Recipe) -> None:
        """Register a trial; a no-op for one that is registered."""
        self._lengths.setdefault(number, recipe.train.epochs)

    def add_epoch(self, number: int, epoch: Epoch) -> None:
        """Add an epoch of a registered trial, of any fold."""
        if number >= self._rules.num_priors:
            self._epochs[number].add((epoch.fold, epoch.epoch))

    @property
    def trained(self) -> float:
        """Complete trials' worth of all epochs so far, whatever the order in which they were added."""
        return self._worth(self._lengths.keys())

    def end(self, number: int, trained: float | None) -> None:
        """Record how a trial ended.

        Args:
            trained: the count at that moment, which is to be noted for a resume; 0 for trials of earlier studies. None
                if it was not noted: then the epochs of all trials that have ended so far.
        """
        self._ends[number] = 0.0
        self._ends[number] = self._worth(self._ends.keys()) if trained is None else trained

    @property
    def limit(self) -> float:
        """Complete trials' worth without an improvement after which the search ends."""
        return self._rules.patience / STARTED_PER_COMPLETE

    def left(self, num_trials: int) -> float:
        """Complete trials' worth that is left until so many trials have ended, estimated.

        The others are taken to train as much as those that have ended did on average: all folds until one has.
        """
        own = [number for number in self._lengths if number >= self._rules.num_priors]
        begun = [self._share(number) for number in own if number not in self._ends]
        return max(0.0, (num_trials - len(own) + len(begun)) * self.per_trial - sum(begun))

    @property
    def per_trial(self) -> float:
        """Complete trials' worth that a trial of this study trained on average until it ended; 1 before one has."""
        shares = [self._share(number) for number in self._ends if number >= self._rules.num_priors]
        return fmean(shares) if shares else 1.0

    def _share(self, number: int) -> float:
        return len(self._epochs.get(number, ())) / (self._rules.num_folds * self._lengths[number])

    def since_improvement(self, scores: Mapping[int, float], step: float) -> float:
        """Complete trials' worth since the best score last rose beyond noise, in the order in which trials ended.

        Args:
            scores: of the complete trials, all of which have ended.
            step: the noise of a score: a smaller rise is no improvement.
        """
        order = sorted(scores, key=lambda number: (self._ends[number], number))
        last = last_improvement([scores[number] for number in order], step)
        return self.trained - (0.0 if last < 0 else self._ends[order[last]])

    def _worth(self, numbers: Collection[int]) -> float:
        """Complete trials' worth of the epochs of some trials, whatever the order in which they were added."""
        counts: Counter[int] = Counter()
        for number, epochs in self._epochs.items():
            if number in numbers:
                counts[self._lengths[number]] += len(epochs)
        return float(sum(Fraction(count, self._rules.num_folds * length) for length, count in counts.items()))
