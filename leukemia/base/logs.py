"""Routing of log records while a command, a search or a trial runs."""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Iterator
from typing import Any

from leukemia.base.printable import INDENT, one_line, printable

PACKAGES = ("leukemia", "search")
"""Every logger of the project is below one of these, as ``logging.getLogger(__name__)``. Modules run as commands, whose
name is ``__main__``, have no logger."""


@contextlib.contextmanager
def logging_to(*handlers: logging.Handler) -> Iterator[None]:
    """Send the records of both packages to these handlers only, and restore the loggers at exit.

    Contexts nest: the inner one replaces the handlers of the outer one. Records from INFO upwards are passed on and
    filtered by each handler's level. The handlers are closed at exit.
    """
    loggers = [logging.getLogger(name) for name in PACKAGES]
    before = [(logger.handlers, logger.level, logger.propagate) for logger in loggers]
    for logger in loggers:
        logger.handlers, logger.propagate = list(handlers), False
        logger.setLevel(logging.INFO)
    try:
        yield
    finally:
        for logger, (kept, level, propagate) in zip(loggers, before, strict=True):
            logger.handlers, logger.propagate = kept, propagate
            logger.setLevel(level)
        for handler in handlers:
            handler.close()


def line_of(record: logging.LogRecord) -> str:
    """A record as printed by commands, such as ``warning: cells.npy is damaged``; made printable."""
    return printable(f"{record.levelname.lower()}: {record.getMessage()}")


class StderrHandler(logging.StreamHandler):
    """Prints warnings and errors to stderr, one line each."""

    def __init__(self) -> None:
        super().__init__()
        self.setLevel(logging.WARNING)

    def format(self, record: logging.LogRecord) -> str:
        return line_of(record)


class FileFormatter(logging.Formatter):
    """Formats records for a log file: UTC time, level, message; every line of a traceback is indented."""

    def __init__(self) -> None:
        super().__init__("%(asctime)sZ %(levelname)s %(message)s", datefmt="%Y-%m-%dT%H:%M:%S")
        self.converter = time.gmtime

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802
        """The message, made printable."""
        return printable(super().formatMessage(record))

    def formatException(self, ei: Any) -> str:  # noqa: N802
        """The traceback, made printable."""
        return "\n".join(f"{INDENT}{one_line(line)}" for line in super().formatException(ei).split("\n"))
