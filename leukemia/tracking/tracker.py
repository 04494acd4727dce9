"""Track a search in Weights & Biases from a background thread; failures never stop the search.

``python -m leukemia.tracking publish STUDY`` uploads what is missing.
"""

from __future__ import annotations

import contextlib
import logging
import queue
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial

from leukemia.base.errors import first_line
from leukemia.config.recipe import Recipe
from leukemia.config.results import Epoch
from leukemia.study import layout
from leukemia.study.best import Best
from leukemia.study.folder import Study
from leukemia.study.job import Job
from leukemia.study.listener import Listener, Request
from leukemia.study.schema import FoldRecord, State
from leukemia.tracking import client, settings
from leukemia.tracking.account import server_problem, wanted_mode
from leukemia.tracking.client import Mode
from leukemia.tracking.study_run import StudyRun
from leukemia.tracking.sweep import SweepRecord, make_sweep
from leukemia.tracking.sweep_state import SweepState
from leukemia.tracking.trial_run import RunState, TrialRun
from leukemia.tracking.upload import confirm, publish_hint
from leukemia.tracking.winner import changed_trials, run_id, tracked_trials

log = logging.getLogger(__name__)

CLOSE_TIMEOUT_SECONDS = 60.0
"""How long a command waits for W&B before it exits."""


class NoTracker(Listener):
    """No-op tracker."""

    def close(self, *, finished: bool) -> str:
        """Do nothing; returns an empty message."""
        return ""


