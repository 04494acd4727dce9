"""The file ``optuna.journal``: opened after a crash, and forced to the disk once per decision."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from optuna.storages.journal import JournalFileBackend, JournalFileSymlinkLock


class JournalFile(JournalFileBackend):
    """Optuna's journal file, whose records may be forced to the disk together.

    Optuna forces each record alone: twenty for a proposal, a few milliseconds each on a busy disk, which is as long as
    the proposal itself takes to compute.
    """

    def __init__(self, path: Path) -> None:
        """Open or begin the file. The caller holds the study's lock: what a dead driver left half-done is removed."""
        for stale in path.parent.glob(f"{path.name}.lock*"):
            stale.unlink()
        _cut_torn_line(path)
        self._path, self._mutex = path, JournalFileSymlinkLock(str(path))
        self._force = True
        super().__init__(str(path), self._mutex)

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        """Write records, each a line; they are on the disk afterwards, unless written ``together`` with others."""
        lines = "".join(f"{json.dumps(log, separators=(',', ':'))}\n" for log in logs)
        self._mutex.acquire()
        try:
            with self._path.open("ab") as stream:
                stream.write(lines.encode("utf-8"))
                stream.flush()
                if self._force:
                    os.fsync(stream.fileno())
        finally:
            self._mutex.release()

    @contextlib.contextmanager
    def together(self) -> Iterator[None]:
        """What is written in this block is on the disk at its end; a killed process loses none of it, either."""
        self._force = False
        try:
            yield
        finally:
            self._force = True
            with self._path.open("ab") as stream:
                os.fsync(stream.fileno())


def _cut_torn_line(path: Path) -> None:
    """Optuna passes over a last line without an end, but its next record would be written onto it."""
    content = path.read_bytes() if path.is_file() else b""
    if content and not content.endswith(b"\n"):
        with path.open("r+b") as stream:
            stream.truncate(content.rfind(b"\n") + 1)
