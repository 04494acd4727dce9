"""The report's section that compares settings: pairs of trials that differ in nothing else, or means over trials."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from leukemia.base.quantity import quantity
from leukemia.reporting.factors import FACTORS, Factor
from leukemia.reporting.page import Section
from leukemia.reporting.words import folds_text, more_often, objective_name
from leukemia.scoring.mean_differences import JackknifedScores, difference_of_means, difference_of_pairs, jackknifed
from leukemia.scoring.metrics import Interval, describe_difference
from leukemia.study.best import Best
from leukemia.study.finished import FinishedTrial, finished_trials, shared_folds
from leukemia.study.folder import Study
from leukemia.study.predictions import Predictions

MIN_TRIALS = 5
"""Trials that each value needs where no pair of trials differs in nothing else."""

NOT_ENOUGH = "not enough trials"


@dataclass(frozen=True, kw_only=True)
class Pair:
    """Two trials that differ in one setting, and the seeds with which both were trained."""

    one: FinishedTrial
    other: FinishedTrial
    seeds: tuple[int, ...]

    @property
    def folds(self) -> list[frozenset[int]]:
        """Committed folds of each of its runs."""
        return [trial.folds[seed] for trial in (self.one, self.other) for seed in self.seeds]


def settings_section(study: Study, best: Best) -> Section:
    """Depth, augmentation, shortcut, color and optimizer, each value against those before it.

    Args:
        best: the winner, for the noise of training that was measured along with it.
    """
    trials, predictions = finished_trials(study), Predictions(study)
    rows: list[tuple[str, str, str]] = []
    constant: list[str] = []
    for factor in FACTORS:
        values = factor.ordered(value for trial in trials if (value := factor.value(trial.recipe)) is not None)
        if len(values) == 1:
            constant.append(f"{factor.name} ({values[0]})")
        for base, value in itertools.combinations(values, 2):
            found = _compared(predictions, factor, (value, base), trials, best.noise.fold_noise)
            rows += [(f"{value} against {base}", *each) for each in found]
    name = objective_name(study.objective)
    table = [("compared", f"difference in {name}", "from"), *rows] if rows else None
    return Section(title="One setting against another", text=_text(study, trials, constant, len(rows)), table=table)


def _text(study: Study, trials: Sequence[FinishedTrial], constant: Sequence[str], num_rows: int) -> str:
    failed = sum(end.state == "failed" for number in study.trials() if (end := study.end(number)) is not None)
    without = sum(not trial.own_folds for trial in trials)
    parts = []
    if num_rows:
        parts.append(
            "Trials that differ in this setting and in nothing else are compared in pairs, on the same images, folds "
            "and seeds; the interval is for these recipes and other patients, and allows for the noise of training. "
            "Unless all are in such pairs, the means over all trials with each value are compared, too, at least "
            f"{MIN_TRIALS} of each, in the folds that all of them have finished; the interval is for other trials and "
            f"other patients. Those trials differ in other settings, too{more_often(study.info)}: this is no "
            "controlled experiment. Of twenty 95 % intervals, about one misses the true difference."
        )
    if without and num_rows:
        parts.append(
            f"{quantity(without, 'trial')} without a finished fold {'is' if without == 1 else 'are'} left out: a "
            "search in which trials wait trains the better ones first, so these comparisons are of the better ones."
        )
    if failed and num_rows:
        parts.append(f"{quantity(failed, 'failed trial')} {'is' if failed == 1 else 'are'} left out.")
    if constant:
        parts.append(f"{NOT_ENOUGH.capitalize()} to compare what all have in common: {', '.join(constant)}.")
    return "\n\n".join(parts)


def _compared(
    predictions: Predictions,
    factor: Factor,
    values: tuple[str, str],
    trials: Sequence[FinishedTrial],
    fold_noise: float | None,
) -> list[tuple[str, str]]:
    """The first value against the second: differences as text, each with what it is from."""
    first, second = ([trial for trial in trials if factor.value(trial.recipe) == value] for value in values)
    pairs = pairs_of(factor, first, second)
    found: list[tuple[str, str]] = []
    if folds := shared_folds(each for pair in pairs for each in pair.folds):
        difference = _difference_of_pairs(predictions, pairs, folds, fold_noise)
        source = f"{quantity(len(pairs), 'pair')} of trials that differ in nothing else"
        if fold_noise is None:
            source += ", without the noise of training, which was not recorded"
        found.append(_with_images(predictions, difference, source, folds))
        if len(pairs) == min(len(first), len(second)):
            return found
    first, second = ([trial for trial in side if trial.own_folds] for side in (first, second))
    numbers = f"{len(first)} against {quantity(len(second), 'trial')}"
    folds = shared_folds(trial.own_folds for trial in (*first, *second))
    if min(len(first), len(second)) < MIN_TRIALS or not folds:
        return found or [(NOT_ENOUGH, numbers)]
    one, other = (
        _scores(predictions, [(trial.number, trial.seed) for trial in side], folds) for side in (first, second)
    )
    return [*found, _with_images(predictions, difference_of_means(one, other), f"the means of {numbers}", folds)]


def pairs_of(factor: Factor, first: Sequence[FinishedTrial], second: Sequence[FinishedTrial]) -> list[Pair]:
    """Pairs of trials that differ in one setting only and share a seed with a finished fold; each trial is in one pair.

    Where several fit, those with the lowest numbers are taken, whatever their scores.
    """
    pairs: list[Pair] = []
    for one in first:
        for other in second:
            seeds = tuple(seed for seed in one.folds if one.folds[seed] & other.folds.get(seed, frozenset()))
            is_free = all(other is not pair.other for pair in pairs)
            if seeds and is_free and factor.is_alone(one.recipe, other.recipe):
                pairs.append(Pair(one=one, other=other, seeds=seeds))
                break
    return pairs


def _difference_of_pairs(
    predictions: Predictions, pairs: Sequence[Pair], folds: Sequence[int], fold_noise: float | None
) -> Interval:
    runs = [(index, pair, seed) for index, pair in enumerate(pairs) for seed in pair.seeds]
    one = _scores(predictions, [(pair.one.number, seed) for _, pair, seed in runs], folds)
    other = _scores(predictions, [(pair.other.number, seed) for _, pair, seed in runs], folds)
    noise = (fold_noise or 0.0) / math.sqrt(len(folds))
    return difference_of_pairs(one, other, np.array([index for index, *_ in runs]), noise=noise)


def _scores(predictions: Predictions, runs: Sequence[tuple[int, int]], folds: Sequence[int]) -> JackknifedScores:
    """Scores of runs, by trial and seed, over the images of some folds."""
    probabilities = [predictions.of(number, seed, folds) for number, seed in runs]
    images = predictions.images(folds)
    metric = predictions.study.objective.removeprefix("tta_")
    return jackknifed(images["label"].to_numpy(dtype=np.int64), probabilities, images["group"], metric)


def _with_images(predictions: Predictions, found: Interval, source: str, folds: Sequence[int]) -> tuple[str, str]:
    images = predictions.images(folds)
    groups = images["group"].nunique()
    text = describe_difference(found)
    if math.isnan(found.low):
        # A difference without an interval says nothing.
        text = "no interval: too few groups of images" if not math.isnan(found.value) else text
    return text, f"{source}; {folds_text(folds)}, {len(images)} images of {quantity(groups, 'group')}"