class WandbTracker(Listener):
    """One W&B run per trial and one for the search; repeats have none. Only a background thread calls W&B.

    All methods but ``close`` return at once. Events are saved in the study folder before they are logged, so any run
    can be rewritten from there: when a search is resumed (offline, W&B would create a second folder); when the server
    rejects a run, which then continues offline like all later runs; and when W&B's process crashes. If it fails again
    immediately, the search continues without W&B and logs a warning.
    """

    def __init__(self, study: Study, *, mode: Mode, sweep: SweepRecord | None = None) -> None:
        """
        Args:
            sweep: the sweep that the trials' runs belong to.
        """
        self._study, self._mode, self._sweep = study, mode, sweep
        self._wanted = mode
        self._state = SweepState(sweep) if sweep is not None else None
        self._trials: dict[int, TrialRun] = {}
        self._search = StudyRun(study)
        self._stopped: set[int] = set()
        self._disabled = self._incomplete = False
        self._uploaded: list[str] = []
        self._deleted: set[str] = set()
        self._queue: queue.SimpleQueue[tuple[Callable[[], None], bool] | None] = queue.SimpleQueue()
        self._enqueue(partial(self._open, self._search))
        self._thread = threading.Thread(target=self._work, name="tracking", daemon=True)
        self._thread.start()

    def begin(self, job: Job, recipe: Recipe, scores: Sequence[float]) -> None:
        """Open a trial's run, and log its epochs and folds in the study folder."""
        if not job.is_repeat:
            self._enqueue(partial(self._begin, job.number, recipe))

    def epoch(self, job: Job, epoch: Epoch) -> None:
        """Log an epoch as ``fold_K/...``."""
        if not job.is_repeat:
            now = time.time()
            self._enqueue(lambda: self._trials[job.number].epoch(epoch, now), job.number)

    def fold(self, job: Job, fold: FoldRecord) -> None:
        """Log a committed fold as ``fold/...``."""
        if not job.is_repeat:
            self._enqueue(lambda: self._trials[job.number].fold(fold), job.number)

    def wait(self, job: Job, recipe: Recipe, scores: Sequence[float], where: str) -> None:
        """Close a trial's run; it is opened again when the trial goes on."""
        self._enqueue(partial(self._end, job.number, "waiting", where, None), job.number, ends=True)

    def end(self, job: Job, state: State, reason: str, score: float | None) -> None:
        """Write predictions and summary and close the run; failed trials have exit code 1."""
        if not job.is_repeat:
            self._enqueue(partial(self._end, job.number, state, reason, score), job.number, ends=True)
            self._enqueue(lambda: self._search.end(job.number))

    def is_stopped(self, job: Job) -> bool:
        """Whether a user has pressed Stop on the trial's page."""
        return job.number in self._stopped

    @property
    def request(self) -> Request:
        """What a user asked of the search on the sweep's page: Pause, Stop or Cancel."""
        return self._state.request if self._state is not None else Request.RUN

    def close(self, *, finished: bool) -> str:
        """Close all runs, and wait up to ``CLOSE_TIMEOUT_SECONDS`` for W&B; returns a message for the user.

        Args:
            finished: whether the search is finished; if not, open runs are marked as interrupted.
        """
        self._enqueue(partial(self._close, finished=finished), ends=True)
        self._queue.put(None)
        self._thread.join(CLOSE_TIMEOUT_SECONDS)
        if self._thread.is_alive():
            self._disabled = self._incomplete = True
            # This unblocks the thread, and the exit of this process.
            client.end_client()
            self._thread.join(5)
        self._end_sweep(finished=finished)
        return self._closing_message()

    def _end_sweep(self, *, finished: bool) -> None:
        """Set the sweep's final state; after an incomplete upload this is left to ``publish``, as the rest."""
        if self._state is None:
            return
        if self._incomplete:
            self._state.abandon()
        else:
            self._state.end(finished=finished)

    def _closing_message(self) -> str:
        upload = publish_hint(self._study)
        if self._wanted == "offline" and self._disabled:
            rebuild = publish_hint(self._study, "upload the study from its folder with")
            return f"W&B: offline, local runs are incomplete; after `wandb login` {rebuild}"
        if self._wanted == "offline":
            return f"W&B: offline; after `wandb login` {upload}"
        if self._incomplete:
            return f"W&B: upload incomplete; {upload}"
        return f"W&B: {self._sweep.url}" if self._sweep else f"W&B: upload complete, but without a sweep page; {upload}"

    def _enqueue(self, action: Callable[[], None], number: int | None = None, *, ends: bool = False) -> None:
        """Let the background thread run an action.

        Args:
            number: the trial of the action, which is skipped unless the trial's run is open by then.
            ends: whether the action closes a run, and so must be retried after a failure; all other actions are covered
                by rewriting the run.
        """
        self._queue.put((lambda: action() if number is None or number in self._trials else None, ends))

    def _work(self) -> None:
        while (item := self._queue.get()) is not None:
            if self._disabled:
                continue
            action, ends = item
            try:
                action()
            except Exception as error:
                # No failure of W&B may end a search that takes days.
                self._recover(error, action if ends else None)

    def _recover(self, error: Exception, action: Callable[[], None] | None) -> None:
        """Rewrite all open runs offline, then run ``action``."""
        if self._disabled:
            return
        if self._mode == "online":
            self._mode, self._incomplete = "offline", True
            log.warning("W&B is unreachable (%s); continuing offline", first_line(error))
        else:
            log.warning("W&B failed (%s); rewriting its open runs", first_line(error))
        client.end_client()
        try:
            self._open(self._search)
            for run in self._trials.values():
                self._open(run)
            if action is not None:
                action()
        except Exception as second:
            if not self._disabled:
                self._disabled = True
                log.warning("W&B failed again (%s); continuing without W&B", first_line(second))

    def _open(self, run: TrialRun | StudyRun) -> None:
        run.open(self._mode, self._sweep.id if self._sweep and self._mode == "online" else None)
        if run.is_deleted:
            self._deleted.add(run.id)

    def _begin(self, number: int, recipe: Recipe, best: Best | None = None) -> None:
        if number in self._trials:
            # The trial was rescheduled: its run is still open.
            return
        self._trials[number] = TrialRun(self._study, number, recipe, partial(self._stopped.add, number), best)
        self._open(self._trials[number])

    def _end(self, number: int, state: RunState, reason: str, score: float | None) -> None:
        run = self._trials[number]
        try:
            with self._noted(f"trial {number:04d}"):
                run.close(state, reason, score)
            self._uploaded.append(run.id)
        except TimeoutError:
            self._mode, self._incomplete = "offline", True
            log.warning("W&B did not finish uploading trial %04d in time; continuing offline", number)
        del self._trials[number]

    @contextlib.contextmanager
    def _noted(self, what: str) -> Iterator[None]:
        """Note that a file of a run was not uploaded, and go on: the run itself was."""
        try:
            yield
        except client.NotStoredError as error:
            self._incomplete = True
            log.warning("W&B: %s was not uploaded completely (%s)", what, first_line(error))

    def _close(self, *, finished: bool) -> None:
        for number in list(self._trials):
            self._end(number, "interrupted", "the search was interrupted", None)
        best = Best.find(self._study) if finished else None
        if best is not None:
            self._update_scores(best)
        with self._noted("the search"):
            self._search.close(finished=finished)
        if self._mode == "online":
            self._confirm()

    def _update_scores(self, best: Best) -> None:
        """Reopen the runs that the end of the search changes: winner, former winners and repeated trials."""
        for number in changed_trials(self._study, best, online=self._mode == "online"):
            end, run = self._study.end(number), run_id(self._study.info.study_uid, f"{number:04d}")
            # W&B's process does not open a run again that the server has rejected.
            if end is not None and run not in self._deleted:
                self._begin(number, self._study.recipe(number), best)
                self._end(number, end.state, end.reason, end.score)

    def _confirm(self) -> None:
        """Also of the trials that ended or wait since before a resume, whose upload may have been cut off."""
        uid = self._study.info.study_uid
        closed = [run_id(uid, f"{number:04d}") for number in tracked_trials(self._study)]
        runs = dict.fromkeys([*closed, *self._uploaded, self._search.id])
        try:
            note = confirm(self._study, [run for run in runs if run not in self._deleted])
        except ConnectionError as error:
            self._incomplete = True
            log.info("W&B: %s", error)
            return
        if note:
            log.warning("W&B: %s", note)


def make_tracker(study: Study) -> tuple[WandbTracker | NoTracker, str]:
    """The tracker for this machine's W&B settings, and a one-line message that says where the runs are logged."""
    mode, source = wanted_mode()
    if mode == "disabled":
        return NoTracker(), f"W&B: disabled by {source}"
    if mode == "online":
        problem = server_problem()
        if problem is None:
            return _online(study)
        return WandbTracker(study, mode="offline"), f"W&B: {problem}; continuing offline"
    folder = study.folder / layout.WANDB
    reason = f"set by {source}" if source else "`wandb login` to go online"
    return WandbTracker(study, mode="offline"), f"W&B: offline in {folder} ({reason})"


def _online(study: Study) -> tuple[WandbTracker, str]:
    try:
        sweep = make_sweep(study)
    except Exception as error:
        message = f"W&B: online, {settings.place(study.name)}; no sweep page ({first_line(error)})"
        return WandbTracker(study, mode="online"), message
    return WandbTracker(study, mode="online", sweep=sweep), f"W&B: {sweep.url}"
