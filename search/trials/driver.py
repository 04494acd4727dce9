"""The driver: starts trials, processes their reports and ends them; the only writer of the study folder."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from leukemia.config.recipe import Recipe
from leukemia.config.results import Epoch, FoldResult
from leukemia.data.catalog import Catalog
from leukemia.study.folder import Study
from leukemia.study.job import Job
from leukemia.study.listener import Listener, Request
from leukemia.study.schema import State
from search.policy.early_stopping import Contender
from search.policy.health import Rescheduled
from search.policy.race import Race
from search.policy.rules import Rules
from search.policy.task import Task
from search.sampling.journal import Journal
from search.trials.assignment import Assignment, Failure, Report
from search.trials.evidence import check_journal
from search.trials.history import replay, seconds_spent, unfinished_repeats
from search.trials.progress import Progress
from search.trials.requests import Requests
from search.trials.schedule import Limits, Schedule
from search.trials.verdicts import Verdicts


class Driver:
    """Runs the search of one study. It does not depend on Ray, so that tests can drive it in a loop.

    A job is either a trial, proposed by Optuna and possibly stopped by the race, or a repeat of a complete trial with
    another seed, which always runs to its end and is not an Optuna trial. What runs is a task: one fold of a job.
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
            on_best: called when the winner or its results change, before the end of the trial is in the journal.

        Raises:
            UserError: study folder, journal and data are inconsistent.
        """
        self._study, self._journal, self._catalog = study, journal, catalog
        self._rules, self._listeners, self._on_best = rules, listeners, on_best
        self._running: set[Task] = set()
        self._active: set[Job] = set()
        """Jobs that listeners know to be running, also between two folds."""

        self._verdicts = Verdicts(rules.num_folds)
        check_journal(study, journal)
        self._best: Contender | None = None
        self._requests = Requests(listeners, self._note)
        self._progress = replay(study, catalog, rules)
        self._race = self._progress.race
        self._schedule = Schedule(journal, self._progress, limits, seconds=seconds_spent(study), note=self._note)
        self._finish_interrupted()
        for repeat in unfinished_repeats(study, self._progress):
            self._schedule.resume(repeat)
        # An earlier driver may have crashed before announcing its best trial, and a reused one was never announced.
        self._announce_best()
        self._recall()

    @property
    def progress(self) -> Progress:
        """Results of all jobs."""
        return self._progress

    @property
    def race(self) -> Race:
        """The race between the trials."""
        return self._race

    @property
    def best(self) -> Contender | None:
        """The winner so far."""
        return self._best

    def begin(self, slots: int = 1) -> Assignment | None:
        """Start the next task.

        Args:
            slots: number of tasks that run in parallel. Once at most that many trials are left, all are proposed and
                the most expensive starts first, so that the search does not wait for it at the end.

        Returns:
            its assignment; None if there is nothing to run, until a running task ends, or for good if ``idle``.
        """
        while (pending := self._schedule.next(slots, {task.job for task in self._running})) is not None:
            job, recipe = pending
            goes_on = job in self._active or self._begin_job(job, recipe)
            fold = self._next_fold(job)
            if goes_on and fold is not None:
                task = Task(job, fold)
                self._running.add(task)
                return Assignment(task=task, recipe=recipe)
            # Its end was decided when the last driver crashed.
            self._finish(job)
        return None

    def _begin_job(self, job: Job, recipe: Recipe) -> bool:
        """Register a job that starts or resumes, and judge its folds so far; returns whether it continues."""
        self._active.add(job)
        if job.is_repeat:
            self._study.begin_repeat(job.number, job.seed)
        elif job.number not in self._progress:
            self._study.begin_trial(job.number, recipe)
        self._progress.begin(job, recipe)
        for listener in self._listeners:
            listener.begin(job, recipe, self._scores(job))
        return not self.folds_done(job) or self._judge(job)

    def _next_fold(self, job: Job) -> int | None:
        """The first fold of a job that is neither finished nor running; None if there is none."""
        taken = {*self.folds_done(job), *(task.fold for task in self._running if task.job == job)}
        return next((fold for fold in range(self._rules.num_folds) if fold not in taken), None)

    def idle(self) -> bool:
        """Whether no job is running, be it between two folds."""
        return not self._running and not self._schedule.has_begun

    @property
    def is_paused(self) -> bool:
        """Whether the user has paused the search."""
        return self._requests.current is Request.PAUSE

    def obey(self) -> None:
        """Do what the user asks of the search through a listener; to be called regularly.

        Raises:
            Canceled: the search is to end now.
        """
        self._requests.update()
        self._schedule.is_open = self._requests.current is Request.RUN

    def _note(self, message: str) -> None:
        for listener in self._listeners:
            listener.note(message)

    def folds_done(self, job: Job) -> list[int]:
        """Numbers of a job's finished folds, ascending."""
        return self._progress.folds_done(job)

    def receive(self, task: Task, report: Report) -> bool:
        """Process a report of a task; returns whether the task continues."""
        job = task.job
        if self._verdicts.ends(task):
            return False
        if isinstance(report, Rescheduled):
            self._verdicts.reschedule(task, report)
            return False
        if isinstance(report, Failure):
            self._verdicts.fail(job, report)
            return False
        if isinstance(report, Epoch):
            self._receive_epoch(job, report)
            return not self._stopped_by_user(job)
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

    def _stopped_by_user(self, job: Job) -> bool:
        """Whether the user has stopped the trial; ignored for repeats and after the last fold."""
        folds = len(self.folds_done(job))
        if job.is_repeat or folds == self._rules.num_folds:
            return False
        if not any(listener.is_stopped(job) for listener in self._listeners):
            return False
        self._verdicts.stop(job, "stopped manually in W&B", folds)
        return True

    def _judge(self, job: Job) -> bool:
        """Report the folds so far to Optuna and judge whether the job continues; repeats always do."""
        if not job.is_repeat:
            self._report_scores(job)
        undefined = self._progress.undefined(job)
        if undefined is not None:
            self._verdicts.fail(job, Failure(message=f"{self._rules.objective} is undefined in fold {undefined}"))
            return False
        if job.is_repeat:
            return True
        if self._stopped_by_user(job):
            return False
        verdict = self._race.judge(job.number)
        if not verdict.continues:
            self._verdicts.stop(job, f"{verdict.reason},", len(self.folds_done(job)))
        return verdict.continues

    def _report_scores(self, job: Job) -> None:
        for fold, score in self._progress.scores(job).items():
            self._journal.report(job.number, fold, score)

    def end(self, task: Task, process_failed: bool) -> bool:
        """End a task that has left its worker, and its job unless that continues.

        Returns:
            whether the job is finished; otherwise it continues after its finished folds.
        """
        self._running.discard(task)
        job = task.job
        fault = self._verdicts.take_fault(task)
        if fault is not None:
            self._note(f"trial {job.label} is rescheduled: {fault.message}")
            self._active.discard(job)
            self._schedule.resume(job)
            return False
        if task.fold not in self.folds_done(job):
            reason = "its process crashed repeatedly" if process_failed else "it ended before its last fold"
            self._verdicts.fail(job, Failure(message=reason))
        if not self._verdicts.is_decided(job) and self._next_fold(job) is not None:
            self._schedule.go_on(job)
            return False
        self._finish(job)
        return True

    def _finish(self, job: Job) -> None:
        """Write how a job ended, notify the listeners, then update Optuna."""
        self._active.discard(job)
        end = self._verdicts.outcome(job, self._scores(job))
        if not job.is_repeat:
            self._study.end_trial(job.number, end.state, end.reason, end.score, traceback=end.traceback)
        elif end.state != "complete":
            self._study.fail_repeat(job.number, job.seed, end.reason, traceback=end.traceback)
        self._close(job, end.state, end.reason, end.score)

    def _close(self, job: Job, state: State, reason: str, score: float | None) -> None:
        """Notify race, listeners and journal of the end of a job, which is already in the study folder."""
        if not job.is_repeat:
            self._race.end(job.number, state)
        elif state != "complete":
            self._race.fail_repeat(job)
        for listener in self._listeners:
            listener.end(job, state, reason, score)
        self._announce_best()
        if not job.is_repeat:
            # The journal comes last: a trial that has ended there is up to date everywhere else.
            self._journal.tell(job.number, state, score, self._race.cost(job.number))
        for listener in self._listeners:
            listener.recorded(job)

    def _announce_best(self) -> None:
        best = self._race.winner()
        if best is not None and best != self._best:
            self._best = best
            self._on_best(self._progress)

    def _finish_interrupted(self) -> None:
        """Handle trials that a crashed driver left running: close those whose end is written, resume the others."""
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
