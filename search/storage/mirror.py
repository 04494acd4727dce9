"""The mirror of a study in a storage: uploads what the search writes without blocking it; and a no-op version."""

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
"""How long the end of a search waits while nothing can be uploaded."""

LONGEST_PAUSE_SECONDS = 30.0
"""Between two attempts while the storage is unreachable."""


class NoMirror(Listener):
    """A search without a storage."""

    uri: str | None = None

    def start(self, study: Study) -> None:
        """Do nothing."""

    def close(self, *, finished: bool) -> str:
        """Do nothing; returns an empty message."""
        return ""

    def release(self) -> None:
        """Do nothing."""


class StudyLost(StorageFailed):
    """The storage has no longer the study that was stored."""


class Mirror(Listener):
    """One study in a storage. A thread uploads what changes; the driver never waits for it.

    If the thread or the machine fails at any time, the stored study can be resumed: the journal is read first and
    stored last, so that it never lists what is not stored; within a fold the CSV is stored before the JSON, within a
    trial its end last; and a checkpoint is removed only once the fold that it led to is stored.
    """

    def __init__(self, storage: Storage, name: str) -> None:
        """Claim the study; its lease is refreshed until ``release``.

        Args:
            storage: root folder of all studies.

        Raises:
            UserError: another driver runs the study.
            StorageFailed: the lease cannot be read or written.
        """
        self._storage = storage.folder(name)
        self._lease = Lease(self._storage)
        self._study: Study | None = None
        self._upload = Upload(self._storage, self._note_stored)
        self._dirty: set[int] = set()
        self._everything = True
        self._lock, self._wake, self._ending = threading.Lock(), threading.Event(), threading.Event()
        self._finished = self._unreachable = self._is_gone = False
        self._lost: TakenOver | None = None
        self._progress = time.monotonic()
        self._problem = ""
        self._lease.claim()
        self._storage.never_create()
        self._thread = threading.Thread(target=self._work, name="mirror", daemon=True)
        self._thread.start()

    @property
    def uri(self) -> str:
        """Address of the mirrored study."""
        return self._storage.uri

    @property
    def storage(self) -> Storage:
        """Folder of the mirrored study."""
        return self._storage

    def start(self, study: Study) -> None:
        """Mirror this study from now on. Returns once the files that make it a study are stored.

        Raises:
            UserError: they cannot be stored.
        """
        try:
            clear_leftovers(self._storage, study.folder)
            self._upload.begin(study)
        except StorageFailed as failure:
            raise UserError(
                f"--storage {self._storage}: {failure}; use --resume with the same --storage when it works again"
            ) from None
        self._study = study
        self._wake.set()

    def begin(self, job: Job, recipe: Recipe, scores: Sequence[float]) -> None:
        """Upload the recipe soon."""
        self._store_soon(job)

    def epoch(self, job: Job, epoch: Epoch) -> None:
        """Upload the epoch, at the latest when the lease is refreshed."""
        self._note_changed(job)

    def fold(self, job: Job, fold: FoldRecord) -> None:
        """Upload the fold soon."""
        self._store_soon(job)

    def recorded(self, job: Job) -> None:
        """Upload the end of the job soon, together with the journal that records it."""
        self._store_soon(job)

    def _note_changed(self, job: Job) -> None:
        """Have the thread upload a trial's files in its next round.

        Raises:
            TakenOver: another driver runs the study. Raised in the driver's thread, it ends the search.
        """
        if self._lost is not None:
            raise self._lost
        with self._lock:
            self._dirty.add(job.number)

    def _store_soon(self, job: Job) -> None:
        self._note_changed(job)
        self._wake.set()

    def close(self, *, finished: bool) -> str:
        """Upload the rest, as long as a file arrives every ``CLOSE_SECONDS``; returns a message for the user.

        Args:
            finished: whether the search has run to its end; then W&B's own folders are uploaded, too, and all
                checkpoints removed.
        """
        self._progress, self._finished, self._everything = time.monotonic(), finished, True
        self._ending.set()
        self._wake.set()
        while self._thread.is_alive() and time.monotonic() - self._progress < CLOSE_SECONDS:
            self._thread.join(0.2)
        if self._lost is not None:
            return str(self._lost)
        if self._thread.is_alive() or self._problem:
            return (
                f"storage: the study is not completely uploaded to {self._storage} "
                f"({self._problem or 'no response'}); --resume uploads the rest"
            )
        return ""

    def release(self) -> None:
        """Stop uploading and release the lease, so that another driver can run the study."""
        self._ending.set()
        self._wake.set()
        if self._thread.is_alive():
            self._thread.join(5)
        if not self._unreachable and self._lost is None:  # Else it expires by itself.
            with contextlib.suppress(StorageFailed):
                self._lease.release()
                if self._study is None:
                    # No study was started: remove the folder that the lease created.
                    self._storage.remove_if_empty()

    def _work(self) -> None:
        pause = 1.0
        while self._lost is None:
            # Read before anything is uploaded: later requests are served in the next round.
            ending = self._ending.is_set()
            self._wake.clear()
            try:
                self._round(ending)
            except TakenOver as taken:
                self._lost = taken
                return
            except Exception as error:
                # No error of a storage may end a search that runs for days.
                self._note_unreachable(error)
                if ending and time.monotonic() - self._progress > CLOSE_SECONDS:
                    return
                if ending:
                    time.sleep(1.0)
                else:
                    self._ending.wait(pause)
                pause = min(2 * pause, LONGEST_PAUSE_SECONDS)
                continue
            pause = 1.0
            self._note_reachable()
            if ending:
                return
            self._wake.wait(REFRESH_SECONDS)

    def _round(self, ending: bool) -> None:
        renewed = self._lease.refresh()
        if self._study is None:
            return
        if self._is_gone:
            self._upload.begin(self._study)
            self._is_gone, self._everything = False, True
        elif renewed:
            self._require_study()
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
        # Otherwise the lease could expire during a long round.
        if self._lease.refresh():
            self._require_study()

    def _require_study(self) -> None:
        """Notice that the folder or the bucket was emptied: the next round uploads everything again.

        Raises:
            StudyLost: it was.
        """
        if self._storage.read(layout.STUDY) is None:
            self._is_gone = True
            raise StudyLost("it has lost the study, which is uploaded again")

    def _note_unreachable(self, error: Exception) -> None:
        self._problem = first_line(error)
        is_new = not self._unreachable or isinstance(error, StudyLost)
        self._unreachable = True
        # At the end nothing is uploaded later: ``close`` says what is missing.
        if is_new and not self._ending.is_set():
            log.warning("storage %s is unreachable (%s); continuing, will upload later", self._storage, self._problem)

    def _note_reachable(self) -> None:
        self._problem = ""
        if self._unreachable:
            self._unreachable = False
            log.warning("storage %s is reachable again; pending files uploaded", self._storage)
