"""The driver: begins trials, hears their reports, judges, ends them; the only writer of the study folder."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from leukemia.config.results import Epoch, FoldResult
from leukemia.data.catalog import Catalog
from leukemia.study.folder import State, Study
from search.policy.backlog import Backlog, Known
from search.policy.effort import effort
from search.policy.health import MAX_RESCHEDULES, Rescheduled
from search.policy.judge import Contender
from search.policy.race import FoldEvidence, Job, Race, Rules
from search.sampling.journal import Journal
from search.trials.evidence import check_journal, observations
from search.trials.history import remember, seconds_spent, unfinished_repeats
from search.trials.listeners import Display, Tracker


@dataclass(frozen=True, kw_only=True)
class Limits:
    """When a search has done enough."""

    num_trials: int
    budget_hours: float = math.inf
    """Device hours; no trial and no repeat begins once they are spent."""


class Driver:
    """One search over one study. It knows nothing of Ray, so that it can be driven by a loop in a test.

    Jobs are of two kinds: a trial, which Optuna proposed and the race may stop, and a repeat of a complete trial with
    another seed, which is run to its end and is no trial of Optuna's.
    """

    def __init__(
        self,
        study: Study,
        journal: Journal,
        catalog: Catalog,
        *,
        limits: Limits,
        rules: Rules,
        tracker: Tracker,
        display: Display,
        on_best: Callable[[Race], None],
    ) -> None:
        """
        Args:
            on_best: called when the winner or what is known of it changes, before anything says that a trial has ended.

        Raises:
            UserError: study folder, journal and data contradict each other.
        """
        self._study, self._journal, self._catalog = study, journal, catalog
        self._limits, self._rules = limits, rules
        self._tracker, self._display, self._on_best = tracker, display, on_best
        self._race = Race(rules)
        self._running: set[Job] = set()
        self._stopped: dict[Job, str] = {}
        self._failures: dict[Job, str] = {}
        self._put_back: dict[Job, Rescheduled] = {}
        self._times_back: Counter[Job] = Counter()
        self._said: set[str] = set()
        check_journal(study, journal.ends())
        self._device_seconds = seconds_spent(study)
        self._best: Contender | None = None
        self._seeds = remember(study, catalog, self._race)
        self._backlog = Backlog(self._cost)
        for known in (*self._settle(), *map(self._repeat, unfinished_repeats(study, self._seeds))):
            self._backlog.add(known)
        # A driver that died may not have announced it; and one that was taken over was never announced.
        self._note_best()
        self._recall()

    @property
    def race(self) -> Race:
        """Who leads, and by how much."""
        return self._race

    @property
    def best(self) -> Contender | None:
        """The winner so far."""
        return self._best

    def begin(self, places: int = 1) -> dict[str, Any] | None:
        """The next job as its worker needs it (number, seed, recipe as flat keys, finished folds).

        None where there is nothing to run now: for good when no job is running (``idle``), else until one ends.

        Args:
            places: how many jobs run at once. When no more trials are left than that, all are asked for and the
                costliest begin first, or the last one would keep everybody waiting; with one place nothing changes.
        """
        job, recipe = self._next(places) or (None, None)
        if job is None or recipe is None:
            return None
        self._running.add(job)
        self._race.begin(job)
        scores = self._scores(job)
        if self._is_repeat(job):
            self._study.begin_repeat(*job)
        else:
            if job.number not in self._study.trials():
                self._study.begin_trial(job.number, recipe)
            self._tracker.begin(job.number, recipe)
        self._display.begin(self._label(job), recipe, scores)
        skip = self.folds_done(job)
        if skip and not self._judge(job):
            # Decided before the last driver died: a worker that skips all folds ends the job at once.
            skip = list(range(self._rules.num_folds))
        return {"number": job.number, "seed": job.seed, "recipe": recipe.flat(), "skip": skip}

    def idle(self) -> bool:
        """Whether no job is running."""
        return not self._running

    def _next(self, places: int) -> Known | None:
        known = self._backlog.take(places, ahead=False)
        if known is not None:
            return known
        if self._budget_spent():
            hours = f"{self._limits.budget_hours:g}"
            self._say_once(f"{hours} device hours are spent: no more begin (--budget-hours)", about="budget")
            return None
        repeat = self._race.first_repeat(self._running)
        if repeat is not None:
            return self._repeat(repeat)
        if not len(self._backlog) and self._wants_trials():
            left = self._limits.num_trials - self._journal.num_trials()
            for _ in range(left if left <= places else 1):
                number, recipe = self._journal.ask()
                self._seeds[number] = recipe.train.seed
                self._backlog.add_ahead((Job(number, recipe.train.seed), recipe))
        known = self._backlog.take(places)
        if known is not None:
            return known
        # Not before the last trial has ended: what is repeated should not depend on who was quicker.
        if any(not self._is_repeat(job) for job in self._running):
            return None
        repeat = self._race.last_repeat(self._running)
        return None if repeat is None else self._repeat(repeat)

    def _wants_trials(self) -> bool:
        if self._journal.num_trials() >= self._limits.num_trials:
            return False
        if not self._race.out_of_patience():
            return True
        self._say_once(
            f"no trial of the last {self._race.stale()} has improved the score beyond its noise: no more begin "
            "(--patience)",
            about="patience",
        )
        return False

    def _say_once(self, words: str, *, about: str) -> None:
        if about not in self._said:
            self._said.add(about)
            self._display.note(words)

    def _cost(self, known: Known) -> float:
        job, recipe = known
        return effort(recipe) * (self._rules.num_folds - len(self.folds_done(job)))

    def _repeat(self, job: Job) -> Known:
        return job, self._study.recipe(job.number).with_settings({"train.seed": job.seed})

    def folds_done(self, job: Job) -> list[int]:
        """Numbers of a job's committed folds, ascending."""
        return self._study.folds_done(job.number, job.seed)

    def hear(self, job: Job, report: Epoch | FoldResult | Rescheduled | str) -> bool:
        """Take in what a job reports; returns whether it goes on.

        Args:
            report: an epoch; a finished fold; why it failed, in words; or why it cannot go on where it is.
        """
        if job in self._stopped or job in self._failures or job in self._put_back:
            return False
        if isinstance(report, Rescheduled):
            self._put_back[job] = report
            return False
        if isinstance(report, str):
            self._failures[job] = report
            return False
        if isinstance(report, Epoch):
            if self._study.write_epoch(job.number, report):
                self._device_seconds += report.seconds
                if not self._is_repeat(job):
                    self._tracker.epoch(job.number, report)
                self._display.epoch(self._label(job), report)
            return not self._stopped_by_hand(job)
        if self._study.write_fold(job.number, report, self._catalog.table):
            fold = self._study.fold(job.number, report.seed, report.fold)
            if not self._is_repeat(job):
                self._tracker.fold(job.number, fold)
            score = fold["scores"][self._rules.objective]
            if score is not None:
                self._race.hear(job, report.fold, self._heard(report, score))
                self._display.fold(self._label(job), report.fold, score)
        return self._judge(job)

    def _heard(self, result: FoldResult, score: float) -> FoldEvidence:
        rows = self._catalog.table.loc[result.rows]
        return FoldEvidence(
            labels=rows["label"].to_numpy(),
            groups=observations(rows, self._study.info["protocol"]),
            probabilities=result.probabilities,
            score=score,
            seconds=result.seconds,
        )

    def _stopped_by_hand(self, job: Job) -> bool:
        """Whether a person has stopped the trial from outside; after its last fold that comes too late."""
        folds = len(self.folds_done(job))
        if self._is_repeat(job) or folds == self._rules.num_folds or not self._tracker.is_stopped(job.number):
            return False
        self._stopped[job] = f"stopped by hand in W&B after {folds} of {self._rules.num_folds} folds"
        return True

    def _judge(self, job: Job) -> bool:
        """Tell Optuna the folds so far and ask the judge whether the job goes on; a repeat always does."""
        for done in self.folds_done(job):
            score = self._study.fold(job.number, job.seed, done)["scores"][self._rules.objective]
            if score is None:
                self._failures[job] = f"{self._rules.objective} is undefined in fold {done}"
                return False
            if not self._is_repeat(job):
                self._journal.report(job.number, done, score)
        if self._is_repeat(job):
            return True
        if self._stopped_by_hand(job):
            return False
        verdict = self._race.judge(job.number)
        if not verdict.go_on:
            self._stopped[job] = f"{verdict.reason} after {len(self.folds_done(job))} of {self._rules.num_folds} folds"
        return verdict.go_on

    def end(self, job: Job, process_failed: bool) -> bool:
        """A job has left its place: decide what it was, write it down, tell the tracker, then Optuna.

        Returns:
            Whether it is over; else it was put back, and begins again from its finished folds.
        """
        self._running.discard(job)
        if self._goes_back(job):
            return False
        score: float | None = None
        state: State
        if job in self._failures:
            state, reason = "failed", self._failures[job]
        elif job in self._stopped:
            state, reason = "stopped", self._stopped[job]
        elif len(self.folds_done(job)) == self._rules.num_folds:
            state, reason = "complete", f"all {self._rules.num_folds} folds"
            score = float(np.mean(self._scores(job)))
        else:
            state = "failed"
            reason = "its process died again and again" if process_failed else "it ended before its last fold"
        if self._is_repeat(job):
            self._close_repeat(job, state, reason)
        else:
            self._close(job.number, state, reason, score)
        self._display.end(self._label(job), state, reason, score)
        return True

    def _goes_back(self, job: Job) -> bool:
        """Put a job back whose place was at fault; one that was put back all too often has failed."""
        fault = self._put_back.pop(job, None)
        if fault is None:
            return False
        self._times_back[job] += 1
        if self._times_back[job] > MAX_RESCHEDULES:
            self._failures[job] = f"put back {MAX_RESCHEDULES} times, and again: {fault.words}"
            return False
        self._display.note(f"trial {self._label(job)} is put back: {fault.words}")
        recipe = self._study.recipe(job.number)
        self._backlog.add(self._repeat(job) if self._is_repeat(job) else (job, recipe))
        return True

    def _close(self, number: int, state: State, reason: str, score: float | None) -> None:
        # The journal comes last: a trial that it holds as ended is complete everywhere else.
        self._study.end_trial(number, state, reason, score)
        self._race.end(number, state)
        self._tracker.end(number, state, reason, score)
        self._note_best()
        self._journal.tell(number, state, score, self._race.cost(number))

    def _close_repeat(self, job: Job, state: State, reason: str) -> None:
        if state != "complete":
            self._study.fail_repeat(job.number, job.seed, reason)
            self._race.fail_repeat(job)
        self._note_best()

    def _note_best(self) -> None:
        best = self._race.winner()
        if best is not None and best != self._best:
            self._best = best
            self._on_best(self._race)

    def _is_repeat(self, job: Job) -> bool:
        return job.seed != self._seeds[job.number]

    def _label(self, job: Job) -> str:
        return f"{job.number:04d} seed {job.seed}" if self._is_repeat(job) else f"{job.number:04d}"

    def _settle(self) -> list[Known]:
        """Trials that a dead driver left running: those whose end is written are closed, the rest go on."""
        going_on = []
        for number, recipe in self._journal.adopt():
            self._seeds[number] = recipe.train.seed
            job = Job(number, recipe.train.seed)
            end = self._study.end(number)
            if end is None:
                going_on.append((job, recipe))
                continue
            self._tracker.begin(number, recipe)
            for fold, score in enumerate(self._scores(job)):
                self._journal.report(number, fold, score)
            self._close(number, end["state"], end["reason"], end["score"])
        return going_on

    def _recall(self) -> None:
        for number in self._study.trials():
            end, job = self._study.end(number), Job(number, self._seeds[number])
            if end is not None:
                self._display.recall(self._label(job), self._study.recipe(number), end["state"], self._scores(job))

    def _scores(self, job: Job) -> list[float]:
        """The objective of each committed fold, up to the first where it is undefined."""
        scores: list[float] = []
        for fold in self.folds_done(job):
            score = self._study.fold(job.number, job.seed, fold)["scores"][self._rules.objective]
            if score is None:
                break
            scores.append(score)
        return scores

    def _budget_spent(self) -> bool:
        return self._device_seconds / 3600.0 >= self._limits.budget_hours
