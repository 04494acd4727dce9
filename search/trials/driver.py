"""The driver: starts trials, processes their reports and ends them; the only writer of the study folder."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from leukemia.config.recipe import Recipe
from leukemia.config.results import Epoch, fold_name
from leukemia.data.catalog import Catalog
from leukemia.study.folder import Study
from leukemia.study.job import Job
from leukemia.study.listener import Listener, Request
from search.policy.early_stopping import Contender
from search.policy.health import Rescheduled
from search.policy.race import Race
from search.policy.rules import Rules
from search.policy.task import Task
from search.sampling.journal import Journal
from search.trials.assignment import Assignment, Failure, Report
from search.trials.evidence import check_journal
from search.trials.history import replay, seconds_spent, unfinished_repeats
from search.trials.listeners import Listeners
from search.trials.progress import Progress
from search.trials.recorder import Recorder
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
        self._rules, self._listener = rules, Listeners(listeners)
        self._running: set[Task] = set()
        self._active: set[Job] = set()
        """Jobs that listeners know to be running, also between two folds."""

        check_journal(study, journal)
        self._requests = Requests(self._listener)
        self._progress = replay(study, catalog, rules)
        self._recorder = Recorder(study, self._progress, journal, self._listener, table=catalog.table, on_best=on_best)
        self._schedule = Schedule(
            journal, self._progress, limits, seconds=seconds_spent(study), note=self._listener.note
        )
        self._verdicts = Verdicts(rules.num_folds, on_decided=self._schedule.withdraw)
        for number, recipe in journal.adopt(self._progress.ladder.shown()):
            self._adopt(Job(number, recipe.train.seed), recipe)
        for repeat in unfinished_repeats(study, self._progress):
            self._schedule.resume(repeat)
        # An earlier driver may have crashed before announcing its best trial, and a reused one was never announced.
        self._recorder.announce_best()
        self._recorder.recall()

    @property
    def progress(self) -> Progress:
        """Results of all jobs."""
        return self._progress

    @property
    def race(self) -> Race:
        """The race between the trials."""
        return self._progress.race

    @property
    def best(self) -> Contender | None:
        """The winner so far."""
        return self._recorder.best

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
            if goes_on and (folds := self._open_folds(job)):
                task = Task(job, folds[0])
                self._running.add(task)
                return Assignment(task=task, recipe=recipe, stops=tuple(self._progress.stops(task)))
            # Its end was decided when the last driver crashed.
            self._finish(job)
        return None

    def _begin_job(self, job: Job, recipe: Recipe) -> bool:
        """Register a job that starts or resumes, and judge its folds so far; returns whether it continues."""
        self._active.add(job)
        self._recorder.begin(job, recipe)
        if self.folds_done(job) and not self._judge(job):
            return False
        if self._progress.side_by_side(job):
            self._schedule.spread(job, len(self._open_folds(job)) - 1)
        return True

    def _adopt(self, job: Job, recipe: Recipe) -> None:
        """Go on with a trial that an earlier driver left running."""
        if self._recorder.finish(job, recipe):
            return
        if job.number not in self._progress:
            self._schedule.propose((job, recipe))
            return
        # One that is to end after fold 0 stands where others wait.
        has_ended = self._progress.place(job) is not None and self.folds_done(job) and not self._judge(job)
        if has_ended or not self._waits(job):
            self._schedule.resume(job)

    def _open_folds(self, job: Job) -> list[int]:
        """The folds of a job that are neither finished nor running, ascending."""
        taken = {*self.folds_done(job), *(task.fold for task in self._running if task.job == job)}
        return [fold for fold in range(self._rules.num_folds) if fold not in taken]

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

    def folds_done(self, job: Job) -> list[int]:
        """Numbers of a job's finished folds, ascending."""
        return self._progress.folds_done(job)

    def waiting(self) -> list[Job]:
        """The trials that wait, in the order in which they go on when there is nothing else to do."""
        busy = {task.job.number for task in self._running}
        return [self.race.jobs(number)[0] for number in self._progress.ladder.waiting(busy)]

    def abandoned(self) -> list[Task]:
        """The tasks that run although the end of their job is decided: nothing that they report counts any more."""
        decided = [task for task in self._running if self._verdicts.is_decided(task.job)]
        return [task for task in decided if task.fold not in self.folds_done(task.job)]

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
            return self._receive_epoch(task, report)
        self._recorder.fold(job, report)
        return self._judge(job)

    def _receive_epoch(self, task: Task, epoch: Epoch) -> bool:
        is_new = self._recorder.epoch(task.job, epoch)
        if is_new:
            self._schedule.spend(epoch.seconds)
        if self._stopped_by_user(task.job):
            return False
        # An epoch of a trial that has waited after it is reported again from its checkpoint, or trained again.
        if is_new and self._progress.place(task.job) is not None:
            self._verdicts.pause(task)
            return False
        return True

    def _stopped_by_user(self, job: Job) -> bool:
        """Whether the user has stopped the trial; ignored for repeats and after the last fold."""
        folds = len(self.folds_done(job))
        if job.is_repeat or folds == self._rules.num_folds:
            return False
        if not self._listener.is_stopped(job):
            return False
        self._verdicts.stop(job, "stopped manually in W&B", folds)
        return True

    def _judge(self, job: Job) -> bool:
        """Report the folds so far to Optuna and judge whether the job continues; repeats always do."""
        self._recorder.report_scores(job)
        undefined = self._progress.undefined(job)
        if undefined is not None:
            self._verdicts.fail(job, Failure(message=f"{self._rules.objective} is undefined in {fold_name(undefined)}"))
            return False
        if job.is_repeat:
            return True
        if self._stopped_by_user(job):
            return False
        verdict = self.race.judge(job.number)
        if not verdict.continues:
            self._verdicts.stop(job, f"{verdict.reason},", len(self.folds_done(job)))
        return verdict.continues

    def end(self, task: Task, process_failed: bool) -> bool:
        """End a task that has left its worker, and its job unless that continues.

        Returns:
            whether the job is finished: its last task has left. Otherwise it continues after its finished folds, or
            waits.
        """
        self._running.discard(task)
        self._listener.outlook(self._schedule.outlook())
        job = task.job
        fault = self._verdicts.take_fault(task)
        if fault is not None:
            self._listener.note(f"trial {job.label} is rescheduled: {fault.message}")
            self._schedule.resume(job)
            return False
        if self._verdicts.take_pause(task):
            self._waits(job)
            return False
        if task.fold not in self.folds_done(job):
            reason = "its process crashed repeatedly" if process_failed else "it ended before its last fold"
            self._verdicts.fail(job, Failure(message=reason))
        if any(other.job == job for other in self._running):
            return False
        if self._verdicts.is_decided(job) or not self._open_folds(job):
            self._finish(job)
            return True
        if not self._waits(job) and not self._progress.side_by_side(job):
            self._schedule.go_on(job)
        return False

    def _waits(self, job: Job) -> bool:
        """Whether a job that has left its worker waits; if so, that is recorded."""
        place = self._progress.place(job)
        if place is None:
            return False
        self._active.discard(job)
        self._recorder.wait(job, place)
        return True

    def _finish(self, job: Job) -> None:
        """Record how a job ended."""
        self._active.discard(job)
        self._recorder.end(job, self._verdicts.end_of(job, self._recorder.scores(job)))
