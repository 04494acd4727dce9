"""The file ``optuna.journal``: repaired after a crash, and synced to disk once per decision."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from optuna.storages.journal import JournalFileBackend, JournalFileSymlinkLock


class JournalFile(JournalFileBackend):
    """Optuna's journal file with batched fsync.

    Optuna syncs each record separately. A proposal has about twenty records at a few milliseconds each on a busy disk,
    which takes as long as computing the proposal.
    """

    def __init__(self, path: Path) -> None:
        """Open or create the file. The caller must hold the study's lock: leftovers of a crashed driver are removed."""
        for lock in path.parent.glob(f"{path.name}.lock*"):
            if lock.name.endswith((".lock", ".rename")):
                lock.unlink()
        _truncate_partial_line(path)
        self._path, self._mutex = path, JournalFileSymlinkLock(str(path))
        self._sync = True
        super().__init__(str(path), self._mutex)

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        """Append records, one per line, and sync them to disk, except within ``batch``."""
        lines = "".join(f"{json.dumps(log, separators=(',', ':'))}\n" for log in logs)
        self._mutex.acquire()
        try:
            with self._path.open("ab") as stream:
                stream.write(lines.encode("utf-8"))
                stream.flush()
                if self._sync:
                    os.fsync(stream.fileno())
        finally:
            self._mutex.release()

    @contextlib.contextmanager
    def batch(self) -> Iterator[None]:
        """Sync records written in this block once, at its end. They survive a killed process even before that."""
        self._sync = False
        try:
            yield
        finally:
            self._sync = True
            with self._path.open("ab") as stream:
                os.fsync(stream.fileno())


def _truncate_partial_line(path: Path) -> None:
    """Remove a partial last line: Optuna ignores it, but would append the next record to it."""
    content = path.read_bytes() if path.is_file() else b""
    if content and not content.endswith(b"\n"):
        with path.open("r+b") as stream:
            stream.truncate(content.rfind(b"\n") + 1)
