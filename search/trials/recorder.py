"""Writes what happens to jobs: into the study folder and memory, to the listeners, and last into Optuna's journal."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import pandas as pd

from leukemia.config.recipe import Recipe
from leukemia.config.results import Epoch, FoldResult
from leukemia.study import layout
from leukemia.study.folder import Study
from leukemia.study.job import Job
from leukemia.study.ladder import LadderRecord, Place, waiting_trials
from leukemia.study.listener import Listener
from leukemia.study.schema import State
from search.policy.early_stopping import Contender
from search.sampling.journal import Journal
from search.trials.progress import Progress
from search.trials.trained_before import TrainedBefore
from search.trials.verdicts import JobEnd


class Recorder:
    """The order of writing is such that a crash at any moment loses nothing and contradicts nothing."""

    def __init__(
        self,
        study: Study,
        progress: Progress,
        journal: Journal,
        listener: Listener,
        *,
        table: pd.DataFrame,
        on_best: Callable[[Progress], None],
    ) -> None:
        """
        Args:
            table: of the catalog.
            on_best: called when the winner or its results change, before the end of the trial is in the journal.
        """
        self._study, self._progress, self._journal, self._listener = study, progress, journal, listener
        self._table, self._on_best = table, on_best
        self.best: Contender | None = None
        """The winner so far."""

        self._ladder = LadderRecord.find(study)
        """As in ``ladder.json``, which an earlier driver may have left."""

        self._before = TrainedBefore(study)
        self._waiting = waiting_trials(study)
        """Where trials wait, as last noted in the journal."""

    def begin(self, job: Job, recipe: Recipe) -> None:
        """A job starts, resumes, or goes on from where it waited."""
        if job.is_repeat:
            self._study.begin_repeat(job.number, job.seed)
        elif job.number not in self._progress:
            self._study.begin_trial(job.number, recipe)
        self._progress.begin(job, recipe)
        self._listener.begin(job, recipe, self.scores(job))
        if job.number in self._waiting:
            self._journal.note_place(job.number, self._waiting.pop(job.number).describe_past())
        self._show_ladder()

    def epoch(self, job: Job, epoch: Epoch) -> bool:
        """An epoch has ended; returns whether it is new."""
        if (message := self._before.note(job, epoch)) is not None:
            self._listener.note(message)
        is_new = self._study.write_epoch(job.number, epoch)
        if is_new:
            self._progress.add_epoch(job, epoch)
            self._listener.epoch(job, epoch)
        return is_new

    def fold(self, job: Job, result: FoldResult) -> None:
        """A fold has ended; a no-op for one that is committed."""
        fold = self._study.write_fold(job.number, result, self._table)
        if fold is not None:
            self._progress.add(job, fold, self._table.loc[result.rows], result.probabilities)
            self._listener.fold(job, fold)

    def report_scores(self, job: Job) -> None:
        """Report the folds so far to Optuna; repeats are not reported."""
        if not job.is_repeat:
            for fold, score in self._progress.scores(job).items():
                self._journal.report(job.number, fold, score)

    def wait(self, job: Job, place: Place) -> None:
        """A trial waits. For Optuna it runs; where it waits is only noted there."""
        self._listener.wait(job, self._progress.recipe(job), self.scores(job), place.describe())
        self._waiting[job.number] = place
        self._show_ladder()
        self._journal.note_place(job.number, place.describe())

    def _show_ladder(self) -> None:
        """Write ``ladder.json`` and notify the listeners if a rank has changed, or who waits."""
        ladder = self._progress.ladder.record(self._waiting)
        if ladder != self._ladder:
            self._ladder = ladder
            self._study.write(self._study.folder / layout.LADDER, dataclasses.asdict(ladder))
            self._listener.places(ladder.places)

    def end(self, job: Job, end: JobEnd) -> None:
        """A job has ended."""
        if not job.is_repeat:
            trained = self._progress.patience.trained
            self._study.end_trial(
                job.number, end.state, end.reason, end.score, traceback=end.traceback, trained=trained
            )
            self._progress.patience.end(job.number, trained)
        elif end.state != "complete":
            self._study.fail_repeat(job.number, job.seed, end.reason, traceback=end.traceback)
        self._close(job, end.state, end.reason, end.score)

    def _close(self, job: Job, state: State, reason: str, score: float | None) -> None:
        """Notify race, listeners and journal of the end of a job, which is already in the study folder."""
        if not job.is_repeat:
            self._progress.end(job.number, state)
            self._show_ladder()
        elif state != "complete":
            self._progress.race.fail_repeat(job)
        self._listener.end(job, state, reason, score)
        self.announce_best()
        if not job.is_repeat:
            # The journal comes last: a trial that has ended there is up to date everywhere else.
            self._journal.tell(job.number, state, score, self._progress.race.cost(job.number))
        self._listener.recorded(job)

    def announce_best(self) -> None:
        """Announce the winner if it has changed."""
        best = self._progress.race.winner()
        if best is not None and best != self.best:
            self.best = best
            self._on_best(self._progress)

    def finish(self, job: Job, recipe: Recipe) -> bool:
        """Close a trial whose end is in the study folder, but not in the journal; returns False for any other."""
        end = self._study.end(job.number)
        if end is None:
            return False
        self._listener.begin(job, recipe, self.scores(job))
        self.report_scores(job)
        self._close(job, end.state, end.reason, end.score)
        return True

    def recall(self) -> None:
        """Show the listeners all trials that have ended, and where others wait, as when a study is opened."""
        self._show_ladder()
        self._listener.places(self._ladder.places)
        for job in self._progress:
            end = None if job.is_repeat else self._study.end(job.number)
            if end is not None:
                self._listener.recall(job, self._progress.recipe(job), end.state, self.scores(job))

    def scores(self, job: Job) -> list[float]:
        """The objective of each finished fold in order, up to the first fold where it is undefined."""
        return list(self._progress.scores(job).values())
