"""The winners of two studies compared: image by image if their folds are the same, else by their scores to quote."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence

import numpy as np

from leukemia.base.quantity import quantity
from leukemia.config.results import num_folds_text, score_name
from leukemia.reporting.compared_study import ComparedStudy
from leukemia.reporting.words import folds_text, objective_name
from leukemia.scoring.independent import independent_difference
from leukemia.scoring.jackknife import paired_jackknife, student_interval
from leukemia.scoring.metrics import Interval, describe_difference
from leukemia.study.best import Best
from leukemia.study.predictions import Predictions

Row = tuple[str, str, str]
"""What is compared, the difference as text, and what it is from; or that there is none, and why."""

NOT_COMPARED = "not compared"


def winner_differences(studies: Sequence[ComparedStudy]) -> list[Row]:
    """Each study's winner against that of each study before it."""
    predictions = [Predictions(each.study) for each in studies]
    found: list[Row] = []
    for earlier, later in itertools.combinations(range(len(studies)), 2):
        one, other = studies[later], studies[earlier]
        name = f"{one.name} against {other.name}"
        rows = _differences(one, other, predictions[later], predictions[earlier])
        found += [(name, difference, source) for difference, source in rows]
    return found


def _differences(
    one: ComparedStudy, other: ComparedStudy, first: Predictions, second: Predictions
) -> Iterator[tuple[str, str]]:
    if one.best is None or other.best is None:
        without = " and ".join(each.name for each in (one, other) if each.best is None)
        yield NOT_COMPARED, f"no winner in {without}"
    elif one.best.protocol != other.best.protocol:
        protocols = f"{one.best.protocol} against {other.best.protocol}"
        yield NOT_COMPARED, f"scores of different protocols do not measure the same ({protocols})"
    elif (why := _why_unpaired(one, other, first, second)) is None:
        for objective in dict.fromkeys(score_name(each.objective) for each in (one.best, other.best)):
            yield _paired(one.best, other.best, first, second, objective)
    else:
        yield _unpaired(one, other, why)


def _why_unpaired(one: ComparedStudy, other: ComparedStudy, first: Predictions, second: Predictions) -> str | None:
    """Why images cannot be compared one by one; None if they can: each winner was trained and scored on the same."""
    assert one.best is not None
    assert other.best is not None
    infos = [each.study.info for each in (one, other)]
    if infos[0].data.fingerprint != infos[1].data.fingerprint:
        return "other data, so the difference is one of data and recipes together"
    folds = [range(each.folds) for each in infos]
    if folds[0] == folds[1]:
        for best, predictions in ((one.best, first), (other.best, second)):
            predictions.of(int(best.trial), best.seeds[0], folds[0])
        same = ["image_id", "label"]
        if all(first.images([fold])[same].equals(second.images([fold])[same]) for fold in folds[0]):
            return None
    described = [f"{num_folds_text(each.folds)} of seed {each.seed}" for each in infos]
    return f"the same data, but other folds ({' against '.join(described)})"


def _paired(one: Best, other: Best, first: Predictions, second: Predictions, objective: str) -> tuple[str, str]:
    """On the images of the folds that did not choose which trials ran on, with all seeds of both winners."""
    folds = [fold for fold in range(one.folds) if all(_is_scored(each, fold) for each in (one, other))]
    sides = [
        np.stack([predictions.of(int(best.trial), seed, folds) for seed in best.seeds])
        for best, predictions in ((one, first), (other, second))
    ]
    images = first.images(folds)
    labels, groups = images["label"].to_numpy(dtype=np.int64), images["group"].to_numpy(dtype=str)
    codes = np.unique(groups, return_inverse=True)[1]
    found = paired_jackknife(labels, sides[0], sides[1], codes, objective.removeprefix("tta_"))
    noises = [(best.noise.fold_noise or 0.0) ** 2 / (len(folds) * len(best.seeds)) for best in (one, other)]
    interval = student_interval(found.value, found.variance + sum(noises), max(1, found.num_groups - 1))
    seeds = f"{len(one.seeds)} against {quantity(len(other.seeds), 'seed')}"
    source = f"paired: {folds_text(folds)}, {len(images)} images of {quantity(found.num_groups, 'group')}, {seeds}"
    if None in (one.noise.fold_noise, other.noise.fold_noise):
        source += ", without the noise of training, which was not recorded"
    if max(one.num_complete, other.num_complete) > 1:
        source += ", not corrected for the choice of the winners"
    return _text(interval, objective), source


def _is_scored(best: Best, fold: int) -> bool:
    return best.score.scored_folds is None or fold in best.score.scored_folds


def _unpaired(one: ComparedStudy, other: ComparedStudy, why: str) -> tuple[str, str]:
    """The scores to quote, as if they were measured on independent patients."""
    assert one.best is not None
    assert other.best is not None
    objectives = [score_name(each.objective) for each in (one.best, other.best)]
    if objectives[0] != objectives[1]:
        names = " against ".join(map(objective_name, objectives))
        return NOT_COMPARED, f"{why}; other scores were maximized ({names})"
    if one.headline is None or other.headline is None:
        without = " and ".join(each.name for each in (one, other) if each.headline is None)
        return NOT_COMPARED, f"{why}; no score to quote in {without}"
    interval = independent_difference(one.headline, other.headline)
    source = f"not paired: {why}; scores to quote on {one.best.n} against {other.best.n} images"
    return _text(interval, objectives[0]), source


def _text(interval: Interval, objective: str) -> str:
    name = objective_name(objective)
    if math.isnan(interval.low) and not math.isnan(interval.value):
        # A difference without an interval says nothing.
        return f"{name}: no interval, too few groups of images"
    return f"{name}: {describe_difference(interval)}"
