"""The score of the best of N trials is too high, for its luck was chosen with it: corrections that train nothing.

All they need are the out-of-fold probabilities of the complete trials, on the same images. A trial that was repeated
with other seeds has the mean of its seeds' scores.

Both corrections take the trials as given. That later trials were proposed because of earlier scores is not undone.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from leukemia.scoring.bootstrap import Floats, Interval, Ints, Tally, divide, draws, group_codes, interval_of
from leukemia.scoring.metrics import checked

CORRECTED = ("accuracy", "balanced_accuracy", "weighted_f1", "auroc")
"""Scores that a search maximizes and that can be corrected."""

STOPPED_ABSENT = "trials that were stopped before their last fold are not in these corrections"
"""What a reader of a corrected score has to know."""

UNDEFINED = Interval(math.nan, math.nan, math.nan)


@dataclass(frozen=True, kw_only=True)
class Candidates:
    """The complete trials of a study, in the order of their numbers, all on the same images.

    Raises:
        ValueError: no trial, shapes that do not fit, or what ``leukemia.scoring.metrics.scores`` refuses.
    """

    labels: Ints
    """int64 (n,), 0 or 1."""

    groups: Sequence[Hashable]
    """(n,), what is drawn together: patients, or single images."""

    folds: Ints
    """int64 (n,), the fold that predicted each image."""

    probabilities: Sequence[Floats]
    """Per trial float64 (seeds, n), out-of-fold, of class 1, in 0..1; trials may differ in their number of seeds."""

    def __post_init__(self) -> None:
        num_images = np.size(self.labels)
        if not len(self.probabilities):
            raise ValueError("probabilities: expected an array (seeds, n) of each trial, got no trial")
        for number, trial in enumerate(self.probabilities):
            shape = np.shape(trial)
            if len(shape) != 2 or not shape[0]:
                raise ValueError(f"trial {number}: expected probabilities (seeds, {num_images}), got shape {shape}")
            for row, probabilities in enumerate(trial):
                try:
                    checked(self.labels, probabilities)
                except ValueError as error:
                    raise ValueError(f"trial {number}, seed {row}: {error}") from None
        group_codes(self.groups, num_images)
        folds = np.asarray(self.folds)
        if folds.shape != (num_images,) or folds.dtype.kind not in "iu":
            raise ValueError(
                f"folds: expected {num_images} whole numbers as the labels, got {folds.dtype} of shape {folds.shape}"
            )


@dataclass(frozen=True, kw_only=True)
class Correction:
    """The winner's score as it is, and what two corrections leave of it. NaN stands for what is not defined."""

    winner: int
    """Index of the trial."""

    raw: Interval
    """The winner's own score over all images: the mean of its seeds."""

    bootstrap: Interval
    """What a winner chosen on drawn groups scores on the groups that were not drawn."""

    leave_fold_out: Interval
    """The raw score, less what trials chosen without a fold lose to the winner in that fold."""

    @property
    def headline(self) -> Interval:
        """The correction with the lower value, but never above ``raw``; undefined where both corrections are."""
        defined = [each for each in (self.bootstrap, self.leave_fold_out) if not math.isnan(each.value)]
        return min([*defined, self.raw], key=lambda each: each.value) if defined else UNDEFINED


