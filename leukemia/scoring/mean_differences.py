"""The difference of the mean scores of two sets of runs on the same images, with an interval, pair by pair or not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from leukemia.scoring.bootstrap import Floats, Groups, Interval, Ints, Tally, group_codes
from leukemia.scoring.jackknife import MAX_BLOCKS, blocks_of, jackknife_variance, student_interval
from leukemia.scoring.metrics import checked


@dataclass(frozen=True, kw_only=True)
class JackknifedScores:
    """The scores of runs on the same images: of all images, and without each group of images."""

    whole: Floats
    """float64 (runs,), in 0..1; NaN if a class that the score needs is absent."""

    left_out: Floats
    """float64 (blocks, runs): without one group, or with more than ``MAX_BLOCKS`` groups without one block of them."""

    num_groups: int


def jackknifed(labels: Ints, probabilities: Sequence[Floats] | Floats, groups: Groups, metric: str) -> JackknifedScores:
    """The score of each run, and its delete-one-group values (Efron & Stein, Annals of Statistics 9, 1981).

    Args:
        labels: int64 (n,), 0 or 1.
        probabilities: float64 (runs, n), of class 1.
        groups: n hashables, the group of each image.
        metric: one of ``leukemia.scoring.metrics.METRICS``.

    Raises:
        ValueError: as ``leukemia.scoring.metrics.scores``.
    """
    codes = group_codes(groups, len(labels))
    num_groups = int(codes.max()) + 1
    kept = (blocks_of(num_groups) != np.arange(min(num_groups, MAX_BLOCKS))[:, None]).astype(np.float64)
    tallies = [Tally(*checked(labels, each), codes) for each in probabilities]
    whole = [tally.point((metric,))[metric] for tally in tallies]
    # Without its only group, nothing is left to score.
    left_out = np.zeros((len(tallies), 0))
    if num_groups > 1:
        left_out = np.array([tally.weighted(kept, (metric,))[metric] for tally in tallies])
    return JackknifedScores(whole=np.array(whole), left_out=left_out.T, num_groups=num_groups)


def difference_of_pairs(
    a: JackknifedScores, b: JackknifedScores, pairs: Ints, *, noise: float, level: float = 0.95
) -> Interval:
    """Mean over pairs of trials of the score of a minus that of b, in -1..1, for these recipes and other patients.

    The interval is Student's t over groups, with the noise of training: the score of the same recipe with another seed
    differs.

    Args:
        a, b: of equally many runs: run r of a and run r of b have the same seed.
        pairs: int64 (runs,), the pair of trials that a run belongs to; each pair counts once, whatever its seeds.
        noise: standard deviation of a run's score, in score, beyond the sampling of its images; at least 0.

    Returns:
        the bounds are NaN with fewer than two groups.

    Raises:
        ValueError: a and b have other numbers of runs than ``pairs``, or none.
    """
    if not len(a.whole) == len(b.whole) == len(pairs) > 0:
        raise ValueError(f"expected a pair for each run, got {len(a.whole)}, {len(b.whole)} and {len(pairs)}")
    _, index, sizes = np.unique(pairs, return_inverse=True, return_counts=True)
    weights = 1 / (len(sizes) * sizes[index])
    value = float((a.whole - b.whole) @ weights)
    variance = jackknife_variance((a.left_out - b.left_out) @ weights) + 2 * noise**2 * float(weights @ weights)
    return student_interval(value, variance, max(1, a.num_groups - 1), level)


def difference_of_means(a: JackknifedScores, b: JackknifedScores, *, level: float = 0.95) -> Interval:
    """Mean score of the runs a minus that of the runs b, in -1..1, for other trials and other patients.

    The variance is the sum of those over trials (Welch, Biometrika 34, 1947) and over groups, as for a table of which
    rows and columns are drawn; it counts their interaction twice, so the interval is rather too wide (Owen, Annals of
    Applied Statistics 1, 2007). Degrees of freedom are the fewer of both.

    Args:
        a, b: of at least two runs each.

    Returns:
        the bounds are NaN with fewer than two groups.

    Raises:
        ValueError: fewer than two runs.
    """
    if min(len(a.whole), len(b.whole)) < 2:
        raise ValueError(f"expected at least two runs of each, got {len(a.whole)} and {len(b.whole)}")
    value = float(a.whole.mean() - b.whole.mean())
    parts = [float(each.whole.var(ddof=1)) / len(each.whole) for each in (a, b)]
    over_trials, degrees = sum(parts), float(max(1, a.num_groups - 1))
    if over_trials > 0:
        spread = sum(part**2 / (len(each.whole) - 1) for part, each in zip(parts, (a, b), strict=True))
        degrees = min(degrees, over_trials**2 / spread)
    variance = over_trials + jackknife_variance(a.left_out.mean(axis=1) - b.left_out.mean(axis=1))
    return student_interval(value, variance, degrees, level)
