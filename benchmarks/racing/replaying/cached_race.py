"""The race with cached intermediate results, which thousands of replays of one table can share."""

from __future__ import annotations

from functools import cached_property
from typing import Protocol

import numpy as np

from benchmarks.racing.replaying.table import Table
from leukemia.study.job import Job
from leukemia.study.schema import State
from search.policy.early_stopping import CONTINUE, Contender, Verdict, judge_fold, judge_race, selection_luck
from search.policy.race import FoldEvidence, Race
from search.policy.rules import Rules

CLEARLY_ABOVE = 0.65
"""Balanced accuracy of a fold, 0.1 above the limit below which a trial is no better than chance."""


class Alone(Protocol):
    """Judges recipes by themselves."""

    def verdict(self, recipe: int, folds: tuple[int, ...]) -> Verdict:
        """Result of ``judge_fold`` after these folds of a recipe."""


class TableCache:
    """What all replays of a table share: the evidence of its folds, and verdicts on recipes by themselves."""

    def __init__(self, seen: Table) -> None:
        self._seen = seen
        self._folds: dict[tuple[int, int, int], FoldEvidence] = {}
        self._verdicts: dict[tuple[int, tuple[int, ...]], Verdict] = {}

    def evidence(self, seed: int, recipe: int, fold: int) -> FoldEvidence:
        """A fold in the form that the race expects."""
        key = (seed, recipe, fold)
        if key not in self._folds:
            seen, rows = self._seen, self._seen.fold_rows[fold]
            self._folds[key] = FoldEvidence(
                labels=seen.labels[rows],
                groups=seen.groups[rows],
                probabilities=seen.probabilities[seed, recipe, rows].astype(np.float64),
                score=float(seen.scores[seed, recipe, fold]),
                seconds=float(seen.fold_seconds[seed, recipe, fold]),
            )
        return self._folds[key]

    def verdict(self, recipe: int, folds: tuple[int, ...]) -> Verdict:
        """Result of ``judge_fold`` after these folds of a recipe."""
        # The bootstrap takes milliseconds; a recipe far above chance in every fold does not need it.
        if (self._balanced[recipe, list(folds)] >= CLEARLY_ABOVE).all():
            return CONTINUE
        key = (recipe, folds)
        if key not in self._verdicts:
            seen, rows = self._seen, np.isin(self._seen.folds, folds)
            self._verdicts[key] = judge_fold(
                seen.labels[rows],
                seen.probabilities[0, recipe, rows].astype(np.float64),
                seen.groups[rows],
                seen.folds[rows],
            )
        return self._verdicts[key]

    @cached_property
    def _balanced(self) -> np.ndarray:
        """Balanced accuracy of each fold of seed 0, float64 (recipes, folds)."""
        right, labels = self._seen.right[0], self._seen.labels
        of_fold = [
            np.mean([right[:, rows][:, labels[rows] == label].mean(axis=1) for label in (0, 1)], axis=0)
            for rows in self._seen.fold_rows
        ]
        return np.stack(of_fold, axis=1)


class CachedRace(Race):
    """``Race`` that recomputes only what may have changed. A test compares its verdicts with those of ``Race``."""

    def __init__(self, rules: Rules, alone: Alone, *, luck: bool = True, early: bool = False) -> None:
        """
        Args:
            alone: shared by all replays of a table.
            luck: whether to correct for the reference being the best of several trials, as ``Race`` always does.
            early: while no trial is complete, compare with the best one that has run the same folds; ``Race`` waits.
        """
        super().__init__(rules)
        self.recipes: dict[int, int] = {}
        self._alone, self._luck, self._early = alone, luck, early
        self._contenders: dict[int, tuple[float, int, Contender]] = {}
        self._noise: float | None = None

    def begin_recipe(self, job: Job, recipe: int) -> None:
        """``begin``, with the recipe of the table that the trial has."""
        self.recipes[job.number] = recipe
        self.begin(job)

    def add(self, job: Job, fold: int, evidence: FoldEvidence) -> None:
        super().add(job, fold, evidence)
        if job != self._first[job.number] and len(self._folds[job]) == self.rules.num_folds:
            self._refresh(job.number)

    def end(self, number: int, state: State) -> None:
        super().end(number, state)
        if state == "complete":
            self._refresh(number)

    def _refresh(self, number: int) -> None:
        if self._ends.get(number) == "complete":
            contender = Contender(number=number, fold_scores=tuple(self._scores(number)))
            self._contenders[number] = (contender.score, -number, contender)
        self._noise = None

    def judge(self, number: int) -> Verdict:
        job = self._first[number]
        verdict = super().judge(number)
        if verdict.continues and self._early and self.leader() is None:
            return self._judge_early(job, sorted(self._folds[job]))
        return verdict

    def _judge_alone(self, job: Job, folds: list[int]) -> Verdict:
        return self._alone.verdict(self.recipes[job.number], tuple(folds))

    def _num_rivals(self) -> int:
        return super()._num_rivals() if self._luck else 1

    def _judge_early(self, job: Job, folds: list[int]) -> Verdict:
        """Compare with the best trial on the same folds, whose selection luck is that of these folds only."""
        rivals = [
            rival
            for rival in self._first.values()
            if rival.number not in self._ends and self._folds[rival].keys() >= set(folds)
        ]
        best = max(rivals, key=lambda rival: sum(self._folds[rival][fold].score for fold in folds))
        if best == job:
            return CONTINUE
        difference = self._difference([job], [best], folds)
        variance = difference.variance + 2 * self.noise() ** 2 / len(folds)
        share = len(folds) / self.rules.num_folds
        more_luck = selection_luck(len(rivals), variance) - selection_luck(len(rivals), variance * share)
        return judge_race(
            difference,
            folds_seen=len(folds),
            num_folds=self.rules.num_folds,
            noise=self.noise(),
            num_rivals=len(rivals),
            margin=self.rules.margin + more_luck,
            error=self.rules.error,
        )

    def contenders(self) -> list[Contender]:
        return [self._contenders[number][2] for number in sorted(self._contenders)]

    def leader(self) -> Contender | None:
        return max(self._contenders.values())[2] if self._contenders else None

    def noise(self) -> float:
        if self._noise is None:
            self._noise = super().noise()
        return self._noise
