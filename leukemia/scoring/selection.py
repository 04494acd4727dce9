"""Corrections for selection bias: the score of the best of N trials is too optimistic. No retraining is needed.

The corrections use the out-of-fold probabilities of the complete trials on the same images; trials that were stopped
before their last fold are not included. The score of a trial that was repeated with other seeds is the mean over seeds.

If fold 0 has chosen which trials run on, as with pausing, complete trials were lucky in it, and those that never ran on
cannot replace them in a correction. The corrections then choose by all folds, but are scored on the others only.

Both corrections treat the trials as fixed. They do not correct for later trials being proposed from earlier scores.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np

from leukemia.scoring.bootstrap import Floats, Interval, Ints, divide, draws, group_codes, interval_of
from leukemia.scoring.metrics import checked
from leukemia.scoring.scorer import Scorer

CORRECTED = ("accuracy", "balanced_accuracy", "weighted_f1", "auroc")
"""Scores that a search can maximize and that can be corrected."""

UNDEFINED = Interval(math.nan, math.nan, math.nan)


@dataclass(frozen=True, kw_only=True)
class Candidates:
    """The complete trials of a study, in the order of their numbers, all on the same images.

    Raises:
        ValueError: no trial, shapes that do not match, or as ``leukemia.scoring.metrics.scores``.
    """

    labels: Ints
    """int64 (n,), 0 or 1."""

    groups: Sequence[Hashable]
    """(n,), resampled as a whole: patients, or single images."""

    folds: Ints
    """int64 (n,), the fold in which each image was validated."""

    probabilities: Sequence[Floats]
    """Per trial float64 (seeds, n): out-of-fold probabilities of class 1. Trials may differ in number of seeds."""

    def __post_init__(self) -> None:
        num_images = np.size(self.labels)
        if not len(self.probabilities):
            raise ValueError("probabilities: expected an array (seeds, n) for each trial, got no trial")
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
                f"folds: expected {num_images} integers, one per label, got {folds.dtype} of shape {folds.shape}"
            )


@dataclass(frozen=True, kw_only=True)
class Correction:
    """The winner's raw score and two corrected estimates of it. NaN if undefined."""

    winner: int
    """Index of the trial."""

    raw: Interval
    """The winner's score over all images, the mean over its seeds."""

    scored: Interval
    """The same over the images of the scored folds; ``raw`` if these are all folds."""

    bootstrap: Interval
    """The out-of-bag score: of winners chosen on resampled groups, on the groups not drawn in the scored folds."""

    leave_fold_out: Interval
    """``scored`` minus the mean loss, per scored fold, of the trial that is best on the other folds."""

    @property
    def headline(self) -> Interval:
        """The lower of the two corrections, at most ``scored``; undefined if both corrections are."""
        defined = [each for each in (self.bootstrap, self.leave_fold_out) if not math.isnan(each.value)]
        return min([*defined, self.scored], key=lambda each: each.value) if defined else UNDEFINED


