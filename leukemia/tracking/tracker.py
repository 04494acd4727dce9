"""What a search says to Weights & Biases, beside the search and never in its way; and a no-op version.

``python -m leukemia.tracking publish STUDY`` sends what has not been sent.
"""

from __future__ import annotations

import logging
import queue
import shlex
import threading
from collections.abc import Callable, Sequence
from functools import partial

from leukemia.base.errors import first_line
from leukemia.config.recipe import Recipe
from leukemia.config.results import Epoch
from leukemia.study import layout
from leukemia.study.best import Best
from leukemia.study.folder import Study
from leukemia.study.job import Job
from leukemia.study.listener import Listener
from leukemia.study.schema import FoldRecord, State, SweepRecord
from leukemia.tracking import client
from leukemia.tracking.account import server_problem, wanted_mode
from leukemia.tracking.client import Mode
from leukemia.tracking.final_run import FinalRun
from leukemia.tracking.study_run import StudyRun
from leukemia.tracking.sweep import make_sweep
from leukemia.tracking.trial_run import TrialRun

log = logging.getLogger(__name__)

CLOSE_SECONDS = 60.0
"""How long the end of a search waits for W&B."""


class NoTracker(Listener):
    """A search that is not tracked."""

    def close(self, *, finished: bool) -> str:
        """The search is over; returns a message for the user, or nothing."""
        return ""


class WandbTracker(Listener):
    """One run per trial, and one for the search; a repeat has none. All methods return at once; one thread calls W&B.

    The study folder holds everything before it is said, so that any run can be written again from there. That is done
    when a search goes on (offline, W&B would begin a second folder), when the server refuses a run, which then is
    offline as all later ones, and when W&B's own process dies. If that dies again at once, the search goes on without
    W&B and says so.
    """

    def __init__(self, study: Study, *, mode: Mode, sweep: SweepRecord | None = None) -> None:
        """
        Args:
            sweep: of ``leukemia.tracking.sweep``; the trials' runs belong to it.
        """
        self._study, self._mode, self._sweep = study, mode, sweep
        self._wanted = mode
        self._trials: dict[int, TrialRun] = {}
        self._search = StudyRun(study)
        self._stopped: set[int] = set()
        self._gone = self._incomplete = False
        self._sent: list[str] = []
        self._waiting: queue.SimpleQueue[tuple[Callable[[], None], bool] | None] = queue.SimpleQueue()
        self._say(partial(self._open, self._search))
        self._thread = threading.Thread(target=self._work, name="tracking", daemon=True)
        self._thread.start()

    def begin(self, job: Job, recipe: Recipe, scores: Sequence[float]) -> None:
        """Open a trial's run; what the study folder holds of it already is logged first."""
        if not job.is_repeat:
            self._say(partial(self._begin, job.number, recipe))

    def epoch(self, job: Job, epoch: Epoch) -> None:
        """Log an epoch as ``fold_K/...``."""
        if not job.is_repeat:
            self._say(lambda: self._trials[job.number].epoch(epoch), job.number)

    def fold(self, job: Job, fold: FoldRecord) -> None:
        """Log a committed fold as ``fold/...``."""
        if not job.is_repeat:
            self._say(lambda: self._trials[job.number].fold(fold), job.number)

    def end(self, job: Job, state: State, reason: str, score: float | None) -> None:
        """Write predictions and summary and close the run; failed trials have exit code 1."""
        if not job.is_repeat:
            self._say(partial(self._end, job.number, state, reason, score), job.number, ends=True)
            self._say(lambda: self._search.end(job.number))

    def is_stopped(self, job: Job) -> bool:
        """Whether somebody has pressed Stop on the trial's page."""
        return job.number in self._stopped

    def close(self, *, finished: bool) -> str:
        """Close all runs, and wait for W&B at most ``CLOSE_SECONDS``; returns words for the user.

        Args:
            finished: whether the search has come to its end; else open runs are marked as interrupted.
        """
        self._say(partial(self._close, finished=finished), ends=True)
        self._waiting.put(None)
        self._thread.join(CLOSE_SECONDS)
        if self._thread.is_alive():
            self._gone = self._incomplete = True
            # Whoever waits for it is let go, and so is the end of this process.
            client.end_client()
            self._thread.join(5)
        return self._last_words()

    def _last_words(self) -> str:
        send = _send(self._study)
        if self._wanted == "offline" and self._gone:
            rebuild = _send(self._study, "rebuilds it from the study folder and sends it")
            return f"W&B: offline, and not everything could be kept; after `wandb login` {rebuild}"
        if self._wanted == "offline":
            return f"W&B: offline; after `wandb login` {send}"
        if self._incomplete:
            return f"W&B: not everything was sent; {send}"
        return f"W&B: {self._sweep.url}" if self._sweep else f"W&B: all sent, but there is no sweep page; {send}"

    def _say(self, action: Callable[[], None], number: int | None = None, *, ends: bool = False) -> None:
        """Let the thread do it, if it is about the search or a trial whose run is open by then.

        Args:
            ends: whether it closes a run; all else is contained in a run that is written again.
        """
        self._waiting.put((lambda: action() if number is None or number in self._trials else None, ends))

    def _work(self) -> None:
        while (said := self._waiting.get()) is not None:
            if self._gone:
                continue
            action, ends = said
            try:
                action()
            except Exception as error:
                # Whatever W&B stumbles over must not end a search of days.
                self._recover(error, action if ends else None)

    def _recover(self, error: Exception, action: Callable[[], None] | None) -> None:
        """Write all open runs again, offline, and do then what else there was to do."""
        if self._gone:
            return
        if self._mode == "online":
            self._mode, self._incomplete = "offline", True
            log.warning("W&B cannot be reached (%s); this search goes on offline", first_line(error))
        else:
            log.warning("W&B failed (%s); its open runs are written again", first_line(error))
        client.end_client()
        try:
            self._open(self._search)
            for run in self._trials.values():
                self._open(run)
            if action is not None:
                action()
        except Exception as second:
            if not self._gone:
                self._gone = True
                log.warning("W&B failed again (%s); the search goes on without it", first_line(second))

    def _open(self, run: TrialRun | StudyRun) -> None:
        run.open(self._mode, self._sweep.id if self._sweep and self._mode == "online" else None)

    def _begin(self, number: int, recipe: Recipe) -> None:
        self._trials[number] = TrialRun(self._study, number, recipe, partial(self._stopped.add, number))
        self._open(self._trials[number])

    def _end(
        self, number: int, state: State | None, reason: str, score: float | None, best: Best | None = None
    ) -> None:
        run = self._trials[number]
        try:
            run.close(state, reason, score, best)
            self._sent.append(run.id)
        except TimeoutError:
            self._mode, self._incomplete = "offline", True
            log.warning("W&B does not take the end of trial %04d; this search goes on offline", number)
        del self._trials[number]

    def _close(self, *, finished: bool) -> None:
        for number in list(self._trials):
            self._end(number, None, "the search was interrupted", None)
        best = Best.found_in(self._study) if finished else None
        if best is not None:
            self._say_corrected(best)
        self._search.close(finished=finished)
        if self._mode == "online":
            missing = client.not_complete(self._study.name, [*self._sent, self._search.id])
            self._incomplete = self._incomplete or bool(missing)

    def _say_corrected(self, best: Best) -> None:
        """The winner's run, opened again for what is only known at the end: its score as corrected."""
        number = int(best.trial)
        end = self._study.end(number)
        if end is not None and self._study.origin(number) is None:
            self._begin(number, self._study.recipe(number))
            self._end(number, end.state, end.reason, end.score, best)


