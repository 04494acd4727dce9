"""When a fit writes checkpoints, and the thread that writes them from copies while training continues."""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Callable, Collection
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from leukemia.base.faults import describe_fault
from leukemia.config.recipe import Recipe
from leukemia.training.checkpoint import save_checkpoint
from leukemia.training.snapshot import Snapshot

log = logging.getLogger(__name__)

COPY_SHARE = 0.05
"""Of the training, that copies of the state may take at most: an epoch that lasts 20 times as long as a copy, and at
least ``COPY_SECONDS``, is copied at its end. On CUDA a copy is queued and returns earlier; there it takes far less."""

COPY_SECONDS = 1.0

LAST_SECONDS = 20.0
"""How long ``CheckpointWriter.store_last`` waits for the end of an epoch, which is a short one then."""


@dataclass(frozen=True, kw_only=True)
class CheckpointSchedule:
    """After which epochs of a fit a checkpoint is written."""

    seconds: float = 60.0
    """At the end of the first epoch that ends at least so long after the last checkpoint was begun; 0: of each epoch.
    These are written beside the next epoch: a crash costs at most this time, one epoch and the writing."""

    epochs: Collection[int] = ()
    """After these, counted from 1, too, and after the last one. These are written before the epoch is reported."""

    written: Callable[[], object] = lambda: None
    """Called after each checkpoint, in the thread that writes; part of the writing."""

    begun: Callable[[CheckpointWriter], object] = lambda writer: None
    """Called with the writer of each fit, before its first epoch."""


BY_TIME = CheckpointSchedule()


class CheckpointWriter:
    """Writes the checkpoints of one fit, one at a time: there is at most one copy of the state.

    Between two checkpoints it keeps a copy of the last epoch, or of one a few seconds ago, which is written if the fit
    is to end: by ``store_last``, or by an interrupt.
    """

    def __init__(self, path: Path, recipe: Recipe, fold: int, schedule: CheckpointSchedule) -> None:
        """
        Args:
            path: nothing else writes it: its temporary files are those of a killed process, and are removed.
        """
        for leftover in path.parent.glob(f".{path.name}.*.tmp"):
            leftover.unlink(missing_ok=True)
        self._path, self._recipe, self._fold, self._schedule = path, recipe, fold, schedule
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="checkpoint")
        self._writing: Future[None] | None = None
        self._kept: Snapshot | None = None
        self._begun = time.monotonic()
        # The first epoch is copied, however short: it tells how long a copy takes.
        self._copied, self._copy_seconds = -math.inf, 0.0
        self._finished = self._last_copied = 0
        """Epochs of this fit: the last one that has ended, and the last one that was copied."""

        self._take: Callable[[], Snapshot] | None = None
        """Copies the state while the fit waits for its caller: it is that after ``_finished``. None during an epoch."""

        self._lock = threading.Lock()
        self._is_ending, self._is_stored = False, threading.Event()
        schedule.begun(self)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self.close(is_interrupted=kind is not None and issubclass(kind, KeyboardInterrupt))

    def close(self, *, is_interrupted: bool = False) -> None:
        """Finish the checkpoint that is being written. The fit has ended: if the writing fails, that is only logged.

        Args:
            is_interrupted: the last epoch is written as well, since the fit will be resumed; during an epoch, the one
                that was copied.
        """
        with self._lock:
            if is_interrupted:
                self._copy_between_epochs()
                self._write_kept()
            self._kept = self._take = None
            self._finish()
            self._thread.shutdown()
            self._is_stored.set()

    def before_epoch(self) -> None:
        """The caller has received the last epoch: the state changes from now on."""
        with self._lock:
            self._take = None

    def after_epoch(self, epoch: int, take: Callable[[], Snapshot]) -> None:
        """Begin to write a checkpoint if one is due; wait for that of a named epoch and of the last one.

        Args:
            epoch: that has ended.
            take: copies the state.

        Raises:
            Exception: this checkpoint, or the one before, could not be written, as ``save_checkpoint``.
        """
        with self._lock:
            if self._writing is not None and self._writing.done():
                self._join()
            self._finished, self._take = epoch, take
            is_named = epoch == self._recipe.train.epochs or epoch in self._schedule.epochs or self._is_ending
            if is_named or time.monotonic() - self._begun >= self._schedule.seconds:
                self._join()
                self._copy(epoch, take)
                self._begun = self._copied
                self._write_kept()
            elif self._writing is None and time.monotonic() - self._copied >= self._copy_interval():
                self._copy(epoch, take)
            if is_named:
                self._join()
            if self._is_ending:
                self._is_stored.set()

    def store_last(self) -> None:
        """Store the last finished epoch: the process is about to end. For another thread than the fit's.

        An epoch that was not copied is copied now if the fit waits for its caller, who may not go on. During an epoch,
        that one is stored, which will end within seconds as the one before. If the writing fails, that is only logged.
        """
        with self._lock:
            self._is_ending = True
            if self._is_stored.is_set():
                return
            self._copy_between_epochs()
            if self._last_copied == self._finished:
                self._write_kept()
                self._finish()
                return
        if not self._is_stored.wait(LAST_SECONDS):
            with self._lock:
                self._write_kept()
                self._finish()

    def _copy(self, epoch: int, take: Callable[[], Snapshot]) -> None:
        # The old copy goes first: there is one at most.
        self._kept, start = None, time.monotonic()
        self._kept = take()
        self._copied, self._last_copied = time.monotonic(), epoch
        self._copy_seconds = self._copied - start

    def _copy_between_epochs(self) -> None:
        """Copy the last epoch if it was not, and if the state is still its own."""
        if self._last_copied != self._finished and self._take is not None:
            self._finish()
            self._copy(self._finished, self._take)

    def _copy_interval(self) -> float:
        return max(COPY_SECONDS, self._copy_seconds / COPY_SHARE)

    def _write_kept(self) -> None:
        """Begin to write the copy, if there is one; no other writing has begun since it was taken."""
        if self._kept is not None:
            snapshot, self._kept = self._kept, None
            self._writing = self._thread.submit(self._write, snapshot)

    def _write(self, snapshot: Snapshot) -> None:
        save_checkpoint(self._path, self._recipe, self._fold, snapshot.state())
        self._schedule.written()

    def _join(self) -> None:
        writing, self._writing = self._writing, None
        if writing is not None:
            writing.result()

    def _finish(self) -> None:
        """Wait for the writing, after which nothing can raise its error."""
        try:
            self._join()
        except Exception as error:
            log.warning("checkpoint %s could not be written (%s)", self._path, describe_fault(error))
