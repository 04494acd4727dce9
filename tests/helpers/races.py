"""Races of synthetic trials: folds with given scores, without training."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from leukemia.study.job import Job
from search.policy.race import FoldEvidence, Race
from search.policy.rules import Rules

NUM_FOLDS = 3
NUM_IMAGES = 40
"""Per fold, in groups of five."""

RULES = Rules(num_folds=NUM_FOLDS, objective="tta_accuracy")


def evidence_of(job: Job, fold: int, score: float, seconds: float = 10.0) -> FoldEvidence:
    """A fold with this share of correct predictions; which images are correct depends on the job."""
    labels = np.arange(NUM_IMAGES) % 2
    order = np.random.default_rng([job.number, job.seed, fold]).permutation(NUM_IMAGES)
    correct = order < round(score * NUM_IMAGES)
    return FoldEvidence(
        labels=labels,
        groups=np.array([f"{fold}-{image // 5}" for image in range(NUM_IMAGES)]),
        probabilities=np.where(correct == (labels == 1), 0.8, 0.2),
        score=score,
        seconds=seconds,
    )


def run(race: Race, number: int, *scores: float, seed: int = 0, seconds: float = 10.0) -> None:
    """Run a trial or a repeat from start to end; a trial with all folds is complete, otherwise stopped."""
    job = Job(number, seed)
    is_trial = job.number not in race.trials()
    race.begin(job)
    for fold, score in enumerate(scores):
        race.add(job, fold, evidence_of(job, fold, score, seconds))
    if is_trial:
        race.end(number, "complete" if len(scores) == NUM_FOLDS else "stopped")


def race_of(*trials: tuple[float, ...], **rules: Any) -> Race:
    """A race of trials numbered from 0, each with its fold scores."""
    race = Race(replace(RULES, **rules))
    for number, scores in enumerate(trials):
        run(race, number, *scores)
    return race
