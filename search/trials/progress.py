"""Results of all jobs of a study, in memory; the study folder is read only when the study is opened."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import pandas as pd

from leukemia.config.recipe import Recipe
from leukemia.config.results import Epoch
from leukemia.study.job import Job
from leukemia.study.ladder import Place
from leukemia.study.schema import FoldRecord, State
from search.policy.ladder import Ladder
from search.policy.patience import Patience
from search.policy.race import FoldEvidence, Race
from search.policy.rules import Rules
from search.policy.task import Task
from search.trials.evidence import observations


class Progress:
    """Recipes and finished folds of all jobs, the race between the trials, and the ladder that they climb."""

    def __init__(self, rules: Rules, protocol: str) -> None:
        self.race = Race(rules)
        self.ladder = Ladder(rules, rules.rungs)
        self.patience = Patience(rules)
        self._protocol = protocol
        self._recipes: dict[int, Recipe] = {}
        self._folds: dict[Job, dict[int, FoldRecord]] = {}

    def __contains__(self, number: int) -> bool:
        """Whether a trial has started."""
        return number in self._recipes

    def __iter__(self) -> Iterator[Job]:
        """All jobs in the order in which they started."""
        return iter(self._folds)

    def begin(self, job: Job, recipe: Recipe) -> None:
        """Register a job, a trial before its repeats; a no-op for a registered job."""
        self._recipes.setdefault(job.number, recipe)
        self._folds.setdefault(job, {})
        self.race.begin(job)
        if not job.is_repeat:
            self.ladder.begin(job.number, recipe)
            self.patience.begin(job.number, recipe)

    def recipe(self, job: Job) -> Recipe:
        """The recipe of a registered job; that of a repeat is its trial's with another seed."""
        recipe = self._recipes[job.number]
        return recipe.with_settings({"train.seed": job.seed}) if job.is_repeat else recipe

    def add_epoch(self, job: Job, epoch: Epoch) -> None:
        """Add an epoch of a registered job."""
        if not job.is_repeat:
            self.ladder.add_epoch(job.number, epoch)
            self.patience.add_epoch(job.number, epoch)

    def add(self, job: Job, fold: FoldRecord, images: pd.DataFrame, probabilities: np.ndarray) -> None:
        """Add a finished fold of a registered job; it takes part in the race unless the objective is undefined.

        Args:
            fold: the content of its JSON file.
            images: the catalog rows of its validation images.
            probabilities: float64 (n,), of class 1, one per image.
        """
        self._folds[job][fold.fold] = fold
        score = self._score(fold)
        if fold.fold == 0 and not job.is_repeat:
            self.ladder.add_score(job.number, math.nan if score is None else score)
        if score is not None:
            evidence = FoldEvidence(
                labels=images["label"].to_numpy(),
                groups=observations(images, self._protocol),
                probabilities=probabilities,
                score=score,
                seconds=fold.seconds,
            )
            self.race.add(job, fold.fold, evidence)

    def end(self, number: int, state: State) -> None:
        """Record how a trial ended."""
        self.race.end(number, state)
        self.ladder.end(number)

    def place(self, job: Job) -> Place | None:
        """Where a registered job waits; None if it does not. A repeat never waits."""
        return None if job.is_repeat or job.number not in self else self.ladder.place(job.number)

    def stops(self, task: Task) -> list[int]:
        """The epochs of a registered job's task after which it may wait, ascending."""
        return [] if task.job.is_repeat or task.fold > 0 else self.ladder.stops(task.job.number)

    def side_by_side(self, job: Job) -> bool:
        """Whether all open folds of a registered job that runs begin at once, rather than one after the other.

        This is so for repeats and in a comparison, whose jobs always run to their end; with pausing also for the
        starting recipe and for trials that go on to other folds.
        """
        rules = self.race.rules
        if job.is_repeat or rules.compares:
            return True
        return rules.pausing and (job.number == rules.start or 0 in self._folds[job])

    @property
    def trained(self) -> float:
        """Complete trials' worth of what was trained so far, as ``Patience.trained``; in a comparison, of the finished
        folds of all jobs, since most of its work are repeats."""
        if not self.race.rules.compares:
            return self.patience.trained
        return sum(map(len, self._folds.values())) / self.race.rules.num_folds

    def left(self, num_trials: int) -> float:
        """Complete trials' worth that is left until so many trials have ended, as ``Patience.left``; in a comparison,
        until all jobs have."""
        rules = self.race.rules
        if not rules.compares:
            return self.patience.left(num_trials)
        lost = [number for number in self._recipes if self.race.has_ended(number) and not self.race.is_complete(number)]
        jobs = [job for job in self._folds if job.number not in lost]
        done = sum(len(self._folds[job]) for job in jobs) / rules.num_folds
        return max(0.0, (num_trials - len(lost)) * (1 + rules.repeats) - done)

    def out_of_patience(self) -> str | None:
        """Why no more trials should start; None if they should, as always in a comparison."""
        if self.race.rules.compares:
            return None
        if not self.race.rules.pausing:
            if not self.race.out_of_patience():
                return None
            return f"no improvement beyond noise in the last {self.race.trials_without_improvement()} trials"
        since = self._since_improvement()
        if since < self.patience.limit:
            return None
        return f"no improvement beyond noise while {since:.1f} complete trials' worth of epochs were trained"

    def patience_left(self) -> float:
        """Complete trials' worth until no more trials start, if no score improves; an estimate without pausing.

        Infinite in a comparison, in which every trial starts.
        """
        if self.race.rules.compares:
            return math.inf
        if self.race.rules.pausing:
            return max(0.0, self.patience.limit - self._since_improvement())
        left = self.race.rules.patience - self.race.trials_without_improvement()
        return max(0, left) * self.patience.per_trial

    def _since_improvement(self) -> float:
        scores = {contender.number: contender.score for contender in self.race.contenders()}
        return self.patience.since_improvement(scores, self.race.score_noise())

    def folds_done(self, job: Job) -> list[int]:
        """Numbers of a job's finished folds, ascending."""
        return sorted(self._folds.get(job, ()))

    def scores(self, job: Job) -> dict[int, float]:
        """The objective of each finished fold in order, up to the first fold where it is undefined."""
        scores: dict[int, float] = {}
        for number in self.folds_done(job):
            score = self._score(self._folds[job][number])
            if score is None:
                break
            scores[number] = score
        return scores

    def undefined(self, job: Job) -> int | None:
        """The first finished fold where the objective is undefined; None if it is defined in all."""
        return next((fold for fold in self.folds_done(job) if self._score(self._folds[job][fold]) is None), None)

    def devices(self, job: Job) -> list[str]:
        """The distinct devices that a job's folds were trained on, sorted."""
        return sorted({fold.device for fold in self._folds[job].values()})

    def _score(self, fold: FoldRecord) -> float | None:
        return fold.scores[self.race.rules.objective]
