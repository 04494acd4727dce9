"""Upload what is new of a study, in an order that leaves a study that can be resumed whenever it breaks off."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Collection, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from leukemia.study import layout
from leukemia.study.folder import Study
from search.storage.checkpoints import CHECKPOINTS, remove_ended
from search.storage.filesystem import Storage
from search.storage.retrieval import NUM_AT_ONCE, OWN, rank_of


class Upload:
    """The files of one study, and which of them the storage has already."""

    def __init__(self, storage: Storage, on_stored: Callable[[], None]) -> None:
        """
        Args:
            storage: of this study.
            on_stored: called after each file.
        """
        self._storage, self._on_stored = storage, on_stored
        self._sent: dict[str, tuple[int, ...]] = {}

    def store(self, study: Study, numbers: Collection[int] | None, *, ending: bool, finished: bool) -> None:
        """Store what has changed of these trials, or of all, and of the rest of the folder.

        Args:
            ending: whether the search ends, so that this is the last time.
            finished: whether it came to its end: then W&B's own folders are stored, too, and no checkpoint is kept.

        Raises:
            StorageFailed: the rest is stored the next time.
        """
        before = set(self._sent)
        journal = study.folder / layout.JOURNAL
        records = _whole_lines(journal.read_bytes()) if journal.is_file() else b""
        if numbers is not None:
            # What the journal says of a trial may be known here before anybody has said that the trial has changed.
            stored = self._sent.get(layout.JOURNAL, (0,))[0]
            numbers = {*numbers, *_trials_in(records[stored:])}
        # Beside the journal lie Optuna's locks, which come and go.
        top = [path for path in sorted(study.folder.iterdir()) if not path.name.startswith((layout.JOURNAL, *OWN))]
        top = [path for path in top if path.is_file() and not path.is_symlink()]
        if not ending and numbers:
            # It grows with each epoch: uploaded when nothing else is, and at the end.
            top = [path for path in top if path.name != layout.LOG]
        # Read now: what they say of trials is stored before they are.
        contents = {path.name: (_stamp(path), path.read_bytes()) for path in top if self._is_new(path.name, path)}
        folders = _trial_folders(study) if numbers is None else [study.trial_folder(number) for number in numbers]
        files = [path for folder in sorted(folders) for path in folder.rglob("*")]
        if numbers is None:
            others = [path for path in study.folder.iterdir() if path.is_dir() and path.name != layout.TRIALS]
            files += [
                path
                for folder in others
                if folder.name != layout.WANDB or (ending and finished)
                for path in folder.rglob("*")
            ]
        self._put_all(study.folder, files)
        for name, (stamp, content) in contents.items():
            self._write(content, name, stamp)
        stamp = (len(records),)
        if records and self._sent.get(layout.JOURNAL) != stamp:
            self._write(records, layout.JOURNAL, stamp)
        if ending and finished:
            self._storage.remove_folder(CHECKPOINTS)
            # W&B's client has written some runs again, under other names.
            for name in self._storage.names(layout.WANDB):
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
        self._on_stored()

    def _is_new(self, name: str, path: Path) -> bool:
        if path.name.startswith(".") and path.name.endswith(".tmp"):
            return False
        with contextlib.suppress(FileNotFoundError):
            return self._sent.get(name) != _stamp(path)
        return False


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
