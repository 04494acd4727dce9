"""Decisions about trials: can this one still win, is it better than chance, and which complete trial is best?

Trials *race*: after each fold a trial is compared with the best complete trial on the images that both have
predicted, and stopped if even an optimistic bound of the difference is below a margin:

    stop when  D + bias + t(1 - e_k, G - 1) * sqrt(V + (1 + 1 / m) s^2 / k)  <  -margin

with D the paired difference over folds 1..k, V its variance over the G groups (jackknife), s the noise of a fold that
its images do not explain (``leukemia.scoring.paired``), e_k the level of this look (``error_spending``), and *bias* the
selection bias of the reference, which is the best of several and was run with m seeds (``selection_luck``).

With pausing, fold 0 has chosen which trials become complete, so the reference was lucky there. Therefore no trial is
compared after a single fold, the error is spent at the later looks, and the reference counts as the best of all trials
that have finished fold 0. Folds may end in any order: when one ends depends on its size, not on its score.

Related work. BBCD-CV (Tsamardinos et al., Machine Learning 107, 2018) drops configurations by a bootstrap over images
that ignores groups and the number of looks. Early-stopped cross-validation (Bergman et al., AutoML 2024, PMLR 256)
stops if the mean of the folds so far is below the best mean, without error control. irace (Lopez-Ibanez et al.,
Operations Research Perspectives 3, 2016) tests ranks over instances, which needs five folds or more.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from scipy.special import stdtrit

from leukemia.config.results import fold_name
from leukemia.scoring.jackknife import Difference
from leukemia.scoring.metrics import THRESHOLD, upper_bound
from leukemia.study.schema import SearchOptions
from search.policy.error_spending import nominal_levels

MIN_BALANCED_ACCURACY = 0.55
"""A trial is stopped if the upper bound of its balanced accuracy is below this; random guessing scores 0.5."""

CONFIDENCE = 0.95
"""Level of the one-sided upper bound in ``judge_fold``."""

MARGIN = SearchOptions.margin / 100
"""A trial that is worse by less than this is not stopped; in score, 0.01 is one point."""

ERROR = 0.05
"""Probability of stopping a trial as good as the reference, over all looks."""

MIN_GROUPS = 3
"""With fewer groups their variance is meaningless, and no trial is stopped by comparison."""


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """Whether a trial continues, and if not, why."""

    continues: bool
    reason: str = ""


CONTINUE = Verdict(continues=True)


def judge_fold(labels: np.ndarray, probabilities: np.ndarray, groups: np.ndarray, folds: np.ndarray) -> Verdict:
    """Judge a trial by all its out-of-fold predictions so far, without comparing it with others.

    A trial is no better than chance if it predicts a single class for all images of a fold, or if the one-sided upper
    bound of its balanced accuracy (bootstrap over groups) is below 0.55. Accuracy is unsuitable, because always
    predicting the larger class scores the majority rate.

    Args:
        labels: int64 (n,), 0 or 1.
        probabilities: float64 (n,), of class 1.
        groups: (n,), resampled as a whole.
        folds: int64 (n,), the fold in which each image was predicted.
    """
    for fold in np.unique(folds):
        predicted = probabilities[folds == fold] >= THRESHOLD
        if predicted.all() or not predicted.any():
            reason = f"no better than chance: predicts a single class for all images of {fold_name(int(fold))}"
            return Verdict(continues=False, reason=reason)
    bound = upper_bound(labels, probabilities, groups, "balanced_accuracy", level=CONFIDENCE)
    if bound < MIN_BALANCED_ACCURACY:
        reason = (
            f"no better than chance: upper bound of balanced accuracy {bound:.3f} is below {MIN_BALANCED_ACCURACY:.2f}"
        )
        return Verdict(continues=False, reason=reason)
    return CONTINUE


def judge_race(
    difference: Difference,
    *,
    folds_seen: int,
    num_folds: int,
    noise: float,
    num_rivals: int,
    reference_seeds: int = 1,
    first_look: int = 1,
    margin: float = MARGIN,
    error: float = ERROR,
) -> Verdict:
    """Judge a trial by comparison with the best complete trial.

    Args:
        difference: challenger minus reference over the folds seen, by ``leukemia.scoring.jackknife``.
        folds_seen: 1..K; at K nothing is left to save, so the trial continues.
        num_folds: K.
        noise: standard deviation of the fold noise, in score, as ``leukemia.scoring.paired.fold_noise``.
        num_rivals: number of trials that the reference was chosen from, including itself.
        reference_seeds: number of seeds of the reference; its score is their mean.
        first_look: number of folds after which trials are first compared; with fewer, the trial continues.
        margin: in score; 0.01 is one point.
        error: probability of stopping an equally good trial, over all looks.
    """
    if (
        not first_look <= folds_seen < num_folds
        or difference.num_groups < MIN_GROUPS
        or math.isnan(difference.variance)
    ):
        return CONTINUE
    variance = difference.variance + (1 + 1 / reference_seeds) * noise**2 / folds_seen
    luck = selection_luck(num_rivals, variance * folds_seen / num_folds)
    level = nominal_levels(error, num_folds - first_look, first_look)[folds_seen - first_look]
    quantile = float(stdtrit(difference.num_groups - 1, 1 - level))
    bound = difference.value + luck + quantile * math.sqrt(variance)
    if bound < -margin:
        gap = f"{-100 * difference.value:.1f} points below the best (optimistic bound: {100 * bound:+.1f})"
        return Verdict(continues=False, reason=f"cannot win: {gap}")
    return CONTINUE


def selection_luck(num_rivals: int, variance: float) -> float:
    """Expected selection bias of the best of several equally good trials, on the images by which it was chosen.

    Args:
        num_rivals: number of trials it was chosen from.
        variance: variance of the difference of two trials over all folds; each contributes half.

    Returns:
        the expected maximum of ``num_rivals`` normal variables (Blom 1958), in score; 0 for one.
    """
    return NormalDist().inv_cdf((num_rivals - 0.375) / (num_rivals + 0.25)) * math.sqrt(variance / 2)


@dataclass(frozen=True, kw_only=True)
class Contender:
    """A complete trial with the objective of each fold and seed."""

    number: int
    fold_scores: tuple[float, ...]
    """Folds of the trial itself, then of its repeats."""

    @property
    def score(self) -> float:
        """Mean over all folds and seeds."""
        return float(np.mean(self.fold_scores))


def best_of(contenders: Iterable[Contender]) -> Contender | None:
    """The contender with the highest score, the earliest in case of a tie; None if there are none."""
    return max(contenders, key=lambda contender: (contender.score, -contender.number), default=None)
