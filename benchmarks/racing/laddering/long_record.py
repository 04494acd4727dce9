"""The record of learning curves over a long schedule (``record_rungs``) as a table of which every fold is known.

Only some recipes were trained on all folds: the best on fold 0 and some drawn from the rest. A recipe that has fold 0
alone takes its other folds from the drawn one that is nearest in the score of fold 0. It was not among the best there,
so which folds it is lent hardly decides what a search finds.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import pandas as pd
from scipy.special import expit

from benchmarks.racing.rungs.jobs import Extent, Job, jobs_of
from benchmarks.racing.rungs.tables import ABOUT, EPOCHS, IMAGES, KEY, MEASUREMENTS
from leukemia.base.files import read_json
from search.policy.early_stopping import judge_fold


@dataclass(frozen=True, kw_only=True, eq=False)
class LongRecord:
    """A recorded fold is an entry of each array; recipes that diverged have an accuracy of 0 from then on."""

    recipes: tuple[Mapping[str, Any], ...]
    """Flat keys; recipe 0 is the starting recipe."""

    space: Mapping[str, Any]

    accuracy: np.ndarray
    """float64 (recipes, folds, epochs): validation accuracy without TTA, on all images at rungs, else on some."""

    losses: np.ndarray
    """float64 (recipes, epochs): validation loss in fold 0; NaN after a recipe diverged."""

    scores: np.ndarray
    """float64 (recipes, folds): accuracy with TTA."""

    right: np.ndarray
    """bool (recipes, images), with TTA; images are ordered by fold."""

    fold_rows: tuple[slice, ...]

    seconds: np.ndarray
    """float64 (recipes, folds, epochs)."""

    hopeless: np.ndarray
    """bool (recipes,): no better than chance in fold 0, or diverged there."""

    repeated: tuple[np.ndarray, np.ndarray]
    """Accuracy of some recipes with their own seed and with a second one, float64 (recipes, folds, epochs)."""


def unfinished(folder: Path) -> str | None:
    """Why a folder contains no finished record; None if it does."""
    if not all((folder / name).is_file() for name in (EPOCHS, MEASUREMENTS, IMAGES, ABOUT)):
        return f"{folder} contains no record of learning curves"
    extent = Extent(**read_json(folder / ABOUT)["spec"]["extent"])
    done = {Job(*key) for key in pd.read_parquet(folder / EPOCHS, columns=KEY).drop_duplicates().to_numpy().tolist()}
    count = extent.num_recipes + (extent.num_folds - 1) * (extent.num_best + extent.num_others)
    count += extent.num_folds * extent.num_repeated
    return None if len(done) >= count else f"{folder} is unfinished: {len(done)} of {count} folds"


@functools.cache
def read_long(folder: Path) -> LongRecord:
    """Read a finished record."""
    about = read_json(folder / ABOUT)
    extent, num_epochs = Extent(**about["spec"]["extent"]), int(about["spec"]["settings"]["train.epochs"])
    folds = _Folds(folder, num_epochs)
    lenders = _lenders(extent, folds)
    where = [
        [Job(0, recipe if fold == 0 else lenders[recipe], fold) for fold in range(extent.num_folds)]
        for recipe in range(extent.num_recipes)
    ]
    right = [[folds.right(job) for job in jobs] for jobs in where]
    ends = np.cumsum([0, *(len(each) for each in right[0])])
    twice = sorted({job.recipe for job in folds.jobs if job.seed == 1})
    return LongRecord(
        recipes=tuple(about["recipes"]),
        space=about["space"],
        accuracy=np.array([[folds.accuracy(job) for job in jobs] for jobs in where]),
        losses=np.array([folds.losses(jobs[0]) for jobs in where]),
        scores=np.array([[each.mean() for each in row] for row in right]),
        right=np.array([np.concatenate(row) for row in right]),
        fold_rows=tuple(slice(int(start), int(end)) for start, end in itertools.pairwise(ends)),
        seconds=np.array([[folds.seconds(job) for job in jobs] for jobs in where]),
        hopeless=np.array([folds.is_hopeless(jobs[0]) for jobs in where]),
        repeated=tuple(  # type: ignore[arg-type]
            np.array([[folds.accuracy(Job(seed, each, k)) for k in range(extent.num_folds)] for each in twice])
            for seed in (0, 1)
        ),
    )


def _lenders(extent: Extent, folds: _Folds) -> list[int]:
    """For each recipe the one whose folds 1 and up it has: itself if it was trained on them."""
    scores = {job: float(folds.right(job).mean()) for job in folds.jobs}
    complete = [job.recipe for job in jobs_of(extent, scores.__getitem__) if job.seed == 0 and job.fold == 1]
    drawn = complete[extent.num_best :]

    def lender(recipe: int) -> int:
        score = scores[Job(0, recipe, 0)]
        return min(drawn, key=lambda other: (abs(scores[Job(0, other, 0)] - score), other))

    return [recipe if recipe in complete else lender(recipe) for recipe in range(extent.num_recipes)]


class _Folds:
    """The measurements of each recorded fold."""

    def __init__(self, folder: Path, num_epochs: int) -> None:
        self._num_epochs = num_epochs
        images = pd.read_parquet(folder / IMAGES)
        self._labels = {
            "all": images.groupby("fold")["label"].agg(np.asarray),
            "sample": images[images["sample"]].groupby("fold")["label"].agg(np.asarray),
        }
        epochs = pd.read_parquet(folder / EPOCHS)
        measured = pd.read_parquet(folder / MEASUREMENTS)
        self._seconds = _by_job(epochs[epochs["epoch"] > 0])
        self._plain = _by_job(measured[measured["form"] == "plain"])
        self._tta = {
            Job(*key): log_odds
            for *key, log_odds in measured[measured["form"] == "tta"][[*KEY, "log_odds"]].itertuples(index=False)
        }
        self.jobs = [Job(*key) for key in epochs[KEY].drop_duplicates().to_numpy().tolist()]

    def right(self, job: Job) -> np.ndarray:
        """Whether each image is classified correctly at the end, with TTA: bool (images,)."""
        labels = self._labels["all"][job.fold]
        return (self._tta[job] >= 0) == labels if job in self._tta else np.zeros(len(labels), dtype=bool)

    def is_hopeless(self, job: Job) -> bool:
        """Whether the search would stop a recipe after this fold without comparing it."""
        if job not in self._tta:
            return True
        labels = self._labels["all"][job.fold].astype(np.int64)
        probabilities = expit(self._tta[job].astype(np.float64))
        every = np.arange(len(labels))
        return not judge_fold(labels, probabilities, every, np.full(len(labels), job.fold)).continues

    def accuracy(self, job: Job) -> np.ndarray:
        """Accuracy after each epoch, float64 (epochs,)."""
        found = np.zeros(self._num_epochs)
        for epoch, log_odds, labels in self._measured(job):
            found[epoch - 1] = ((log_odds >= 0) == labels).mean()
        return found

    def losses(self, job: Job) -> np.ndarray:
        """Cross-entropy after each epoch in nats, float64 (epochs,)."""
        found = np.full(self._num_epochs, np.nan)
        for epoch, log_odds, labels in self._measured(job):
            found[epoch - 1] = np.logaddexp(0, np.where(labels == 1, -log_odds, log_odds).astype(np.float64)).mean()
        return found

    def seconds(self, job: Job) -> np.ndarray:
        """Time of each epoch's steps, float64 (epochs,); 0 after the training diverged."""
        found = np.zeros(self._num_epochs)
        if job in self._seconds:
            rows = self._seconds[job]
            found[rows["epoch"].to_numpy() - 1] = rows["seconds"].to_numpy()
        return found

    def _measured(self, job: Job) -> list[tuple[int, np.ndarray, np.ndarray]]:
        if job not in self._plain:
            return []
        rows = self._plain[job][["epoch", "extent", "log_odds"]].itertuples(index=False)
        return [(epoch, log_odds, self._labels[extent][job.fold]) for epoch, extent, log_odds in rows]


def _by_job(rows: pd.DataFrame) -> dict[Job, pd.DataFrame]:
    return {Job(*cast(tuple[int, int, int], key)): of_job for key, of_job in rows.groupby(KEY)}
