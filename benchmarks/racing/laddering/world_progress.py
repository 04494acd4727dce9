"""The search's race, ladder and progress, with results that come from a world instead of a study folder."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from benchmarks.racing.laddering.quick_ladder import QuickLadder
from benchmarks.racing.laddering.world import World
from benchmarks.racing.replaying.cached_race import CachedRace
from leukemia.scoring.jackknife import Difference
from leukemia.study.job import Job
from leukemia.study.schema import FoldRecord
from search.policy.race import FoldEvidence
from search.policy.rules import Rules
from search.trials.progress import Progress

NO_IMAGES = np.zeros(0)
"""A world knows how recipes compare; the race needs no predictions."""


class WorldRace(CachedRace):
    """The race between recipes of a world, without repeats."""

    def __init__(self, rules: Rules, world: World) -> None:
        assert rules.repeats == 0
        super().__init__(rules, world.alone)
        self._world = world

    def noise(self) -> float:
        return self.rules.prior_noise

    def _difference(self, a: list[Job], b: list[Job], folds: list[int]) -> Difference:
        return self._world.pairs.difference(self.recipes[a[0].number], self.recipes[b[0].number], folds)


class WorldProgress(Progress):
    """``Progress`` of a search that never runs out of patience."""

    def __init__(self, rules: Rules, world: World, proposed: Sequence[int]) -> None:
        """
        Args:
            proposed: recipes of the world by the trial's number; may become longer.
        """
        super().__init__(rules, "random-cell")
        self.race: WorldRace = WorldRace(rules, world)
        self.ladder = QuickLadder(rules, rules.rungs)
        self._world, self._proposed = world, proposed

    def begin_trial(self, job: Job) -> None:
        """Register a trial; a no-op for a registered one."""
        recipe = self._proposed[job.number]
        self.race.recipes[job.number] = recipe
        self.begin(job, self._world.recipes[recipe])

    def finish_epoch(self, job: Job, fold: int, epoch: int) -> None:
        """Add an epoch of a registered trial."""
        self.add_epoch(job, self._world.epoch(self._proposed[job.number], fold, epoch))

    def finish_fold(self, job: Job, fold: int) -> None:
        """Add a finished fold of a registered trial."""
        recipe = self._proposed[job.number]
        score, seconds = float(self._world.scores[recipe, fold]), 0.0
        scores: dict[str, float | None] = {self.race.rules.objective: score}
        self._folds[job][fold] = FoldRecord(fold=fold, seed=0, n=1, scores=scores, seconds=seconds, device="")
        if fold == 0:
            self.ladder.add_score(job.number, score)
        evidence = FoldEvidence(
            labels=NO_IMAGES, groups=NO_IMAGES, probabilities=NO_IMAGES, score=score, seconds=seconds
        )
        self.race.add(job, fold, evidence)

    def out_of_patience(self) -> None:
        return None
