"""``search.log``: what happened during a search, in full; its warnings are shown on the terminal, too."""

from __future__ import annotations

import logging
import time
from contextlib import AbstractContextManager
from pathlib import Path

from rich.console import Console

from leukemia.base.logs import line_of, logging_to
from leukemia.study import layout


def study_log(folder: Path, console: Console) -> AbstractContextManager[None]:
    """Append all records of both packages to a study's log and print warnings on the console."""
    return logging_to(_ToFile(folder / layout.LOG), _ToConsole(console))


class _ToFile(logging.FileHandler):
    """A line per record: time in UTC, level, message."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, encoding="utf-8")
        formatter = logging.Formatter("%(asctime)sZ %(levelname)s %(message)s", datefmt="%Y-%m-%dT%H:%M:%S")
        formatter.converter = time.gmtime
        self.setFormatter(formatter)

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802
        """Nothing: on a full disk each line would otherwise print a traceback."""


class _ToConsole(logging.Handler):
    """Warnings, printed above the live table. Errors end a search, and its command prints them."""

    def __init__(self, console: Console) -> None:
        super().__init__(logging.WARNING)
        self.addFilter(lambda record: record.levelno == logging.WARNING)
        self._console = console

    def emit(self, record: logging.LogRecord) -> None:
        self._console.print(line_of(record), markup=False, highlight=False, soft_wrap=True)
