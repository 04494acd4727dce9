"""What a study folder holds of earlier drivers: told to a race that begins again, and added up."""

from __future__ import annotations

from collections.abc import Mapping

from leukemia.data.catalog import Catalog
from leukemia.data.folds import Splits
from leukemia.study.folder import Study
from search.policy.race import FoldEvidence, Job, Race
from search.trials.evidence import Validation, check_ended, observations, predictions, validation_of


def remember(study: Study, catalog: Catalog, race: Race) -> dict[int, int]:
    """Tell a race all finished folds and how trials ended; returns each trial's own seed.

    Raises:
        UserError: a file of the study is not of these data, these folds or this trial.
    """
    seeds = {number: study.recipe(number).train.seed for number in study.trials()}
    if not seeds:
        return seeds
    splits = Splits.load(study.folder / "splits.json", catalog.fingerprint)
    validation = validation_of(splits, catalog)
    for number, own in seeds.items():
        check_ended(study, number, race.rules.objective)
        # What was trained twice is looked at when all is over: too late to hear that the file is damaged.
        study.repeated(number)
        for seed in sorted({own, *study.seeds(number)}, key=lambda seed: (seed != own, seed)):
            _remember_job(study, Job(number, seed), validation, race)
        end = study.end(number)
        if end is not None:
            race.end(number, end["state"])
    return seeds


def _remember_job(study: Study, job: Job, validation: Validation, race: Race) -> None:
    race.begin(job)
    if study.repeat_failure(*job) is not None:
        race.fail_repeat(job)
    for fold, rows in predictions(study, *job, validation):
        record = study.fold(job.number, job.seed, fold)
        score = record["scores"][race.rules.objective]
        if score is not None:
            heard = FoldEvidence(
                labels=rows["label"].to_numpy(),
                groups=observations(rows, study.info["protocol"]),
                probabilities=rows["probability_leukemic"].to_numpy(),
                score=score,
                seconds=record["seconds"],
            )
            race.hear(job, fold, heard)


def unfinished_repeats(study: Study, seeds: Mapping[int, int]) -> list[Job]:
    """Repeats that have begun, have not failed, and lack folds.

    Args:
        seeds: each trial's own.
    """
    repeats = [Job(number, seed) for number, own in seeds.items() for seed in study.seeds(number) if seed != own]
    return [
        job
        for job in repeats
        if len(study.folds_done(*job)) < study.info["folds"] and study.repeat_failure(*job) is None
    ]


def seconds_spent(study: Study) -> float:
    """Device seconds of all epochs that were trained in this study; what was taken over was spent elsewhere."""
    spent = 0.0
    for number in study.trials():
        epochs, origin = study.epochs(number), study.origin(number)
        elsewhere = [] if origin is None else origin["seeds"]
        spent += float(epochs.loc[~epochs["seed"].isin(elsewhere), "seconds"].sum())
    return spent
