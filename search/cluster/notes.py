"""Warnings of a trial: logged in its worker process, sent to the driver with the trial's next report."""

from __future__ import annotations

import logging

from leukemia.study.job import Job


class Notes(logging.Handler):
    """Collects a trial's warnings, each once, as lines that name the trial."""

    def __init__(self, job: Job) -> None:
        super().__init__(logging.WARNING)
        self._job = job
        self._seen, self._new = set[str](), list[str]()

    def emit(self, record: logging.LogRecord) -> None:
        line = f"trial {self._job.number:04d} seed {self._job.seed}: {record.getMessage()}"
        if line not in self._seen:
            self._seen.add(line)
            self._new.append(line)

    def take(self) -> list[str]:
        """The lines collected since the last call."""
        self.acquire()
        try:
            # Checkpoints are written in another thread, which may warn.
            new, self._new = self._new, []
        finally:
            self.release()
        return new
