"""Where log records go, for as long as a command, a search or a trial runs."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator

PACKAGES = ("leukemia", "search")
"""Every logger of the project is below one of these, as ``logging.getLogger(__name__)``. A module that is run as a
command is called ``__main__``: it has no logger."""


@contextlib.contextmanager
def logging_to(*handlers: logging.Handler) -> Iterator[None]:
    """Send the records of both packages to these handlers only, and restore the loggers at exit.

    Contexts nest: the inner one replaces the handlers of the outer one. Records from INFO up are passed on; each
    handler's own level decides what it takes. The handlers are closed at exit.
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
    """A record as a command prints it, such as ``warning: cells.npy is damaged``."""
    return f"{record.levelname.lower()}: {record.getMessage()}"


class StderrHandler(logging.StreamHandler):
    """Warnings and errors, a line each, on standard error."""

    def __init__(self) -> None:
        super().__init__()
        self.setLevel(logging.WARNING)

    def format(self, record: logging.LogRecord) -> str:
        return line_of(record)
