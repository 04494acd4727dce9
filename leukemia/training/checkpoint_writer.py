"""When a fit writes checkpoints, and the thread that writes them from copies while training continues."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Collection
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from leukemia.base.faults import describe_fault
from leukemia.config.recipe import Recipe
from leukemia.training.checkpoint import save_checkpoint
from leukemia.training.snapshot import Snapshot

log = logging.getLogger(__name__)


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


BY_TIME = CheckpointSchedule()


class CheckpointWriter:
    """Writes the checkpoints of one fit, one at a time: there is at most one copy of the state."""

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
        self._begun = time.monotonic()

    def after_epoch(self, epoch: int, take: Callable[[], Snapshot]) -> None:
        """Begin to write a checkpoint if one is due; wait for that of a named epoch and of the last one.

        Args:
            epoch: that has ended.
            take: copies the state.

        Raises:
            Exception: this checkpoint, or the one before, could not be written, as ``save_checkpoint``.
        """
        if self._writing is not None and self._writing.done():
            self._join()
        is_named = epoch == self._recipe.train.epochs or epoch in self._schedule.epochs
        if is_named or time.monotonic() - self._begun >= self._schedule.seconds:
            self._join()
            self._begun = time.monotonic()
            self._writing = self._thread.submit(self._write, take())
        if is_named:
            self._join()

    def close(self) -> None:
        """Finish the checkpoint that is being written. The fit has ended: if the writing fails, that is only logged."""
        try:
            self._join()
        except Exception as error:
            log.warning("checkpoint %s could not be written (%s)", self._path, describe_fault(error))
        finally:
            self._thread.shutdown()

    def _write(self, snapshot: Snapshot) -> None:
        save_checkpoint(self._path, self._recipe, self._fold, snapshot.state())
        self._schedule.written()

    def _join(self) -> None:
        writing, self._writing = self._writing, None
        if writing is not None:
            writing.result()
