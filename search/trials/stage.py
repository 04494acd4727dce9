"""The latest stage that enough trials have reached for their scores to be compared: all folds, some, or a rung."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from leukemia.study.folder import Study
from leukemia.study.importances import ALL_FOLDS, MIN_TRIALS
from leukemia.study.ladder import rung_name


@dataclass(frozen=True, kw_only=True)
class Stage:
    """A stage, and the score of each trial that has reached it."""

    name: str
    """What these trials have finished, such as ``2 of 5 folds``."""

    scores: Mapping[int, float]
    """By trial. They compare within a stage only."""


def latest_stage(study: Study, shown: Mapping[int, Mapping[int, float]], rungs: Sequence[float]) -> Stage:
    """The latest stage that ``MIN_TRIALS`` trials have reached; the earliest if none has as many.

    Trials that failed are left out, as are scores that are undefined. At a stage of several folds the score is the mean
    over the first of them, of a trial's first seed.

    Args:
        shown: as ``Ladder.shown``; empty without pausing.
        rungs: the shares of fold 0 after which trials wait, ascending, without its end.
    """
    kept = [number for number in study.trials() if (end := study.end(number)) is None or end.state != "failed"]
    scores = {number: _scores(study, number) for number in kept}
    stages = []
    for rung, share in enumerate(rungs, start=1):
        values = {number: shown[number][rung] for number in kept if rung in shown.get(number, {})}
        stages.append(Stage(name=f"{rung_name(share)} of fold 1", scores=values))
    for folds in range(1, study.info.folds + 1):
        means = {number: sum(each[:folds]) / folds for number, each in scores.items() if len(each) >= folds}
        name = ALL_FOLDS if folds == study.info.folds else f"{folds} of {study.info.folds} folds"
        stages.append(Stage(name=name, scores=means))
    finite = [
        Stage(name=each.name, scores={number: value for number, value in each.scores.items() if math.isfinite(value)})
        for each in stages
    ]
    enough = [stage for stage in finite if len(stage.scores) >= MIN_TRIALS]
    reached = [stage for stage in finite if stage.scores]
    return enough[-1] if enough else reached[0] if reached else finite[-1]


def _scores(study: Study, number: int) -> list[float]:
    """The scores of a trial's first folds, up to the first that is not finished."""
    seed, found = study.recipe(number).train.seed, []
    done = set(study.folds_done(number, seed))
    for fold in range(study.info.folds):
        if fold not in done:
            break
        score = study.fold(number, seed, fold).scores[study.objective]
        found.append(math.nan if score is None else score)
    return found