def make_tracker(study: Study) -> tuple[WandbTracker | NoTracker, str]:
    """The tracker that this machine allows, and one line for the user that says where the runs go."""
    mode = wanted_mode()
    if mode == "disabled":
        return NoTracker(), "W&B: disabled by WANDB_MODE"
    if mode == "online":
        problem = server_problem()
        if problem is None:
            return _online(study)
        return WandbTracker(study, mode="offline"), f"W&B: {problem}; going on offline"
    folder = study.folder / layout.WANDB
    return WandbTracker(study, mode="offline"), f"W&B: offline in {folder} (`wandb login` to go online)"


def _online(study: Study) -> tuple[WandbTracker, str]:
    try:
        sweep = make_sweep(study)
    except Exception as error:
        words = f"W&B: online, project {client.project()}, group {study.name}; no sweep page ({first_line(error)})"
        return WandbTracker(study, mode="online"), words
    return WandbTracker(study, mode="online", sweep=sweep), f"W&B: {sweep.url}"


def tell_final(study: Study) -> str:
    """Say to W&B what ``final/`` holds, in at most ``CLOSE_SECONDS``; returns words for the user."""
    mode = wanted_mode()
    if mode == "disabled":
        return ""
    problem = server_problem() if mode == "online" else None
    failures: list[str] = []
    notes: list[str] = []

    def write() -> None:
        try:
            note = FinalRun(study).write("offline" if mode == "offline" or problem else "online")
            notes.extend([note] if note else [])
        except Exception as error:
            failures.append(first_line(error))

    thread = threading.Thread(target=write, name="tracking", daemon=True)
    thread.start()
    thread.join(CLOSE_SECONDS)
    if thread.is_alive():
        failures.append(f"no answer in {CLOSE_SECONDS:g} s")
        client.end_client()
    if mode == "online" and (problem or failures):
        return f"W&B: the model was not sent ({problem or failures[0]}); {_send(study)}"
    if failures:
        return f"W&B: the model's run was not written ({failures[0]})"
    if mode == "offline":
        return f"W&B: offline; after `wandb login` {_send(study)}"
    return "; ".join(["W&B: model and run sent", *notes])


def _send(study: Study, what: str = "sends it") -> str:
    runs = shlex.quote(str(study.folder.parent))
    return f"this {what}: python -m leukemia.tracking publish {shlex.quote(study.name)} --runs {runs}"
