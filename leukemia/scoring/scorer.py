"""Scores of several trials on the same resampled groups: over all images, over some folds, and per fold.

Throughout, weights are float64 (resamples, groups): how often each group is drawn, as from ``bootstrap.draws``. The
score of a trial is the mean over its seeds, and NaN where the metric is undefined.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from leukemia.scoring.bootstrap import Floats, Ints, Tally, group_codes


class _Part(NamedTuple):
    """Some of the images."""

    rows: Ints
    """Ascending."""

    members: Ints
    """Codes of the groups that have images here, ascending."""

    codes: Ints
    """For each of the rows, the index of its group in ``members``."""


class Scorer:
    """Scores of trials by one metric, with each image weighted by its group."""

    def __init__(
        self,
        labels: Ints,
        groups: Sequence[Hashable],
        folds: Ints,
        probabilities: Sequence[Floats],
        metric: str,
        scored_folds: Sequence[int],
    ) -> None:
        """
        Args:
            labels, groups, folds: (n,), as in ``leukemia.scoring.selection.Candidates``.
            probabilities: per trial (seeds, n), of class 1.
            metric: one of ``leukemia.scoring.metrics.METRICS``.
            scored_folds: numbers of the folds that ``on_scored`` counts.
        """
        self._metric, self._labels = metric, np.asarray(labels, dtype=np.int64)
        self._trials = [np.asarray(trial, dtype=np.float64) for trial in probabilities]
        self._codes = group_codes(groups, len(self._labels))
        self.num_trials, self.num_groups = len(self._trials), int(self._codes.max()) + 1
        self.unweighted = np.ones((1, self.num_groups))
        numbers = np.unique(folds)
        self.scored = np.flatnonzero(np.isin(numbers, scored_folds))
        """Indices of the scored folds among all, ascending."""
        self._all = self._part(np.full(len(self._labels), True))
        self._scored = self._part(np.isin(folds, scored_folds))
        parts = [self._part(np.asarray(folds) == number) for number in numbers]
        self._folds = [
            (part.members, [list(self._tallies(trial, part)) for trial in range(self.num_trials)]) for part in parts
        ]

    def tally(self, trial: int) -> Tally:
        """The tally of the first seed of a trial over all images."""
        return next(self._tallies(trial, self._all))

    def overall(self, trial: int, weights: Floats) -> Floats:
        """Scores over all images, (resamples,)."""
        return self._over(self._all, trial, weights)

    def on_scored(self, trial: int, weights: Floats) -> Floats:
        """Scores over the images of the scored folds, (resamples,)."""
        return self._over(self._scored, trial, weights)

    def per_fold(self, trials: Sequence[int], weights: Floats) -> Floats:
        """Scores in each fold, (trials, folds, resamples)."""
        found = np.empty((len(trials), len(self._folds), len(weights)))
        for fold, (members, tallies) in enumerate(self._folds):
            inside = weights[:, members]
            for row, trial in enumerate(trials):
                found[row, fold] = self._mean_of_seeds(tallies[trial], inside)
        return found

    def _over(self, part: _Part, trial: int, weights: Floats) -> Floats:
        return self._mean_of_seeds(self._tallies(trial, part), weights[:, part.members])

    def _mean_of_seeds(self, tallies: Iterable[Tally], weights: Floats) -> Floats:
        scores = [tally.weighted(weights, (self._metric,))[self._metric] for tally in tallies]
        # Not np.mean, which takes longer than the scores themselves.
        return sum(scores[1:], scores[0]) / len(scores)

    def _tallies(self, trial: int, part: _Part) -> Iterator[Tally]:
        """The tally of each seed of a trial over some of the images."""
        return (Tally(self._labels[part.rows], each[part.rows], part.codes) for each in self._trials[trial])

    def _part(self, chosen: NDArray[np.bool_]) -> _Part:
        rows = np.flatnonzero(chosen)
        return _Part(rows, *np.unique(self._codes[rows], return_inverse=True))
