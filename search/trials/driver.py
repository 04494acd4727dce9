"""The driver: begins trials, receives their reports, judges, ends them; the only writer of the study folder."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence

import numpy as np

from leukemia.config.results import Epoch, FoldResult
from leukemia.data.catalog import Catalog
from leukemia.study.folder import Study
from leukemia.study.job import Job
from leukemia.study.listener import Listener
from leukemia.study.schema import State
from search.policy.health import MAX_RESCHEDULES, Rescheduled
from search.policy.judge import Contender
from search.policy.race import Race
from search.policy.rules import Rules
from search.sampling.journal import Journal
from search.trials.assignment import Assignment, Failure, Report
from search.trials.evidence import check_journal
from search.trials.history import replay, seconds_spent, unfinished_repeats
from search.trials.progress import Progress
from search.trials.schedule import Limits, Schedule


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
        listeners: Sequence[Listener],
        on_best: Callable[[Progress], None],
    ) -> None:
        """
        Args:
            listeners: notified in this order.
            on_best: called when the winner or what is known of it changes, before the journal has the trial's end.

        Raises:
            UserError: study folder, journal and data contradict each other.
        """
        self._study, self._journal, self._catalog = study, journal, catalog
        self._rules, self._listeners, self._on_best = rules, listeners, on_best
        self._running: set[Job] = set()
        self._stopped: dict[Job, str] = {}
        self._failures: dict[Job, Failure] = {}
        self._rescheduled: dict[Job, Rescheduled] = {}
        self._times_rescheduled: Counter[Job] = Counter()
        check_journal(study, journal.ends())
        self._best: Contender | None = None
        self._progress = replay(study, catalog, rules)
        self._race = self._progress.race
        self._schedule = Schedule(journal, self._progress, limits, seconds=seconds_spent(study), note=self._note)
        self._settle()
        for repeat in unfinished_repeats(study, self._progress):
            self._schedule.resume(repeat)
        # An earlier driver may have crashed before it announced its best; and one taken over was never announced.
        self._announce_best()
        self._recall()

    @property
    def progress(self) -> Progress:
        """What all jobs have achieved."""
        return self._progress

    @property
    def race(self) -> Race:
        """Who leads, and by how much."""
        return self._race

    @property
    def best(self) -> Contender | None:
        """The winner so far."""
        return self._best

    def begin(self, places: int = 1) -> Assignment | None:
        """The next job as its worker needs it.

        None if there is nothing to run now: for good when no job is running (``idle``), else until one ends.

        Args:
            places: how many jobs run at once. When no more trials are left than that, all are asked for and the
                costliest begin first, or the last one would keep everybody waiting; with one place nothing changes.
        """
        known = self._schedule.next(places, self._running)
        if known is None:
            return None
        job, recipe = known
        self._running.add(job)
        if job.is_repeat:
            self._study.begin_repeat(job.number, job.seed)
        elif job.number not in self._progress:
            self._study.begin_trial(job.number, recipe)
        self._progress.begin(job, recipe)
        for listener in self._listeners:
            listener.begin(job, recipe, self._scores(job))
        skip = self.folds_done(job)
        if skip and not self._judge(job):
            # Decided before the last driver crashed: a worker that skips all folds ends the job at once.
            skip = list(range(self._rules.num_folds))
        return Assignment(job=job, recipe=recipe, skip=tuple(skip))

    def idle(self) -> bool:
        """Whether no job is running."""
        return not self._running

    def _note(self, message: str) -> None:
        for listener in self._listeners:
            listener.note(message)

    def folds_done(self, job: Job) -> list[int]:
        """Numbers of a job's committed folds, ascending."""
        return self._progress.folds_done(job)

    def receive(self, job: Job, report: Report) -> bool:
        """Take in what a job reports; returns whether it goes on."""
        if job in self._stopped or job in self._failures or job in self._rescheduled:
            return False
        if isinstance(report, Rescheduled):
            self._rescheduled[job] = report
            return False
        if isinstance(report, Failure):
            self._failures[job] = report
            return False
        if isinstance(report, Epoch):
            self._receive_epoch(job, report)
            return not self._stopped_by_hand(job)
        self._receive_fold(job, report)
        return self._judge(job)

    def _receive_epoch(self, job: Job, epoch: Epoch) -> None:
        if self._study.write_epoch(job.number, epoch):
            self._schedule.spend(epoch.seconds)
            for listener in self._listeners:
                listener.epoch(job, epoch)

    def _receive_fold(self, job: Job, result: FoldResult) -> None:
        table = self._catalog.table
        fold = self._study.write_fold(job.number, result, table)
        if fold is not None:
            self._progress.add(job, fold, table.loc[result.rows], result.probabilities)
            for listener in self._listeners:
                listener.fold(job, fold)

    def _stopped_by_hand(self, job: Job) -> bool:
        """Whether a person has stopped the trial from outside; after its last fold that comes too late."""
        folds = len(self.folds_done(job))
        if job.is_repeat or folds == self._rules.num_folds:
            return False
        if not any(listener.is_stopped(job) for listener in self._listeners):
            return False
        self._stopped[job] = f"stopped by hand in W&B after {folds} of {self._rules.num_folds} folds"
        return True

    def _judge(self, job: Job) -> bool:
        """Tell Optuna the folds so far and ask the judge whether the job goes on; a repeat always does."""
        if not job.is_repeat:
            self._report_scores(job)
        undefined = self._progress.undefined(job)
        if undefined is not None:
            self._failures[job] = Failure(message=f"{self._rules.objective} is undefined in fold {undefined}")
            return False
        if job.is_repeat:
            return True
        if self._stopped_by_hand(job):
            return False
        verdict = self._race.judge(job.number)
        if not verdict.go_on:
            self._stopped[job] = f"{verdict.reason} after {len(self.folds_done(job))} of {self._rules.num_folds} folds"
        return verdict.go_on

    def _report_scores(self, job: Job) -> None:
        for fold, score in self._progress.scores(job).items():
            self._journal.report(job.number, fold, score)

    def end(self, job: Job, process_failed: bool) -> bool:
        """A job has left its place: decide what it was, write it down, notify the listeners, then tell Optuna.

        Returns:
            Whether it is over; else it was rescheduled, and begins again from its finished folds.
        """
        self._running.discard(job)
        if self._reschedule(job):
            return False
        state, reason, score, traceback = self._outcome(job, process_failed)
        if not job.is_repeat:
            self._study.end_trial(job.number, state, reason, score, traceback=traceback)
        elif state != "complete":
            self._study.fail_repeat(job.number, job.seed, reason, traceback=traceback)
        self._close(job, state, reason, score)
        return True

    def _outcome(self, job: Job, process_failed: bool) -> tuple[State, str, float | None, str | None]:
        """State, reason, score and traceback of a job that has ended."""
        if job in self._failures:
            return "failed", self._failures[job].message, None, self._failures[job].traceback
        if job in self._stopped:
            return "stopped", self._stopped[job], None, None
        if len(self.folds_done(job)) == self._rules.num_folds:
            return "complete", f"all {self._rules.num_folds} folds", float(np.mean(self._scores(job))), None
        reason = "its process crashed repeatedly" if process_failed else "it ended before its last fold"
        return "failed", reason, None, None

    def _reschedule(self, job: Job) -> bool:
        """Run a job again whose place was at fault; one that was rescheduled too often has failed."""
        fault = self._rescheduled.pop(job, None)
        if fault is None:
            return False
        self._times_rescheduled[job] += 1
        if self._times_rescheduled[job] > MAX_RESCHEDULES:
            message = f"rescheduled {MAX_RESCHEDULES} times; giving up: {fault.message}"
            self._failures[job] = Failure(message=message, traceback=fault.traceback)
            return False
        self._note(f"trial {job.label} is rescheduled: {fault.message}")
        self._schedule.resume(job)
        return True

    def _close(self, job: Job, state: State, reason: str, score: float | None) -> None:
        """Let everybody know the end of a job, which the study folder holds."""
        if not job.is_repeat:
            self._race.end(job.number, state)
        elif state != "complete":
            self._race.fail_repeat(job)
        for listener in self._listeners:
            listener.end(job, state, reason, score)
        self._announce_best()
        if not job.is_repeat:
            # The journal comes last: a trial that it holds as ended is complete everywhere else.
            self._journal.tell(job.number, state, score, self._race.cost(job.number))
        for listener in self._listeners:
            listener.recorded(job)

    def _announce_best(self) -> None:
        best = self._race.winner()
        if best is not None and best != self._best:
            self._best = best
            self._on_best(self._progress)

    def _settle(self) -> None:
        """Trials that a crashed driver left running: those whose end is written are closed, the rest go on."""
        for number, recipe in self._journal.adopt():
            job = Job(number, recipe.train.seed)
            end = self._study.end(number)
            if end is None:
                self._schedule.adopt((job, recipe))
                continue
            for listener in self._listeners:
                listener.begin(job, recipe, self._scores(job))
            self._report_scores(job)
            self._close(job, end.state, end.reason, end.score)

    def _recall(self) -> None:
        for job in self._progress:
            end = None if job.is_repeat else self._study.end(job.number)
            if end is not None:
                for listener in self._listeners:
                    listener.recall(job, self._progress.recipe(job), end.state, self._scores(job))

    def _scores(self, job: Job) -> list[float]:
        return list(self._progress.scores(job).values())
