"""What a threshold is worth: sensitivity, specificity and predictive values, with intervals over groups."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from leukemia.scoring.bootstrap import Floats, Groups, Interval, Tally, divide, draws, group_codes, interval_of
from leukemia.scoring.metrics import checked
from leukemia.scoring.thresholds import Ranked, choose_threshold

RATES = ("sensitivity", "specificity", "ppv", "npv")
"""Shares of images that are classified correctly: of the leukemic and of the normal ones, and of those that are called
leukemic and normal."""


@dataclass(frozen=True, kw_only=True)
class OperatingPoint:
    """What a threshold is worth. All rates are in 0..1; NaN if no image is in the denominator."""

    rule: str
    threshold: float
    sensitivity: Interval
    specificity: Interval
    ppv: Interval
    npv: Interval
    """Predictive values, at the share of leukemic images among those that were scored."""

    ppv_at: Interval | None = None
    npv_at: Interval | None = None
    """The same at a stated prevalence (Bayes' theorem); None if none is stated."""

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> OperatingPoint:
        """The inverse of ``to_dict``."""
        intervals = {
            name: None if values.get(name) is None else Interval.from_dict(values[name])
            for name in (*RATES, "ppv_at", "npv_at")
        }
        return cls(rule=values["rule"], threshold=values["threshold"], **intervals)  # type: ignore[arg-type]

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        found: dict[str, Any] = {"rule": self.rule, "threshold": self.threshold}
        for name in (*RATES, "ppv_at", "npv_at"):
            interval = getattr(self, name)
            found[name] = None if interval is None else interval.to_dict()
        return found


def at_thresholds(
    thresholds: Mapping[str, float],
    labels: ArrayLike,
    probabilities: ArrayLike,
    groups: Groups,
    *,
    prevalence: float | None = None,
    seed: int = 0,
    num_resamples: int = 1000,
    level: float = 0.95,
) -> tuple[OperatingPoint, ...]:
    """What fixed thresholds are worth on images that they were not chosen on, with intervals over groups.

    Args:
        thresholds: by rule.
        labels, probabilities, groups: as for ``leukemia.scoring.metrics.scores``.
        prevalence: share of leukemic cells at which predictive values are computed as well, between 0 and 1.
        seed, num_resamples, level: of the cluster bootstrap.

    Raises:
        ValueError: as ``leukemia.scoring.metrics.scores``.
    """
    tally, ranked, weights = _prepared(labels, probabilities, groups, seed, num_resamples)

    def counts(weights: Floats) -> list[Floats]:
        weighed = ranked.weigh(weights)
        return [ranked.count(np.full(len(weights), each), *weighed) for each in thresholds.values()]

    samples = [np.concatenate(each, axis=1) for each in zip(*map(counts, weights), strict=True)]
    points = counts(np.ones((1, tally.num_groups)))
    return tuple(
        _point(rule, threshold, point, sample, tally.num_groups, prevalence, level)
        for (rule, threshold), point, sample in zip(thresholds.items(), points, samples, strict=True)
    )


def cross_fitted(
    rules: Sequence[str],
    labels: ArrayLike,
    probabilities: ArrayLike,
    groups: Sequence[Hashable],
    folds: ArrayLike,
    *,
    prevalence: float | None = None,
    seed: int = 0,
    num_resamples: int = 1000,
    level: float = 0.95,
) -> tuple[OperatingPoint, ...]:
    """The thresholds that rules choose on out-of-fold predictions, and what they are worth on other patients.

    A threshold is chosen on all images. Its rates on these would be too good: the images of each fold are therefore
    classified by the threshold that the rule chooses on the other folds, with other models, as it will be with new
    images. Each resample of the groups repeats the choice. If there is one fold only, the rates are those of the chosen
    threshold, held fixed.

    Args:
        rules: as of ``parse_rule``.
        labels, probabilities, groups: as for ``leukemia.scoring.metrics.scores``.
        folds: int (n,), the fold in which each image was validated.
        prevalence: as for ``at_thresholds``.
        seed, num_resamples, level: of the cluster bootstrap.

    Raises:
        ValueError: as ``leukemia.scoring.metrics.scores``.
    """
    known, array = checked(labels, probabilities)
    chosen = {rule: choose_threshold(rule, known, array) for rule in rules}
    numbers = np.unique(folds)
    if len(numbers) < 2:
        options = {"prevalence": prevalence, "seed": seed, "num_resamples": num_resamples, "level": level}
        return at_thresholds(chosen, known, array, groups, **options)  # type: ignore[arg-type]
    tally, _, weights = _prepared(known, array, groups, seed, num_resamples)
    codes = group_codes(groups, len(known))
    sides = [
        tuple(Ranked(known[rows], array[rows], codes[rows]) for rows in (folds != number, folds == number))
        for number in numbers
    ]

    def counts(weights: Floats) -> Floats:
        """(rules, 4, resamples)."""
        found = np.zeros((len(rules), 4, len(weights)))
        for others, own in sides:
            weighed, inside = others.weigh(weights), own.weigh(weights)
            for row, rule in enumerate(rules):
                found[row] += own.count(others.choose(rule, *weighed), *inside)
        return found

    samples = np.concatenate(list(map(counts, weights)), axis=2)
    points = counts(np.ones((1, tally.num_groups)))
    return tuple(
        _point(rule, chosen[rule], point, sample, tally.num_groups, prevalence, level)
        for rule, point, sample in zip(rules, points, samples, strict=True)
    )


def _prepared(
    labels: ArrayLike, probabilities: ArrayLike, groups: Groups, seed: int, num_resamples: int
) -> tuple[Tally, Ranked, Iterator[Floats]]:
    """The groups, the images by probability, and the resamples."""
    known, array = checked(labels, probabilities)
    codes = group_codes(groups, len(known))
    tally = Tally(known, array, codes)
    return tally, Ranked(known, array, codes), draws(tally, seed, num_resamples)


def _point(
    rule: str,
    threshold: float,
    point: Floats,
    samples: Floats,
    num_groups: int,
    prevalence: float | None,
    level: float,
) -> OperatingPoint:
    values, drawn = _rates(point, prevalence), _rates(samples, prevalence)
    intervals = {name: interval_of(float(values[name][0]), drawn[name], num_groups, level) for name in values}
    return OperatingPoint(rule=rule, threshold=threshold, **intervals)


def _rates(counts: Floats, prevalence: float | None) -> dict[str, Floats]:
    """Rates (resamples,) by name, from the counts (4, resamples) of ``Ranked.count``."""
    false_leukemic, true_leukemic, normal, leukemic = counts
    true_normal, false_normal = normal - false_leukemic, leukemic - true_leukemic
    found = {
        "sensitivity": divide(true_leukemic, leukemic),
        "specificity": divide(true_normal, normal),
        "ppv": divide(true_leukemic, true_leukemic + false_leukemic),
        "npv": divide(true_normal, true_normal + false_normal),
    }
    if prevalence is None:
        return found
    sensitivity, specificity = found["sensitivity"], found["specificity"]
    ill, sound = prevalence * sensitivity, (1 - prevalence) * specificity
    return found | {
        "ppv_at": divide(ill, ill + (1 - prevalence) * (1 - specificity)),
        "npv_at": divide(sound, sound + prevalence * (1 - sensitivity)),
    }