def corrected(
    candidates: Candidates,
    metric: str,
    *,
    winner: int | None = None,
    seed: int = 0,
    num_resamples: int = 1000,
    level: float = 0.95,
) -> Correction:
    """Correct the score of the best of all candidates for having been chosen.

    The winner is the trial of the highest mean over folds (and seeds) of the fold's score, of equals the earliest, as
    in the search; the corrections choose by the same rule.

    ``bootstrap`` is BBC-CV (Tsamardinos, Greasidou & Borboudakis 2018, Machine Learning 107:1895-1922), with whole
    groups in place of images: each resample chooses a trial by the groups that were drawn and scores it on those that
    were not, and the value is the mean over resamples. As in the paper the ends are percentiles of these scores. About
    37 % of the groups are not drawn, so the interval is wider than that of all groups. What is common to all images of
    a fold, such as one lucky training run, is on both sides and stays in the score.

    ``leave_fold_out`` removes that: in each fold the trial that is best on the other folds stands in for the winner,
    and what it scores less there, averaged over folds, is taken off the raw score. For accuracy in folds of one size
    this is the accuracy of the assembled predictions. The difference is taken within folds because pooling trials whose
    probabilities are scaled differently would lower AUROC for no other reason. The ends are percentiles over resampled
    groups, with the same stand-ins throughout.

    A resample or a fold where the metric lacks a class is left out. Trials with equal predictions count as one; where
    one trial is left, nothing was chosen, and all values are the raw one.

    Args:
        candidates: the complete trials.
        metric: one of ``CORRECTED``.
        winner: index of the trial whose score is corrected, where another rule chose it.
        seed: of the resamples.
        num_resamples: of the groups.
        level: of the intervals, in 0..1.

    Raises:
        ValueError: an unknown metric, or a winner that is not there.

    >>> labels, folds = np.array([0, 1, 0, 1]), np.array([0, 0, 1, 1])
    >>> right_in_fold = [np.where(folds == fold, labels, 1 - labels)[None].astype(float) for fold in (0, 1)]
    >>> both = Candidates(labels=labels, groups=range(4), folds=folds, probabilities=right_in_fold)
    >>> found = corrected(both, "accuracy")
    >>> found.raw.value, found.leave_fold_out.value
    (0.5, 0.0)
    """
    if metric not in CORRECTED:
        raise ValueError(f"metric: expected one of {', '.join(CORRECTED)}, got {metric!r}")
    if winner is not None and not 0 <= winner < len(candidates.probabilities):
        raise ValueError(f"winner: expected 0..{len(candidates.probabilities) - 1}, got {winner}")
    kept = _first_equals(candidates.probabilities)
    trials = sorted(set(kept))
    scorer = _Scorer(candidates, trials, metric)
    of_folds = scorer.of_folds(range(len(trials)), scorer.once)[..., 0]
    best = int(np.argmax(_mean_of_defined(of_folds, axis=1))) if winner is None else trials.index(kept[winner])
    stand_ins = _stand_ins(of_folds)
    samples = [
        (scorer.of_all(best, weights), _lost(scorer, best, stand_ins, weights), _out_of_bag(scorer, weights))
        for weights in draws(scorer.tally(best, 0), seed, num_resamples)
    ]
    drawn, lost, out_of_bag = (np.concatenate(each) for each in zip(*samples, strict=True))

    def interval(value: float, samples: Floats) -> Interval:
        return interval_of(value, samples, scorer.num_groups, level)

    raw = interval(float(scorer.of_all(best, scorer.once)[0]), drawn)
    bootstrap = leave_fold_out = raw
    if len(trials) > 1:
        bootstrap = interval(float(_mean_of_defined(out_of_bag, axis=0)), out_of_bag)
        # Losses are means over folds, the raw score is of all images: in tiny folds the difference may fall below 0.
        value = np.clip(raw.value - _lost(scorer, best, stand_ins, scorer.once), 0.0, 1.0)
        leave_fold_out = interval(float(value[0]), np.clip(drawn - lost, 0.0, 1.0))
    return Correction(
        winner=trials[best] if winner is None else winner, raw=raw, bootstrap=bootstrap, leave_fold_out=leave_fold_out
    )


def _first_equals(trials: Sequence[Floats]) -> list[int]:
    """Per trial the first one of the same predictions."""
    first: dict[tuple[tuple[int, ...], bytes], int] = {}
    arrays = (np.asarray(trial, dtype=np.float64) for trial in trials)
    return [first.setdefault((array.shape, array.tobytes()), number) for number, array in enumerate(arrays)]


