"""A comparison of given recipes: which recipe is which trial, its score, and its paired difference from the first."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from leukemia.scoring.jackknife import Difference, paired_jackknife
from leukemia.scoring.metrics import Interval
from leukemia.scoring.paired import fold_noise, paired_interval
from leukemia.scoring.selection import Candidates, corrected
from leukemia.study.candidate import candidate_of
from leukemia.study.folder import Study
from leukemia.study.given_recipes import compares, names_of
from leukemia.study.ladder import open_state
from leukemia.study.table import complete_trials, mean_score

COLUMNS = (
    *("recipe", "trial", "state", "seeds"),
    *("score", "score_low", "score_high", "difference", "difference_low", "difference_high"),
)
"""Of ``comparison_table``."""


@dataclass(frozen=True, kw_only=True)
class Compared:
    """A recipe of a comparison."""

    number: int
    """Of its trial."""

    label: str
    """Its name, or the values of the fields in which the recipes differ."""

    state: str
    """Of its trial, as in ``trial_table``."""

    seeds: int
    """Number of seeds that have finished all folds; 0 unless complete."""

    score: Interval | None
    """The objective, the mean over folds and seeds, with its interval from a bootstrap over groups; None unless
    complete."""

    difference: Interval | None
    """Its score minus that of the first recipe on the same images, over all folds and seeds, as
    ``leukemia.scoring.paired.paired_interval``; None for the first, and unless both are complete."""


def compared(study: Study) -> list[Compared]:
    """All recipes of a comparison whose trials have started, in their order; empty for a search.

    Raises:
        UserError: predictions are missing or invalid.
    """
    if not compares(study.info):
        return []
    metric, names = study.objective.removeprefix("tta_"), names_of(study.info)
    candidates = {number: candidate_of(study, number) for number in complete_trials(study)}
    differences = _differences(candidates, metric, study.info.folds)
    found = []
    for number in study.trials():
        end, candidate = study.end(number), candidates.get(number)
        score = None
        if candidate is not None:
            own = corrected(candidate, metric).raw
            score = Interval(mean_score(study, number), own.low, own.high)
        found.append(
            Compared(
                number=number,
                label=names.get(number) or study.recipe(number).describe_fields(list(study.info.space)),
                state=open_state(False) if end is None else end.state,
                seeds=0 if candidate is None else len(candidate.probabilities[0]),
                score=score,
                difference=differences.get(number),
            )
        )
    return found


def _differences(candidates: Mapping[int, Candidates], metric: str, num_folds: int) -> dict[int, Interval]:
    """The differences from trial 0 of all others, if that is complete."""
    if 0 not in candidates:
        return {}
    noise = noise_of([candidates[number] for number in sorted(candidates)], metric, num_folds)
    first, found = candidates[0], {}
    for number, other in candidates.items():
        sides = other.probabilities[0], first.probabilities[0]
        if number:
            difference = paired_jackknife(first.labels, *sides, np.asarray(first.groups), metric)
            found[number] = paired_interval(difference, noise, num_folds, (len(sides[0]), len(sides[1])))
    return found


def noise_of(candidates: Sequence[Candidates], metric: str, num_folds: int) -> float:
    """Standard deviation of the fold noise, in score, from the seeds of these trials; the prior if each has one."""
    differences: list[Difference] = []
    for each in candidates:
        groups = np.asarray(each.groups)
        for one, other in itertools.pairwise(each.probabilities[0]):
            for fold in range(num_folds):
                rows = each.folds == fold
                sides = one[None, rows], other[None, rows]
                differences.append(paired_jackknife(each.labels[rows], *sides, groups[rows], metric))
    return fold_noise(differences)


def comparison_table(study: Study) -> pd.DataFrame:
    """``compared`` with the columns ``COLUMNS``; scores and differences are from 0 to 1, NaN if there are none."""
    none = Interval(np.nan, np.nan, np.nan)
    rows = []
    for each in compared(study):
        score, difference = each.score or none, each.difference or none
        values = [*(score.value, score.low, score.high), *(difference.value, difference.low, difference.high)]
        rows.append((each.label, f"{each.number:04d}", each.state, each.seeds, *values))
    return pd.DataFrame(rows, columns=list(COLUMNS))
