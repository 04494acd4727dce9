"""The study's mirror in a storage: what a search has written, stored and never in its way; and a no-op version."""

from __future__ import annotations

import contextlib
import json
import logging
import threading
import time
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from leukemia.base.errors import UserError, first_line
from leukemia.config.recipe import Recipe
from leukemia.config.results import Epoch
from leukemia.study.folder import Study
from leukemia.study.job import Job
from leukemia.study.listener import Listener
from search.planning.plan import JOURNAL
from search.storage.checkpoints import CHECKPOINTS, remove_ended
from search.storage.filesystem import Storage, StorageFailed
from search.storage.lease import REFRESH_SECONDS, Lease, TakenOver
from search.storage.leftovers import clear_leftovers
from search.storage.retrieval import NUM_AT_ONCE, OWN, rank_of

log = logging.getLogger(__name__)

CLOSE_SECONDS = 60.0
"""How long the end of a search waits for a storage that takes nothing."""

LONGEST_PAUSE_SECONDS = 30.0
"""Between two attempts while the storage is away."""

LOG = "search.log"
"""It grows with each epoch: stored when nothing else is, and at the end."""


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

    Whenever that thread or the machine dies, what is stored is a study that can go on: the journal is read first and
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
        self._sent: dict[str, tuple[int, ...]] = {}
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
            for name in ("splits.json", "study.json"):
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

    def fold(self, job: Job, fold: dict[str, Any]) -> None:
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
        """Store the rest, waiting as long as something is stored every ``CLOSE_SECONDS``; returns words for the user.

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
            self._store(self._study, None if everything else dirty, ending)
        except Exception:
            with self._lock:
                self._everything, self._dirty = self._everything or everything, self._dirty | dirty
            raise

    def _store(self, study: Study, numbers: set[int] | None, ending: bool) -> None:
        """Store what has changed of these trials, or of all, and of the rest of the folder."""
        before = set(self._sent)
        journal = study.folder / JOURNAL
        records = _whole_lines(journal.read_bytes()) if journal.is_file() else b""
        if numbers is not None:
            # What the journal says of a trial may be known here before anybody has said that the trial has changed.
            stored = self._sent.get(JOURNAL, (0,))[0]
            numbers = numbers | _trials_in(records[stored:])
        # Beside the journal lie Optuna's locks, which come and go.
        top = [path for path in sorted(study.folder.iterdir()) if not path.name.startswith((JOURNAL, *OWN))]
        top = [path for path in top if path.is_file() and not path.is_symlink()]
        if not ending and numbers:
            top = [path for path in top if path.name != LOG]
        # Read now: what they say of trials is stored before they are.
        contents = {path.name: (_stamp(path), path.read_bytes()) for path in top if self._is_new(path.name, path)}
        folders = _trial_folders(study) if numbers is None else [study.trial_folder(number) for number in numbers]
        files = [path for folder in sorted(folders) for path in folder.rglob("*")]
        if numbers is None:
            others = [path for path in study.folder.iterdir() if path.is_dir() and path.name != "trials"]
            files += [
                path
                for folder in others
                if folder.name != "wandb" or (ending and self._finished)
                for path in folder.rglob("*")
            ]
        self._put_all(study.folder, files)
        for name, (stamp, content) in contents.items():
            self._write(content, name, stamp)
        stamp = (len(records),)
        if records and self._sent.get(JOURNAL) != stamp:
            self._write(records, JOURNAL, stamp)
        if ending and self._finished:
            self._storage.remove_folder(CHECKPOINTS)
            # W&B's client has written some runs again, under other names.
            for name in self._storage.names("wandb"):
                if not (study.folder / name).is_file():
                    self._storage.remove(name)
        else:
            remove_ended(self._storage, study, before)

    def _put_all(self, folder: Path, files: Iterable[Path]) -> None:
        new = [(str(path.relative_to(folder)), path) for path in files if path.is_file() and not path.is_symlink()]
        new = [(name, path) for name, path in new if self._is_new(name, path)]
        with ThreadPoolExecutor(NUM_AT_ONCE) as pool:
            for rank in range(3):
                # All of them are awaited, and the first problem is raised: nothing of the next rank is stored then.
                list(pool.map(lambda item: self._put(*item), [item for item in new if rank_of(item[0]) == rank]))

    def _put(self, name: str, path: Path) -> None:
        # A temporary file may be gone, and a table replaced by a newer one, which is then stored again.
        with contextlib.suppress(FileNotFoundError):
            stamp = _stamp(path)
            self._storage.put(path, name)
            self._note_sent(name, stamp)

    def _write(self, content: bytes, name: str, stamp: tuple[int, ...]) -> None:
        self._storage.write(content, name)
        self._note_sent(name, stamp)

    def _note_sent(self, name: str, stamp: tuple[int, ...]) -> None:
        self._sent[name] = stamp
        self._progress = time.monotonic()
        # A long round must not cost the lease.
        self._lease.refresh()

    def _is_new(self, name: str, path: Path) -> bool:
        if path.name.startswith(".") and path.name.endswith(".tmp"):
            return False
        with contextlib.suppress(FileNotFoundError):
            return self._sent.get(name) != _stamp(path)
        return False

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


def _trial_folders(study: Study) -> list[Path]:
    return [study.trial_folder(number) for number in study.trials()]


def _whole_lines(content: bytes) -> bytes:
    """Without a last line that is being written."""
    return content[: content.rfind(b"\n") + 1]


def _trials_in(records: bytes) -> set[int]:
    """Numbers of the trials that records of a journal of one study speak of."""
    found = (json.loads(line).get("trial_id") for line in records.splitlines())
    return {number for number in found if number is not None}


def _stamp(path: Path) -> tuple[int, ...]:
    about = path.stat()
    return about.st_mtime_ns, about.st_size, about.st_ino