class _Scorer:
    """Scores of trials, over all images and in each fold, with each image as often as its group in the weights."""

    def __init__(self, candidates: Candidates, trials: Sequence[int], metric: str) -> None:
        self._metric, self._labels = metric, np.asarray(candidates.labels, dtype=np.int64)
        self._trials = [np.asarray(candidates.probabilities[trial], dtype=np.float64) for trial in trials]
        self._codes = group_codes(candidates.groups, len(self._labels))
        self.num_trials, self.num_groups = len(trials), int(self._codes.max()) + 1
        self.once = np.ones((1, self.num_groups))
        self._members: list[Ints] = []
        self._folds: list[list[list[Tally]]] = []
        for fold in np.unique(candidates.folds):
            rows = np.flatnonzero(np.asarray(candidates.folds) == fold)
            members, codes = np.unique(self._codes[rows], return_inverse=True)
            self._members.append(members)
            self._folds.append(
                [[Tally(self._labels[rows], each[rows], codes) for each in trial] for trial in self._trials]
            )

    def tally(self, trial: int, seed: int) -> Tally:
        """What each group adds to the score of one seed over all images."""
        return Tally(self._labels, self._trials[trial][seed], self._codes)

    def of_all(self, trial: int, weights: Floats) -> Floats:
        """Over all images, the mean of the trial's seeds: (resamples,)."""
        return self._mean_of_seeds((self.tally(trial, seed) for seed in range(len(self._trials[trial]))), weights)

    def of_folds(self, trials: Sequence[int], weights: Floats) -> Floats:
        """In each fold, means of the trial's seeds: (trials, folds, resamples)."""
        found = np.empty((len(trials), len(self._folds), len(weights)))
        for fold, (members, tallies) in enumerate(zip(self._members, self._folds, strict=True)):
            inside = weights[:, members]
            for row, trial in enumerate(trials):
                found[row, fold] = self._mean_of_seeds(tallies[trial], inside)
        return found

    def _mean_of_seeds(self, tallies: Iterable[Tally], weights: Floats) -> Floats:
        return np.mean([tally.weighted(weights, (self._metric,))[self._metric] for tally in tallies], axis=0)


def _out_of_bag(scorer: _Scorer, weights: Floats) -> Floats:
    """Per resample the score (resamples,) of the trial that is best on the drawn groups, on those that were not."""
    in_bag = _mean_of_defined(scorer.of_folds(range(scorer.num_trials), weights), axis=1)
    best, left_out = np.argmax(in_bag, axis=0), (weights == 0).astype(np.float64)
    found = np.full(len(weights), np.nan)
    for trial in np.unique(best):
        rows = (best == trial) & ~np.isnan(in_bag[0])
        found[rows] = scorer.of_all(int(trial), left_out[rows])
    return found


def _stand_ins(of_folds: Floats) -> Ints:
    """Per fold the trial (folds,) of the best mean over the other folds, from scores (trials, folds); -1: undefined."""
    folds, found = np.arange(of_folds.shape[1]), []
    for fold in folds:
        means = _mean_of_defined(of_folds[:, folds != fold], axis=1)
        found.append(-1 if np.isnan(means[0]) else int(np.argmax(means)))
    return np.array(found)


def _lost(scorer: _Scorer, winner: int, stand_ins: Ints, weights: Floats) -> Floats:
    """What the stand-ins score less than the winner, (resamples,): the mean over folds."""
    of_folds = scorer.of_folds([winner, *stand_ins.tolist()], weights)
    folds = np.arange(len(stand_ins))
    losses = of_folds[0] - of_folds[1 + folds, folds]
    return _mean_of_defined(np.where(stand_ins[:, None] < 0, np.nan, losses), axis=0)


def _mean_of_defined(scores: Floats, axis: int) -> Floats:
    """The mean of all that is not NaN; NaN where nothing is."""
    defined = ~np.isnan(scores)
    return divide(np.where(defined, scores, 0.0).sum(axis=axis), defined.sum(axis=axis).astype(np.float64))
