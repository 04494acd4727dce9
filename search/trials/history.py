"""Replay a study folder into a new race after a restart."""

from __future__ import annotations

from leukemia.data.catalog import Catalog
from leukemia.data.folds import Splits
from leukemia.study import layout
from leukemia.study.epochs import epochs_of
from leukemia.study.folder import Study
from leukemia.study.job import Job
from search.policy.rules import Rules
from search.trials.evidence import Validation, predictions, validation_of
from search.trials.progress import Progress


def replay(study: Study, catalog: Catalog, rules: Rules) -> Progress:
    """All jobs of earlier drivers with their finished folds, and how the trials ended; after ``check_journal``.

    Raises:
        UserError: a file of the study does not match the data, the folds or the trial.
    """
    progress = Progress(rules, study.info.protocol)
    numbers = study.trials()
    if not numbers:
        return progress
    validation = validation_of(Splits.load(study.folder / layout.SPLITS, catalog.fingerprint), catalog)
    for number in numbers:
        # Otherwise first read at the end of the search, which is too late to find that the file is damaged.
        study.repeated(number)
        recipe = study.recipe(number)
        job = Job(number, recipe.train.seed)
        progress.begin(job, recipe)
        for epoch in epochs_of(study.epochs(number), job.seed):
            progress.add_epoch(job, epoch)
        for seed in study.seeds(number):
            if seed != recipe.train.seed:
                progress.begin(Job(number, seed, is_repeat=True), recipe)
        end = study.end(number)
        if end is not None:
            progress.end(number, end.state)
            progress.patience.end(number, 0.0 if number < rules.num_priors else end.trained)
    for job in progress:
        _replay_job(study, job, validation, progress)
    return progress


def _replay_job(study: Study, job: Job, validation: Validation, progress: Progress) -> None:
    if study.repeat_failure(job.number, job.seed) is not None:
        progress.race.fail_repeat(job)
    for fold, table in predictions(study, job.number, job.seed, validation):
        probabilities = table["probability_leukemic"].to_numpy()
        progress.add(job, study.fold(job.number, job.seed, fold), table, probabilities)


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
