"""Calibration of the probability of class 1: are of the images with probability p a share p leukemic?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import minimize_scalar

from leukemia.scoring.bootstrap import (
    NUM_BINS,
    Floats,
    Groups,
    Interval,
    Ints,
    Tally,
    divide,
    draws,
    group_codes,
    interval_of,
)
from leukemia.scoring.metrics import checked

CALIBRATION = ("nll", "brier", "calibration_error")
"""Scores of probabilities, 0 is best.

nll                mean negative log-likelihood, in nats; log 2 = 0.693 if every probability is 0.5
brier              mean squared difference to the label, in 0..1 (Brier 1950); 0.25 if every probability is 0.5
calibration_error  mean absolute difference between probability and share of leukemic images over 15 equal-width bins of
                   the probability, in 0..1; ``ece`` in ``leukemia.scoring.metrics`` is of the predicted class instead
"""

TEMPERATURES = (0.25, 8.0)
"""Bounds of a fitted temperature. Below, it would only follow a few images: if the classes are separated perfectly, the
likelihood grows until the temperature is 0."""

TINY = 1e-7
"""Probabilities are kept this far from 0 and 1: a mean of float32 values can be either, where the logarithm is not."""


def tempered(probabilities: ArrayLike, temperature: float) -> Floats:
    """Probabilities of class 1 after temperature scaling (Guo et al. 2017): the log-odds are divided.

    0.5 stays 0.5 and the order is kept, so neither classes from 0.5 on nor AUROC change.

    Args:
        probabilities: in 0..1, any shape.
        temperature: above 0; above 1 it makes them less extreme. 1 returns them as they are.

    >>> tempered([0.5, 0.9], 2.0).round(3).tolist()
    [0.5, 0.75]
    """
    array = np.asarray(probabilities, dtype=np.float64)
    # Not even rounded.
    return array if temperature == 1 else 1 / (1 + np.exp(-log_odds(array) / temperature))


def fit_temperature(labels: ArrayLike, probabilities: ArrayLike) -> float:
    """The temperature in ``TEMPERATURES`` with the lowest negative log-likelihood; 1 if there is only one class.

    Raises:
        ValueError: as ``leukemia.scoring.metrics.scores``.
    """
    known, array = checked(labels, probabilities)
    if known.min() == known.max():
        return 1.0
    # Of the class that is right.
    odds = np.where(known == 1, 1, -1) * log_odds(array)
    low, high = TEMPERATURES
    # Convex in the inverse of the temperature.
    found = minimize_scalar(
        lambda inverse: float(np.logaddexp(0, -inverse * odds).mean()),
        bounds=(1 / high, 1 / low),
        method="bounded",
        options={"xatol": 1e-6},
    )
    return 1 / float(found.x)


def cross_tempered(labels: ArrayLike, probabilities: ArrayLike, folds: ArrayLike) -> Floats:
    """Probabilities of the images of each fold at the temperature that is fitted on the other folds, float64 (n,).

    With one fold, at the temperature that is fitted on it.
    """
    known, array = checked(labels, probabilities)
    numbers, found = np.unique(folds), array.copy()
    for number in numbers:
        own = np.asarray(folds) == number
        others = own if len(numbers) == 1 else ~own
        found[own] = tempered(array[own], fit_temperature(known[others], array[others]))
    return found


def calibration_scores(
    labels: ArrayLike,
    probabilities: ArrayLike,
    groups: Groups,
    *,
    seed: int = 0,
    num_resamples: int = 1000,
    level: float = 0.95,
) -> dict[str, Interval]:
    """All scores in ``CALIBRATION`` with percentile intervals from a bootstrap over groups.

    Noise widens the gap of every bin, so the resamples of the calibration error are centred on its value.

    Raises:
        ValueError: as ``leukemia.scoring.metrics.scores``.
    """
    known, array = checked(labels, probabilities)
    codes = group_codes(groups, len(known))
    tally = Tally(known, array, codes)
    contributions = _contributions(known, array, codes, tally.num_groups)
    point = _weighted(contributions, np.ones((1, tally.num_groups)))
    parts = [_weighted(contributions, weights) for weights in draws(tally, seed, num_resamples)]
    samples = {name: np.concatenate([part[name] for part in parts]) for name in CALIBRATION}
    error = samples["calibration_error"]
    samples["calibration_error"] = np.clip(error - error.mean() + point["calibration_error"], 0.0, 1.0)
    return {name: interval_of(float(point[name][0]), samples[name], tally.num_groups, level) for name in CALIBRATION}


def leukemic_bins(labels: ArrayLike, probabilities: ArrayLike) -> Floats:
    """The bins behind the calibration error, (15, 3): number of images, mean probability, and share of leukemic ones.

    Bin i covers probabilities in ((i - 1) / 15, i / 15], the first one 0 as well. The last two are NaN in an empty bin.
    """
    known, array = checked(labels, probabilities)
    bins = _bins(array)
    counts, means, shares = (
        np.bincount(bins, each, NUM_BINS).astype(np.float64) for each in (np.ones(len(bins)), array, known)
    )
    return np.column_stack([counts, divide(means, counts), divide(shares, counts)])


def error_of(bins: Floats) -> float:
    """The calibration error from the bins of ``leukemic_bins``."""
    counts, means, shares = bins[bins[:, 0] > 0].T
    return float(np.sum(counts * np.abs(means - shares)) / np.sum(counts))


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """Scores of probabilities, before and after temperature scaling."""

    temperature: float
    before: Mapping[str, Interval]
    after: Mapping[str, Interval]
    """By the names of ``CALIBRATION``."""

    bins: tuple[Floats, Floats] | None = field(compare=False)
    """Those of ``leukemic_bins``, before and after; None in a file of an earlier version."""

    @classmethod
    def of(
        cls, labels: ArrayLike, probabilities: ArrayLike, groups: Groups, *, temperature: float, after: ArrayLike
    ) -> Calibration:
        """Score both.

        Args:
            labels, probabilities, groups: as for ``calibration_scores``.
            temperature: of the model.
            after: the scaled probabilities.
        """
        known = list(groups)
        return cls(
            temperature=temperature,
            before=calibration_scores(labels, probabilities, known),
            after=calibration_scores(labels, after, known),
            bins=(leukemic_bins(labels, probabilities), leukemic_bins(labels, after)),
        )

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Calibration:
        """The inverse of ``to_dict``."""
        before, after = (
            {name: Interval.from_dict(interval) for name, interval in values[side].items()}
            for side in ("before", "after")
        )
        kept = values.get("bins")
        bins = None if kept is None else (_bins_from(kept["before"]), _bins_from(kept["after"]))
        return cls(temperature=values["temperature"], before=before, after=after, bins=bins)

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        before, after = (
            {name: interval.to_dict() for name, interval in scores.items()} for scores in (self.before, self.after)
        )
        found: dict[str, Any] = {"temperature": self.temperature, "before": before, "after": after}
        if self.bins is not None:
            found["bins"] = {
                # NaN, in an empty bin, is not JSON.
                side: [[None if np.isnan(value) else value for value in row] for row in bins.tolist()]
                for side, bins in zip(("before", "after"), self.bins, strict=True)
            }
        return found


def _bins_from(rows: Sequence[Sequence[float | None]]) -> Floats:
    return np.array(rows, dtype=np.float64)


def log_odds(probabilities: ArrayLike) -> Floats:
    """The log-odds of probabilities in 0..1, any shape; finite, since they are kept ``TINY`` from 0 and 1."""
    kept = np.clip(np.asarray(probabilities, dtype=np.float64), TINY, 1 - TINY)
    found: Floats = np.log(kept) - np.log1p(-kept)
    return found


def _bins(probabilities: Floats) -> Ints:
    return np.maximum(np.ceil(probabilities * NUM_BINS).astype(np.int64) - 1, 0)


def _contributions(labels: Ints, probabilities: Floats, codes: Ints, num_groups: int) -> dict[str, Floats]:
    """Sums over the images of each group: (groups,), and (groups, bins) of probability minus label."""
    odds = np.where(labels == 1, 1, -1) * log_odds(probabilities)
    gaps = np.bincount(NUM_BINS * codes + _bins(probabilities), probabilities - labels, NUM_BINS * num_groups)
    found = {
        "images": np.bincount(codes, minlength=num_groups),
        "nll": np.bincount(codes, np.logaddexp(0, -odds), num_groups),
        "brier": np.bincount(codes, (probabilities - labels) ** 2, num_groups),
        "calibration_error": gaps.reshape(-1, NUM_BINS),
    }
    return {name: sums.astype(np.float64) for name, sums in found.items()}


def _weighted(contributions: Mapping[str, Floats], weights: Floats) -> dict[str, Floats]:
    """Scores (resamples,) by name."""
    total = weights @ contributions["images"]
    found = {name: divide(weights @ contributions[name], total) for name in ("nll", "brier")}
    gaps = np.abs(weights @ contributions["calibration_error"]).sum(axis=1)
    return found | {"calibration_error": divide(gaps, total)}
