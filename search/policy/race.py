"""The race between trials, in memory: which one leads, and which can still win."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from leukemia.scoring.jackknife import Difference, paired_jackknife
from leukemia.scoring.metrics import Interval
from leukemia.scoring.paired import fold_noise, paired_interval, with_noise
from leukemia.scoring.selection import Candidates
from leukemia.study.job import Job
from leukemia.study.schema import State
from search.policy.early_stopping import CONTINUE, Contender, Verdict, best_of, judge_fold, judge_race
from search.policy.patience import last_improvement
from search.policy.rules import Rules


@dataclass(frozen=True, kw_only=True)
class FoldEvidence:
    """A finished fold as the race needs it; every trial has the same images in the same order."""

    labels: np.ndarray
    """int64 (n,)."""

    groups: np.ndarray
    """(n,), hashable."""

    probabilities: np.ndarray
    """float64 (n,), of class 1."""

    score: float
    """The objective."""

    seconds: float
    """Device seconds."""


class Race:
    """Collects finished folds and compares trials.

    Results do not depend on the order in which folds arrive, but a verdict is by what has arrived when it is asked for.
    """

    def __init__(self, rules: Rules) -> None:
        self.rules = rules
        self._folds: dict[Job, dict[int, FoldEvidence]] = {}
        self._first: dict[int, Job] = {}
        self._jobs: dict[int, list[Job]] = {}
        self._ends: dict[int, State] = {}
        self._failed_repeats: set[Job] = set()
        self._looks: dict[tuple[int, int], Verdict] = {}
        self._latest_noise: float | None = None
        """Until another job has all folds."""

    def begin(self, job: Job) -> None:
        """Register a trial or a repeat. The first job with a number is the trial itself."""
        self._first.setdefault(job.number, job)
        if job not in self._folds:
            self._folds[job] = {}
            self._jobs.setdefault(job.number, []).append(job)

    def add(self, job: Job, fold: int, evidence: FoldEvidence) -> None:
        """Add a finished fold of a registered job."""
        self._folds[job][fold] = evidence
        if len(self._folds[job]) == self.rules.num_folds:
            self._latest_noise = None

    def end(self, number: int, state: State) -> None:
        """Record how a trial ended."""
        self._ends[number] = state

    def fail_repeat(self, job: Job) -> None:
        """Record that a repeat ended without all folds: it is ignored and not retried."""
        self._failed_repeats.add(job)
        self._latest_noise = None

    def judge(self, number: int) -> Verdict:
        """Whether a trial continues after its folds so far: is it better than chance, and can it still win?

        If fold 0 has chosen which trials run on (``Rules.fold_0_chose``), there is one look for each number of finished
        folds: a trial that has waited, or whose job begins again, gets the verdict of the first time, also after a
        resume, which replays folds and ends in their order. In a comparison every trial continues.
        """
        if self.rules.compares:
            return CONTINUE
        look = number, len(self._folds[self._first[number]])
        if look in self._looks:
            return self._looks[look]
        verdict = self._judge_now(number)
        if self.rules.fold_0_chose:
            self._looks[look] = verdict
        return verdict

    def _judge_now(self, number: int) -> Verdict:
        job = self._first[number]
        folds = sorted(self._folds[job])
        verdict = self._judge_alone(job, folds)
        reference = self.leader()
        if not verdict.continues or not self.rules.racing or reference is None or reference.number == number:
            return verdict
        jobs = self.complete_jobs(reference.number)
        return judge_race(
            self._difference([job], jobs, folds),
            folds_seen=len(folds),
            num_folds=self.rules.num_folds,
            noise=self.noise(),
            num_rivals=self._num_rivals(),
            reference_seeds=len(jobs),
            first_look=self.rules.first_look,
            margin=self.rules.margin,
            error=self.rules.error,
        )

    def _num_rivals(self) -> int:
        """Number of trials that the reference was chosen from.

        If fold 0 has chosen among them, these are all trials that have finished it, whatever became of them. Trials
        reused from earlier studies count as well, because the reference may be one of them.
        """
        if self.rules.fold_0_chose:
            return sum(0 in self._folds[job] for job in self._first.values())
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
        """The complete trials, in ascending order of their numbers."""
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

    def has_ended(self, number: int) -> bool:
        """Whether a trial has ended, complete or not."""
        return number in self._ends

    def jobs(self, number: int) -> list[Job]:
        """A trial and all its repeats, finished or not, in the order in which they started."""
        return self._jobs.get(number, [])

    def complete_jobs(self, number: int) -> list[Job]:
        """A trial and its repeats that have all folds; the trial first, repeats by seed."""
        first = self._first[number]
        ordered = sorted(self._jobs[number], key=lambda job: (job != first, job.seed))
        complete = [job for job in ordered if len(self._folds[job]) == self.rules.num_folds]
        return [job for job in complete if job not in self._failed_repeats]

    def candidates(self) -> Candidates:
        """All complete trials with all their seeds, on the same images, to correct the winner's score."""
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
        """The complete trial with the highest score: the reference that others are compared with."""
        return best_of(self.contenders())

    def winner(self) -> Contender | None:
        """The leader; with cost as second objective, the cheapest complete trial that is not clearly worse.

        Clearly worse means by more than one standard error of the paired difference (1-SE rule, Breiman et al. 1984).
        """
        leader = self.leader()
        if leader is None or not self.rules.by_cost:
            return leader
        close = []
        for contender in self.contenders():
            gap = self.difference(leader.number, contender.number)
            if contender == leader or gap.value <= math.sqrt(self._with_noise(gap, leader.number, contender.number)):
                close.append(contender)
        return min(close, key=lambda contender: (self.cost(contender.number), contender.number))

    def cost(self, number: int) -> float:
        """Device seconds of a trial: all finished folds, repeats excluded."""
        return sum(evidence.seconds for evidence in self._folds[self._first[number]].values())

    def noise(self) -> float:
        """Standard deviation of the fold noise, in score, from this study's repeats, or the prior without repeats."""
        if self._latest_noise is None:
            differences: list[Difference] = []
            for number in sorted(self._first):
                for one, other in itertools.pairwise(self.complete_jobs(number)):
                    differences.extend(self._difference([one], [other], [fold]) for fold in range(self.rules.num_folds))
            self._latest_noise = fold_noise(differences, self.rules.prior_noise)
        return self._latest_noise

    def difference(self, a: int, b: int) -> Difference:
        """Score of trial ``a`` minus score of trial ``b``, both complete, over all folds and seeds."""
        return self._difference(self.complete_jobs(a), self.complete_jobs(b), list(range(self.rules.num_folds)))

    def _difference(self, a: list[Job], b: list[Job], folds: list[int]) -> Difference:
        seen = [self._folds[a[0]][fold] for fold in folds]
        labels, groups = (np.concatenate([getattr(each, name) for each in seen]) for name in ("labels", "groups"))
        sides = [np.stack([self._predicted(job, folds) for job in side]) for side in (a, b)]
        return paired_jackknife(labels, sides[0], sides[1], groups, self.rules.metric)

    def _with_noise(self, difference: Difference, a: int, b: int) -> float:
        return with_noise(difference, self.noise(), self.rules.num_folds, self._num_seeds(a, b))

    def _num_seeds(self, a: int, b: int) -> tuple[int, int]:
        return len(self.complete_jobs(a)), len(self.complete_jobs(b))

    def interval(self, a: int, b: int, level: float = 0.95) -> Interval:
        """``difference`` with its interval, as ``leukemia.scoring.paired.paired_interval``."""
        noise, num_folds = self.noise(), self.rules.num_folds
        return paired_interval(self.difference(a, b), noise, num_folds, self._num_seeds(a, b), level)

    def score_noise(self) -> float:
        """Standard deviation of the noise of a score, the mean over all folds."""
        return self.noise() / math.sqrt(self.rules.num_folds)

    def trials_without_improvement(self) -> int:
        """Number of trials ended, in order of their numbers, since the best score last rose by more than its noise."""
        scores = {contender.number: contender.score for contender in self.contenders()}
        ended = sorted(self._ends)
        last = last_improvement([scores.get(number, -math.inf) for number in ended], self.score_noise())
        return sum(number >= self.rules.num_priors for number in ended[last + 1 :])

    def out_of_patience(self) -> bool:
        """Whether ``Rules.patience`` trials in a row have not improved beyond noise, so that no more should start."""
        return self.trials_without_improvement() >= self.rules.patience
