"""The study's mirror in a storage: what a search has written, stored and never in its way; and a no-op version."""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Sequence

from leukemia.base.errors import UserError, first_line
from leukemia.config.recipe import Recipe
from leukemia.config.results import Epoch
from leukemia.study import layout
from leukemia.study.folder import Study
from leukemia.study.job import Job
from leukemia.study.listener import Listener
from leukemia.study.schema import FoldRecord
from search.storage.filesystem import Storage, StorageFailed
from search.storage.lease import REFRESH_SECONDS, Lease, TakenOver
from search.storage.leftovers import clear_leftovers
from search.storage.upload import Upload

log = logging.getLogger(__name__)

CLOSE_SECONDS = 60.0
"""How long the end of a search waits for a storage that takes nothing."""

LONGEST_PAUSE_SECONDS = 30.0
"""Between two attempts while the storage is away."""


class NoMirror(Listener):
    """A search without a storage."""

    uri: str | None = None

    def start(self, study: Study) -> None:
        """Nothing is stored."""

    def close(self, *, finished: bool) -> str:
        """The search is over; returns a message for the user, or nothing."""
        return ""

    def release(self) -> None:
        """Let another driver have the study."""


class Mirror(Listener):
    """One study in a storage. A thread stores what changes; the driver is never kept waiting.

    Whenever thread or machine fails, what is stored is a study that can be resumed: the journal is read first and
    stored last, so that it never claims what is not stored; in a fold the CSV comes before the JSON, in a trial its end
    comes last; and a checkpoint is removed only when the fold that it led to is stored.
    """

    def __init__(self, storage: Storage, name: str) -> None:
        """Claim the study; its lease is refreshed until ``release``.

        Args:
            storage: of all studies.

        Raises:
            UserError: another driver runs the study.
            StorageFailed: there is no knowing.
        """
        self._storage = storage.folder(name)
        self._lease = Lease(self._storage)
        self._study: Study | None = None
        self._upload = Upload(self._storage, self._note_stored)
        self._dirty: set[int] = set()
        self._everything = True
        self._lock, self._woken, self._ending = threading.Lock(), threading.Event(), threading.Event()
        self._finished = self._away = False
        self._lost: TakenOver | None = None
        self._progress = time.monotonic()
        self._problem = ""
        self._lease.claim()
        self._thread = threading.Thread(target=self._work, name="mirror", daemon=True)
        self._thread.start()

    @property
    def uri(self) -> str:
        """Address of the mirrored study."""
        return self._storage.uri

    @property
    def storage(self) -> Storage:
        """Where the mirrored study lies."""
        return self._storage

    def start(self, study: Study) -> None:
        """Mirror this study from now on. Returns when the storage has what makes a study of it.

        Raises:
            UserError: it has not.
        """
        try:
            clear_leftovers(self._storage, study.folder)
            for name in (layout.SPLITS, layout.STUDY):
                self._storage.put(study.folder / name, name)
        except StorageFailed as failure:
            raise UserError(f"--storage {self._storage}: {failure}; go on with --resume when it works again") from None
        self._study = study
        self._woken.set()

    def begin(self, job: Job, recipe: Recipe, scores: Sequence[float]) -> None:
        """Store the recipe, soon."""
        self._store_soon(job)

    def epoch(self, job: Job, epoch: Epoch) -> None:
        """Store the epoch, at the latest when the lease is refreshed."""
        self._note_changed(job)

    def fold(self, job: Job, fold: FoldRecord) -> None:
        """Store the fold, soon."""
        self._store_soon(job)

    def recorded(self, job: Job) -> None:
        """Store the end of the job, soon; it waits for the journal, which is stored with it."""
        self._store_soon(job)

    def _note_changed(self, job: Job) -> None:
        """Have the thread store a trial's files at its next round.

        Raises:
            TakenOver: another driver runs the study. Raised in the driver's thread, it ends the search.
        """
        if self._lost is not None:
            raise self._lost
        with self._lock:
            self._dirty.add(job.number)

    def _store_soon(self, job: Job) -> None:
        self._note_changed(job)
        self._woken.set()

    def close(self, *, finished: bool) -> str:
        """Store the rest while something is stored every ``CLOSE_SECONDS``; returns a message for the user.

        Args:
            finished: whether the search has come to its end; then W&B's own folders are stored, too, and no checkpoint
                is left.
        """
        self._progress, self._finished, self._everything = time.monotonic(), finished, True
        self._ending.set()
        self._woken.set()
        while self._thread.is_alive() and time.monotonic() - self._progress < CLOSE_SECONDS:
            self._thread.join(0.2)
        if self._lost is not None:
            return str(self._lost)
        if self._thread.is_alive() or self._problem:
            return (
                f"storage: not everything of the study is in {self._storage} "
                f"({self._problem or 'it does not answer'}); --resume stores the rest"
            )
        return ""

    def release(self) -> None:
        """Let another driver have the study; nothing is stored any more."""
        self._ending.set()
        self._woken.set()
        if self._thread.is_alive():
            self._thread.join(5)
        if not self._away and self._lost is None:  # Else it runs out by itself.
            with contextlib.suppress(StorageFailed):
                self._lease.release()
                if self._study is None:
                    # Refused after all: what the lease alone has made goes with it.
                    self._storage.remove_if_empty()

    def _work(self) -> None:
        pause = 1.0
        while self._lost is None:
            # Read before anything is stored: what is asked for meanwhile is done in the next round.
            ending = self._ending.is_set()
            self._woken.clear()
            try:
                self._round(ending)
            except TakenOver as taken:
                self._lost = taken
                return
            except Exception as error:
                # Whatever a storage stumbles over must not end a search of days.
                self._note_away(error)
                if ending and time.monotonic() - self._progress > CLOSE_SECONDS:
                    return
                if ending:
                    time.sleep(1.0)
                else:
                    self._ending.wait(pause)
                pause = min(2 * pause, LONGEST_PAUSE_SECONDS)
                continue
            pause = 1.0
            self._note_back()
            if ending:
                return
            self._woken.wait(REFRESH_SECONDS)

    def _round(self, ending: bool) -> None:
        self._lease.refresh()
        if self._study is None:
            return
        with self._lock:
            everything, dirty = self._everything or ending, self._dirty
            self._everything, self._dirty = False, set()
        try:
            self._upload.store(self._study, None if everything else dirty, ending=ending, finished=self._finished)
        except Exception:
            with self._lock:
                self._everything, self._dirty = self._everything or everything, self._dirty | dirty
            raise

    def _note_stored(self) -> None:
        self._progress = time.monotonic()
        # A long round must not cost the lease.
        self._lease.refresh()

    def _note_away(self, error: Exception) -> None:
        self._problem = first_line(error)
        if not self._away:
            self._away = True
            log.warning(
                "storage %s is away (%s); the search goes on, what it misses is stored later",
                self._storage,
                self._problem,
            )

    def _note_back(self) -> None:
        self._problem = ""
        if self._away:
            self._away = False
            log.warning("storage %s is back; what it missed is stored", self._storage)