def corrected(
    candidates: Candidates,
    metric: str,
    *,
    winner: int | None = None,
    scored_folds: Sequence[int] | None = None,
    seed: int = 0,
    num_resamples: int = 1000,
    level: float = 0.95,
) -> Correction:
    """Correct the score of the best candidate for selection bias.

    The winner is the trial with the highest mean score over folds (and seeds), the earliest of ties, as in the search;
    the corrections select by the same rule.

    ``bootstrap`` is BBC-CV (Tsamardinos, Greasidou & Borboudakis 2018, Machine Learning 107:1895-1922), resampling
    groups instead of images: each resample selects a trial on the drawn groups and scores it on the others; the value
    is the mean over resamples. As in the paper, the bounds are percentiles of these scores. About 37 % of the groups
    are not drawn, so the interval is wider than with all groups. An effect common to all images of a fold, such as one
    lucky training run, is in both parts and is not corrected.

    ``leave_fold_out`` corrects that: in each fold the winner is replaced by the trial that is best on the other folds,
    and the resulting loss, averaged over folds, is subtracted from the winner's score. For accuracy in folds of equal
    size this is the accuracy of the assembled predictions. The difference is taken within folds because pooling trials
    whose probabilities are scaled differently would itself lower AUROC. The bounds are percentiles over resampled
    groups, with the replacements held fixed.

    Resamples and folds in which the metric is undefined are skipped. Trials with identical predictions count as one; if
    only one trial remains, nothing was selected among them, and both corrections are its score on the scored folds.

    Args:
        candidates: the complete trials.
        metric: one of ``CORRECTED``.
        winner: index of the trial whose score is corrected, if it was selected by another rule.
        scored_folds: folds on which the corrections are scored, if not on all.
        seed: random seed of the resamples.
        num_resamples: number of bootstrap resamples of the groups.
        level: confidence level of the intervals, in 0..1.

    Raises:
        ValueError: an unknown metric, a winner out of range, or no or an unknown scored fold.

    >>> labels, folds = np.array([0, 1, 0, 1]), np.array([0, 0, 1, 1])
    >>> correct_in_fold = [np.where(folds == fold, labels, 1 - labels)[None].astype(float) for fold in (0, 1)]
    >>> both = Candidates(labels=labels, groups=range(4), folds=folds, probabilities=correct_in_fold)
    >>> found = corrected(both, "accuracy")
    >>> found.raw.value, found.leave_fold_out.value
    (0.5, 0.0)
    """
    if metric not in CORRECTED:
        raise ValueError(f"metric: expected one of {', '.join(CORRECTED)}, got {metric!r}")
    if winner is not None and not 0 <= winner < len(candidates.probabilities):
        raise ValueError(f"winner: expected 0..{len(candidates.probabilities) - 1}, got {winner}")
    folds = np.unique(candidates.folds)
    scored_folds = folds.tolist() if scored_folds is None else scored_folds
    if not len(scored_folds) or not np.isin(scored_folds, folds).all():
        raise ValueError(f"scored_folds: expected some of {', '.join(map(str, folds))}, got {list(scored_folds)}")
    kept = _first_duplicates(candidates.probabilities)
    trials = sorted(set(kept))
    probabilities = [candidates.probabilities[trial] for trial in trials]
    scorer = Scorer(candidates.labels, candidates.groups, candidates.folds, probabilities, metric, scored_folds)
    per_fold = scorer.per_fold(range(len(trials)), scorer.unweighted)[..., 0]
    best = int(np.argmax(_mean_of_defined(per_fold, axis=1))) if winner is None else trials.index(kept[winner])
    replacements = _replacements(per_fold)
    samples = [
        (
            scorer.overall(best, weights),
            scorer.on_scored(best, weights),
            _losses(scorer, best, replacements, weights),
            _out_of_bag(scorer, weights),
        )
        for weights in draws(scorer.tally(best), seed, num_resamples)
    ]
    all_drawn, drawn, losses, out_of_bag = (np.concatenate(each) for each in zip(*samples, strict=True))

    def interval(value: float, samples: Floats) -> Interval:
        return interval_of(value, samples, scorer.num_groups, level)

    raw = interval(float(scorer.overall(best, scorer.unweighted)[0]), all_drawn)
    scored = interval(float(scorer.on_scored(best, scorer.unweighted)[0]), drawn)
    bootstrap = leave_fold_out = scored
    if len(trials) > 1:
        bootstrap = interval(float(_mean_of_defined(out_of_bag, axis=0)), out_of_bag)
        # Losses are means over folds but the score is pooled: with tiny folds the difference may be negative.
        value = np.clip(scored.value - _losses(scorer, best, replacements, scorer.unweighted), 0.0, 1.0)
        leave_fold_out = interval(float(value[0]), np.clip(drawn - losses, 0.0, 1.0))
    return Correction(
        winner=trials[best] if winner is None else winner,
        raw=raw,
        scored=scored,
        bootstrap=bootstrap,
        leave_fold_out=leave_fold_out,
    )


def _first_duplicates(trials: Sequence[Floats]) -> list[int]:
    """For each trial, the first trial with the same predictions."""
    first: dict[tuple[tuple[int, ...], bytes], int] = {}
    arrays = (np.asarray(trial, dtype=np.float64) for trial in trials)
    return [first.setdefault((array.shape, array.tobytes()), number) for number, array in enumerate(arrays)]


def _out_of_bag(scorer: Scorer, weights: Floats) -> Floats:
    """Out-of-bag scores (resamples,): of the trial that is best on the drawn groups, on the scored groups not drawn."""
    in_bag = _mean_of_defined(scorer.per_fold(range(scorer.num_trials), weights), axis=1)
    best, left_out = np.argmax(in_bag, axis=0), (weights == 0).astype(np.float64)
    found = np.full(len(weights), np.nan)
    for trial in np.unique(best):
        rows = (best == trial) & ~np.isnan(in_bag[0])
        found[rows] = scorer.on_scored(int(trial), left_out[rows])
    return found


def _replacements(per_fold: Floats) -> Ints:
    """For each fold, the trial with the best mean over the other folds, (folds,); -1 if undefined.

    ``per_fold`` are scores (trials, folds).
    """
    folds, found = np.arange(per_fold.shape[1]), []
    for fold in folds:
        means = _mean_of_defined(per_fold[:, folds != fold], axis=1)
        found.append(-1 if np.isnan(means[0]) else int(np.argmax(means)))
    return np.array(found)


def _losses(scorer: Scorer, winner: int, replacements: Ints, weights: Floats) -> Floats:
    """Mean over the scored folds of the winner's score minus its replacement's, (resamples,)."""
    per_fold = scorer.per_fold([winner, *replacements.tolist()], weights)
    folds = np.arange(len(replacements))
    losses = per_fold[0] - per_fold[1 + folds, folds]
    return _mean_of_defined(np.where(replacements[:, None] < 0, np.nan, losses)[scorer.scored], axis=0)


def _mean_of_defined(scores: Floats, axis: int) -> Floats:
    """The mean of all values that are not NaN; NaN if there are none."""
    defined = ~np.isnan(scores)
    return divide(np.where(defined, scores, 0.0).sum(axis=axis), defined.sum(axis=axis).astype(np.float64))
