"""The table of a study's trials for the terminal, the report and W&B."""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np
import pandas as pd

from leukemia.study.folder import Study
from leukemia.study.given_recipes import names_of, with_name
from leukemia.study.ladder import open_state, waiting_trials

COLUMNS = ("trial", "state", "recipe", "folds", "seeds", "score", "weighted_f1", "reason", "seconds")


def trial_table(study: Study) -> pd.DataFrame:
    """All trials with columns ``COLUMNS``, complete trials first, by descending score.

    Scores are means over the finished folds, including those of finished repeats; NaN if there are none or one is
    undefined. ``folds`` and ``seconds`` are those of the first seed. A trial that has not ended is ``running`` or, with
    its place as the reason, ``waiting``.
    """
    rows = []
    places, names = waiting_trials(study), names_of(study.info)
    for number in study.trials():
        recipe, end = study.recipe(number), study.end(number)
        own = recipe.train.seed
        folds = [study.fold(number, own, fold) for fold in study.folds_done(number, own)]
        repeats = finished_seeds(study, number)[1:]
        every = [
            *folds,
            *(study.fold(number, seed, fold) for seed in repeats for fold in study.folds_done(number, seed)),
        ]
        rows.append(
            {
                "trial": f"{number:04d}",
                "state": end.state if end else open_state(number in places),
                "recipe": with_name(names.get(number), recipe.describe()),
                "folds": f"{len(folds)}/{study.info.folds}",
                "seeds": 1 + len(repeats),
                "score": _mean(fold.scores[study.objective] for fold in every),
                "weighted_f1": _mean(fold.scores.get("tta_weighted_f1") for fold in every),
                "reason": end.reason if end else places[number].describe() if number in places else "",
                "seconds": sum(fold.seconds for fold in folds),
            }
        )
    table = pd.DataFrame(rows, columns=list(COLUMNS))
    order = table.assign(incomplete=table["state"] != "complete").sort_values(
        ["incomplete", "score", "trial"], ascending=[True, False, True], kind="stable"
    )
    return order[list(COLUMNS)].reset_index(drop=True)


def complete_trials(study: Study) -> list[int]:
    """Numbers of the trials that have ended with all folds, ascending."""
    return [number for number in study.trials() if (end := study.end(number)) and end.state == "complete"]


def finished_seeds(study: Study, number: int) -> list[int]:
    """A trial's own seed, then those of its repeats for which all folds are finished, ascending."""
    own = study.recipe(number).train.seed
    repeats = (
        seed
        for seed in study.seeds(number)
        if seed != own
        and len(study.folds_done(number, seed)) == study.info.folds
        and study.repeat_failure(number, seed) is None
    )
    return [own, *repeats]


def unfinished_repeats(study: Study, number: int) -> list[int]:
    """Seeds of a trial's repeats that have started, lack folds, and have not failed, ascending."""
    ended = finished_seeds(study, number)
    return [seed for seed in study.seeds(number) if seed not in ended and study.repeat_failure(number, seed) is None]


def mean_score(study: Study, number: int) -> float:
    """A trial's objective, averaged over the folds of its finished seeds; NaN if one is undefined or there is none."""
    return _mean(
        study.fold(number, seed, fold).scores[study.objective]
        for seed in finished_seeds(study, number)
        for fold in study.folds_done(number, seed)
    )


def _mean(scores: Iterable[float | None]) -> float:
    found = list(scores)
    return float(np.mean([score for score in found if score is not None])) if found and None not in found else math.nan
