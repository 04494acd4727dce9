"""The race as a whole, in memory: who leads, who may still win, what to run next. Knows neither disk nor Ray."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy.special import stdtrit

from leukemia.scoring.jackknife import Difference, paired_jackknife
from leukemia.scoring.metrics import Interval
from leukemia.scoring.selection import Candidates
from leukemia.study.job import Job
from leukemia.study.schema import State
from search.policy.judge import Contender, Verdict, best_of, fold_noise, judge_fold, judge_race
from search.policy.rules import Rules


@dataclass(frozen=True, kw_only=True)
class FoldEvidence:
    """A finished fold as the race needs it: the same images in the same order from every trial."""

    labels: np.ndarray
    """int64 (n,)."""

    groups: np.ndarray
    """(n,), hashables."""

    probabilities: np.ndarray
    """float64 (n,), of class 1."""

    score: float
    """The objective."""

    seconds: float
    """Device seconds."""


class Race:
    """Takes in finished folds and answers questions. What it answers depends on the folds, not on their order."""

    def __init__(self, rules: Rules) -> None:
        self.rules = rules
        self._folds: dict[Job, dict[int, FoldEvidence]] = {}
        self._first: dict[int, Job] = {}
        self._jobs: dict[int, list[Job]] = {}
        self._ends: dict[int, State] = {}
        self._failed_repeats: set[Job] = set()

    def begin(self, job: Job) -> None:
        """A trial, or a repeat of one, is run. The first job of a number is the trial itself."""
        self._first.setdefault(job.number, job)
        if job not in self._folds:
            self._folds[job] = {}
            self._jobs.setdefault(job.number, []).append(job)

    def add(self, job: Job, fold: int, evidence: FoldEvidence) -> None:
        """Take in a finished fold of a begun job."""
        self._folds[job][fold] = evidence

    def end(self, number: int, state: State) -> None:
        """A trial has ended."""
        self._ends[number] = state

    def fail_repeat(self, job: Job) -> None:
        """A repeat has ended without all folds: it counts for nothing and is not tried again."""
        self._failed_repeats.add(job)

    def judge(self, number: int) -> Verdict:
        """Whether a trial goes on, after the folds known of it: is it any good, and may it still win?"""
        job = self._first[number]
        folds = sorted(self._folds[job])
        verdict = self._judge_alone(job, folds)
        reference = self.leader()
        if not verdict.go_on or not self.rules.racing or reference is None or reference.number == number:
            return verdict
        jobs = self.complete_jobs(reference.number)
        return judge_race(
            self._difference([job], jobs, folds),
            folds_seen=len(folds),
            num_folds=self.rules.num_folds,
            noise=self.noise(),
            num_rivals=self._num_rivals(),
            reference_seeds=len(jobs),
            margin=self.rules.margin,
            error=self.rules.error,
        )

    def _num_rivals(self) -> int:
        """Trials that the reference was chosen from."""
        return len(self.contenders())

    def _judge_alone(self, job: Job, folds: list[int]) -> Verdict:
        seen = [self._folds[job][fold] for fold in folds]
        return judge_fold(
            np.concatenate([each.labels for each in seen]),
            np.concatenate([each.probabilities for each in seen]),
            np.concatenate([each.groups for each in seen]),
            np.repeat(folds, [len(each.labels) for each in seen]),
        )

    def contenders(self) -> list[Contender]:
        """The complete trials, ascending."""
        return [
            Contender(number=number, fold_scores=tuple(self._scores(number)))
            for number, state in sorted(self._ends.items())
            if state == "complete"
        ]

    def _scores(self, number: int) -> Iterator[float]:
        for job in self.complete_jobs(number):
            yield from (evidence.score for _, evidence in sorted(self._folds[job].items()))

    def trials(self) -> list[int]:
        """Numbers of all started trials, in the order in which they started."""
        return list(self._first)

    def is_complete(self, number: int) -> bool:
        """Whether a trial has ended with all folds."""
        return self._ends.get(number) == "complete"

    def jobs(self, number: int) -> list[Job]:
        """A trial and all its repeats, finished or not, in the order in which they started."""
        return self._jobs.get(number, [])

    def complete_jobs(self, number: int) -> list[Job]:
        """The trial and its repeats, as far as they have all folds; the trial first."""
        first = self._first[number]
        ordered = sorted(self._jobs[number], key=lambda job: (job != first, job.seed))
        complete = [job for job in ordered if len(self._folds[job]) == self.rules.num_folds]
        return [job for job in complete if job not in self._failed_repeats]

    def candidates(self) -> Candidates:
        """All complete trials with all their seeds, on the same images, for the correction of the best one's score."""
        folds = range(self.rules.num_folds)
        chosen = [self.complete_jobs(contender.number) for contender in self.contenders()]
        seen = [self._folds[chosen[0][0]][fold] for fold in folds]
        return Candidates(
            labels=np.concatenate([each.labels for each in seen]),
            groups=np.concatenate([each.groups for each in seen]).tolist(),
            folds=np.repeat(folds, [len(each.labels) for each in seen]),
            probabilities=[np.stack([self._predicted(job, list(folds)) for job in jobs]) for jobs in chosen],
        )

    def _predicted(self, job: Job, folds: list[int]) -> np.ndarray:
        return np.concatenate([self._folds[job][fold].probabilities for fold in folds])

    def leader(self) -> Contender | None:
        """The complete trial of the highest score: what others are raced against."""
        return best_of(self.contenders())

    def winner(self) -> Contender | None:
        """The leader; with cost as second objective the cheapest complete trial that it does not clearly beat.

        Clearly is more than one standard error of the paired difference (Breiman et al. 1984, the 1-SE rule).
        """
        leader = self.leader()
        if leader is None or not self.rules.by_cost:
            return leader
        close = []
        for contender in self.contenders():
            lost = self.difference(leader.number, contender.number)
            if contender == leader or lost.value <= math.sqrt(self._with_noise(lost, leader.number, contender.number)):
                close.append(contender)
        return min(close, key=lambda contender: (self.cost(contender.number), contender.number))

    def cost(self, number: int) -> float:
        """Device seconds of a trial: all known folds of its first seed."""
        return sum(evidence.seconds for evidence in self._folds[self._first[number]].values())

    def noise(self) -> float:
        """Standard deviation of a fold's noise, in score, from this study's repeats, else from the prior."""
        differences: list[Difference] = []
        for number in self._first:
            jobs = self.complete_jobs(number)
            for one, other in itertools.pairwise(jobs):
                differences.extend(self._difference([one], [other], [fold]) for fold in range(self.rules.num_folds))
        return fold_noise(differences, self.rules.prior_noise)

    def difference(self, a: int, b: int) -> Difference:
        """Score of trial a minus score of trial b, both complete, over all folds and seeds."""
        return self._difference(self.complete_jobs(a), self.complete_jobs(b), list(range(self.rules.num_folds)))

    def _difference(self, a: list[Job], b: list[Job], folds: list[int]) -> Difference:
        seen = [self._folds[a[0]][fold] for fold in folds]
        labels, groups = (np.concatenate([getattr(each, name) for each in seen]) for name in ("labels", "groups"))
        sides = [np.stack([self._predicted(job, folds) for job in side]) for side in (a, b)]
        return paired_jackknife(labels, sides[0], sides[1], groups, self.rules.metric)

    def _with_noise(self, difference: Difference, a: int, b: int) -> float:
        """Variance of a difference over all folds: that of the groups, and the noise of each fold and seed."""
        per_seed = self.noise() ** 2 / self.rules.num_folds
        seeds = (len(self.complete_jobs(number)) for number in (a, b))
        return difference.variance + sum(per_seed / count for count in seeds)

    def interval(self, a: int, b: int, level: float = 0.95) -> Interval:
        """``difference`` with its interval by Student's t over groups, fold and seed noise included; else NaN."""
        difference = self.difference(a, b)
        spread = stdtrit(max(1, difference.num_groups - 1), (1 + level) / 2) * math.sqrt(
            self._with_noise(difference, a, b)
        )
        return Interval(difference.value, difference.value - spread, difference.value + spread)

    def stale(self) -> int:
        """Trials ended in a row, by number, since the best score last rose by more than its noise."""
        mark, since = -math.inf, 0
        scores = {contender.number: contender.score for contender in self.contenders()}
        step = self.noise() / math.sqrt(self.rules.num_folds)
        for number in sorted(self._ends):
            if scores.get(number, -math.inf) > mark + step:
                mark, since = scores[number], 0
            elif number >= self.rules.num_priors:
                since += 1
        return since

    def out_of_patience(self) -> bool:
        """Whether no trial has improved beyond noise for so long that no more should begin."""
        return self.stale() >= self.rules.patience
