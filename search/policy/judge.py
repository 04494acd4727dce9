"""Pure decisions about trials: may this one still win? is it any good? which complete trial is best?

A trial is *raced*: after each fold it is compared with the best complete trial on the very images that both have
predicted, and stopped when even an optimistic reading of the difference lies below a margin. The rule in one line:

    stop when  D + luck + t(1 - e_k, G - 1) * sqrt(V + (1 + 1 / m) s^2 / k)  <  -margin

with D the paired difference over the folds 1..k, V its variance over the G groups (jackknife), s the noise of a fold
that no image explains (``fold_noise``), e_k the level of this look (``spending``), and *luck* what the reference,
which was run with m seeds, owes to being the best of several (``selection_luck``).

Neighbours. BBCD-CV (Tsamardinos et al., Machine Learning 107, 2018) drops a configuration by a bootstrap over images
that neither knows groups nor counts its looks. Early-stopped cross-validation (Bergman et al., AutoML 2024, PMLR 256)
stops when the mean of the folds seen lies below the best mean: no error is controlled. irace (Lopez-Ibanez et al.,
Operations Research Perspectives 3, 2016) tests ranks over instances, which takes five folds or more to speak.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from scipy.special import stdtrit

from leukemia.scoring.jackknife import Difference
from leukemia.scoring.metrics import THRESHOLD, upper_bound
from leukemia.study.schema import SearchOptions
from search.policy.spending import nominal_levels

HOPELESS = 0.55
"""A trial is given up when the upper bound of its balanced accuracy lies below this: 0.5 is a coin."""

CONFIDENCE = 0.95
"""Level of the one-sided upper bound of ``judge_fold``."""

MARGIN = SearchOptions.margin / 100
"""A trial that is worse by less than this is let run: a point of the score."""

ERROR = 0.05
"""Chance of stopping a trial that equals the reference, over all looks together."""

PRIOR_NOISE = 0.01
"""Standard deviation of a fold's noise, in score, until the study has repeats of its own."""

FEWEST_GROUPS = 3
"""With fewer groups a variance between them says nothing, and no race is decided."""


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """Whether a trial goes on, and why not."""

    go_on: bool
    reason: str = ""


GO_ON = Verdict(go_on=True)


def judge_fold(labels: np.ndarray, probabilities: np.ndarray, groups: np.ndarray, folds: np.ndarray) -> Verdict:
    """Judge a trial on its own by all out-of-fold images that it has predicted so far.

    A trial is hopeless when a fold gives one answer to all images, or when it cannot be told from guessing: the
    one-sided upper bound (bootstrap over groups) of its balanced accuracy lies below 0.55. Accuracy would not do:
    always naming the larger class scores the majority rate.

    Args:
        labels: int64 (n,), 0 or 1.
        probabilities: float64 (n,), of class 1.
        groups: (n,), images of one group are resampled together.
        folds: int64 (n,), the fold that predicted each image.
    """
    for fold in np.unique(folds):
        answers = probabilities[folds == fold] >= THRESHOLD
        if answers.all() or not answers.any():
            return Verdict(go_on=False, reason=f"hopeless: one answer to all images of fold {fold}")
    bound = upper_bound(labels, probabilities, groups, "balanced_accuracy", level=CONFIDENCE)
    if bound < HOPELESS:
        return Verdict(
            go_on=False, reason=f"hopeless: upper bound of balanced accuracy {bound:.3f}, below {HOPELESS:.2f}"
        )
    return GO_ON


def judge_race(
    difference: Difference,
    *,
    folds_seen: int,
    num_folds: int,
    noise: float,
    num_rivals: int,
    reference_seeds: int = 1,
    margin: float = MARGIN,
    error: float = ERROR,
) -> Verdict:
    """Judge a trial against the best complete one.

    Args:
        difference: challenger minus reference over the folds seen, from ``leukemia.scoring.jackknife``.
        folds_seen: 1..K; at K there is nothing left to save, and the trial goes on.
        num_folds: K.
        noise: standard deviation of one trial's score in one fold beyond what its images explain (``fold_noise``).
        num_rivals: complete trials that the reference was chosen from, itself included.
        reference_seeds: with how many seeds the reference was run; its score is their mean.
        margin: in score, 0.01 being a point.
        error: chance of stopping an equal, over all looks.
    """
    if folds_seen >= num_folds or difference.num_groups < FEWEST_GROUPS or math.isnan(difference.variance):
        return GO_ON
    variance = difference.variance + (1 + 1 / reference_seeds) * noise**2 / folds_seen
    luck = selection_luck(num_rivals, variance * folds_seen / num_folds)
    quantile = float(stdtrit(difference.num_groups - 1, 1 - nominal_levels(error, num_folds - 1)[folds_seen - 1]))
    bound = difference.value + luck + quantile * math.sqrt(variance)
    if bound < -margin:
        return Verdict(
            go_on=False,
            reason=f"cannot win: {100 * difference.value:+.1f} points against the best, at most {100 * bound:+.1f}",
        )
    return GO_ON


def selection_luck(num_rivals: int, variance: float) -> float:
    """How much the best of equals is expected to stand above their common truth, on the images it was chosen by.

    Args:
        num_rivals: how many it was chosen from.
        variance: of the difference of two of them over all folds: each has half of it.

    Returns:
        the expected maximum of so many normal variables (Blom 1958), in score; 0 for one.
    """
    return NormalDist().inv_cdf((num_rivals - 0.375) / (num_rivals + 0.25)) * math.sqrt(variance / 2)


def fold_noise(differences: Sequence[Difference], prior: float = PRIOR_NOISE) -> float:
    """Standard deviation of a fold's noise, from differences between two seeds of one recipe in one fold.

    Such a difference has twice the noise's variance beside what its images explain. One pair's worth of ``prior``
    keeps an estimate from few folds away from zero.
    """
    excess = sum(each.value**2 - each.variance for each in differences if not math.isnan(each.variance)) / 2
    return math.sqrt((prior**2 + max(0.0, excess)) / (1 + len(differences)))


@dataclass(frozen=True, kw_only=True)
class Contender:
    """A complete trial and the objective of each of its folds, under each of its seeds."""

    number: int
    fold_scores: tuple[float, ...]
    """Folds of the first seed, then of its repeats."""

    @property
    def score(self) -> float:
        """Mean over the folds."""
        return float(np.mean(self.fold_scores))


def best_of(contenders: Iterable[Contender]) -> Contender | None:
    """The contender of the highest mean over all its folds; of equals the earliest. None where there is none."""
    return max(contenders, key=lambda contender: (contender.score, -contender.number), default=None)
