"""Upload the changed files of a study, in an order that keeps the stored study resumable at any time."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Collection, Iterable
from pathlib import Path

from leukemia.base.listing import entries_below
from leukemia.study import layout
from leukemia.study.folder import Study
from leukemia.study.models import delivered_models
from search.storage.checkpoints import remove_ended
from search.storage.filesystem import Storage
from search.storage.models import MARKERS, make_way
from search.storage.parallel import for_each
from search.storage.retrieval import rank_of


class Upload:
    """The files of one study, and which of them the storage already has."""

    def __init__(self, storage: Storage, on_stored: Callable[[], None]) -> None:
        """
        Args:
            storage: folder of this study.
            on_stored: called after each file.
        """
        self._storage, self._on_stored = storage, on_stored
        self._sent: dict[str, tuple[int, ...]] = {}

    def begin(self, study: Study) -> None:
        """Upload the files that make it a study. Nothing else is taken to be stored.

        Raises:
            StorageFailed: one cannot be stored.
        """
        self._sent = {}
        # ``study.json`` first: without it, files in the storage are not ours.
        for name in (layout.STUDY, layout.SPLITS):
            self._storage.put(study.folder / name, name)

    def store(self, study: Study, numbers: Collection[int] | None, *, ending: bool, finished: bool) -> None:
        """Upload the changed files of these trials, or of all trials if None, and of the rest of the folder.

        Args:
            ending: whether the search ends, so that this is the last upload.
            finished: whether it has run to its end: then W&B's own folders are uploaded, too, and checkpoints removed.

        Raises:
            StorageFailed: the rest is uploaded next time.
        """
        before = set(self._sent)
        journal = study.folder / layout.JOURNAL
        records = _whole_lines(journal.read_bytes()) if journal.is_file() else b""
        if numbers is not None:
            # The journal may record a change of a trial before the mirror is notified of it.
            stored = self._sent.get(layout.JOURNAL, (0,))[0]
            numbers = {*numbers, *_trials_in(records[stored:])}
        top = [path for path in sorted(study.folder.iterdir()) if path != journal]
        if not ending and numbers:
            # It grows with each epoch: uploaded only if nothing else is, and at the end.
            top = [path for path in top if path.name != layout.LOG]
        # Read now, uploaded last: the trials that they refer to are stored before them.
        contents = self._read_new(study.folder, top)
        folders = _trial_folders(study) if numbers is None else [study.trial_folder(number) for number in numbers]
        files = [path for folder in sorted(folders) for path in entries_below(folder)]
        if numbers is None:
            models = delivered_models(study)
            markers = [study.folder / name / marker for name in models for marker in MARKERS]
            # If a model is replaced meanwhile, the stored record is that of the old one, which the next round notices.
            contents = self._read_new(study.folder, markers) | contents
            for name in models:
                for gone in make_way(self._storage, study, name):
                    self._sent.pop(gone, None)
            runs = [layout.WANDB] if ending and finished else []
            inside = [path for name in (*models, *runs, layout.PLUGINS) for path in entries_below(study.folder / name)]
            files += [path for path in inside if path not in markers]
        self._put_all(study.folder, files)
        for name, (content, stamp) in contents.items():
            self._write(content, name, stamp)
        stamp = (len(records),)
        if records and self._sent.get(layout.JOURNAL) != stamp:
            self._write(records, layout.JOURNAL, stamp)
        remove_ended(self._storage, study, before, finished=ending and finished)
        if ending and finished:
            # W&B's client has rewritten some runs under other names.
            for name in self._storage.names(layout.WANDB):
                if layout.is_study_file(name) and not (study.folder / name).is_file():
                    self._storage.remove(name)

    def _read_new(self, folder: Path, paths: Iterable[Path]) -> dict[str, tuple[bytes, tuple[int, ...]]]:
        """Content and stamp of each of the study's own files that is new, by name."""
        found = {}
        for path in [path for path in paths if _is_file(folder, path)]:
            name = str(path.relative_to(folder))
            with contextlib.suppress(FileNotFoundError):
                stamp = _stamp(path)
                if self._sent.get(name) != stamp:
                    found[name] = path.read_bytes(), stamp
        return found

    def _put_all(self, folder: Path, files: Iterable[Path]) -> None:
        new = [(str(path.relative_to(folder)), path) for path in files if _is_file(folder, path)]
        new = [(name, path) for name, path in new if self._is_new(name, path)]
        for rank in range(3):
            # Waits for all of them and raises the first error: nothing of the next rank is uploaded then.
            for_each([item for item in new if rank_of(item[0]) == rank], lambda item: self._put(*item))

    def _put(self, name: str, path: Path) -> None:
        # A temporary file may have been removed, or a table replaced by a newer one, which is uploaded again later.
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
        with contextlib.suppress(FileNotFoundError):
            return self._sent.get(name) != _stamp(path)
        return False


def _is_file(folder: Path, path: Path) -> bool:
    """Whether a path is that of one of the study's own files."""
    return layout.is_study_file(str(path.relative_to(folder))) and path.is_file() and not path.is_symlink()


def _trial_folders(study: Study) -> list[Path]:
    return [study.trial_folder(number) for number in study.trials()]


def _whole_lines(content: bytes) -> bytes:
    """The content without a last line that is still being written."""
    return content[: content.rfind(b"\n") + 1]


def _trials_in(records: bytes) -> set[int]:
    """Numbers of the trials in records of the journal of one study."""
    found = (json.loads(line).get("trial_id") for line in records.splitlines())
    return {number for number in found if number is not None}


def _stamp(path: Path) -> tuple[int, ...]:
    status = path.stat()
    return status.st_mtime_ns, status.st_size, status.st_ino
