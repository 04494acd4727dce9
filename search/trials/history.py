"""Replay a study folder after a restart: folds and trials in the order in which they ended, with the same verdicts."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from leukemia.data.catalog import Catalog
from leukemia.data.folds import Splits
from leukemia.study import layout
from leukemia.study.epochs import epochs_of
from leukemia.study.folder import Study
from leukemia.study.job import Job
from leukemia.study.schema import FoldRecord, TrialEnd
from leukemia.study.times import fold_ended, trial_ended
from search.policy.rules import Rules
from search.trials.evidence import Validation, predictions, validation_of
from search.trials.progress import Progress

BEFORE = -math.inf
"""When what was reused from earlier studies ended."""


@dataclass(frozen=True, order=True)
class _Event:
    """The end of a fold or, after its folds, of a trial. Events are ordered by time."""

    seconds: float
    """Since 1970; times of older versions may be equal."""

    is_end: bool
    number: int
    seed: int
    fold: int
    replay: Callable[[Progress], None] = field(compare=False)


def replay(study: Study, catalog: Catalog, rules: Rules) -> Progress:
    """All jobs of earlier drivers with their finished folds, and how the trials ended; after ``check_journal``.

    The study's clock goes on from the last of these times.

    Raises:
        UserError: a file of the study does not match the data, the folds or the trial.
    """
    progress = Progress(rules, study.info.protocol)
    numbers = study.trials()
    if not numbers:
        return progress
    validation = validation_of(Splits.load(study.folder / layout.SPLITS, catalog.fingerprint), catalog)
    for number in numbers:
        _register(study, number, progress)
    for event in sorted(_events(study, list(progress), validation)):
        event.replay(progress)
        if event.seconds > BEFORE:
            study.clock.note(event.seconds)
    return progress


def _register(study: Study, number: int, progress: Progress) -> None:
    """Register a trial with its repeats and epochs, whose order does not matter."""
    # Otherwise first read at the end of the search, which is too late to find that the file is damaged.
    study.repeated(number)
    recipe = study.recipe(number)
    job = Job(number, recipe.train.seed)
    progress.begin(job, recipe)
    for epoch in epochs_of(study.epochs(number), job.seed):
        progress.add_epoch(job, epoch)
    for seed in study.seeds(number):
        if seed == job.seed:
            continue
        repeat = Job(number, seed, is_repeat=True)
        progress.begin(repeat, recipe)
        if study.repeat_failure(number, seed) is not None:
            # When does not matter: it lacks a fold or a score, so it never counted.
            progress.race.fail_repeat(repeat)


def _events(study: Study, jobs: list[Job], validation: Validation) -> Iterator[_Event]:
    for job in jobs:
        origin = study.origin(job.number)
        is_reused = origin is not None and job.seed in origin.seeds
        for fold, table in predictions(study, job.number, job.seed, validation):
            record = study.fold(job.number, job.seed, fold)
            # A copy, which does not keep the whole table; the images are the same for all jobs.
            probabilities = table["probability_leukemic"].to_numpy(copy=True)
            yield _Event(
                BEFORE if is_reused else fold_ended(study, job.number, record),
                False,
                job.number,
                job.seed,
                fold,
                functools.partial(_add_fold, job, record, validation[fold], probabilities),
            )
        end = None if job.is_repeat else study.end(job.number)
        if end is not None:
            seconds = trial_ended(study, job.number)
            assert seconds is not None
            yield _Event(
                BEFORE if origin is not None else seconds,
                True,
                job.number,
                job.seed,
                study.info.folds,
                functools.partial(_end_trial, job.number, end),
            )


def _add_fold(
    job: Job, record: FoldRecord, images: pd.DataFrame, probabilities: np.ndarray, progress: Progress
) -> None:
    progress.add(job, record, images, probabilities)
    # The verdict that the trial got when this fold ended, by what was known then: a resume is no look of its own.
    if progress.race.rules.fold_0_chose and not job.is_repeat and progress.undefined(job) is None:
        progress.race.judge(job.number)


def _end_trial(number: int, end: TrialEnd, progress: Progress) -> None:
    progress.end(number, end.state)
    progress.patience.end(number, 0.0 if number < progress.race.rules.num_priors else end.trained)


def unfinished_repeats(study: Study, progress: Progress) -> list[Job]:
    """Repeats that have started, have not failed, and lack folds."""
    return [
        job
        for job in progress
        if job.is_repeat
        and len(progress.folds_done(job)) < study.info.folds
        and study.repeat_failure(job.number, job.seed) is None
    ]


def seconds_spent(study: Study) -> float:
    """Device seconds of all epochs trained in this study, without those of reused trials."""
    spent = 0.0
    for number in study.trials():
        epochs, origin = study.epochs(number), study.origin(number)
        elsewhere = [] if origin is None else origin.seeds
        spent += float(epochs.loc[~epochs["seed"].isin(elsewhere), "seconds"].sum())
    return spent
