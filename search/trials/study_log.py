"""``search.log``: the full log of a search; warnings are also printed on the terminal."""

from __future__ import annotations

import contextlib
import logging
from contextlib import AbstractContextManager
from pathlib import Path

from rich.console import Console

from leukemia.base.logs import FileFormatter, line_of, logging_to
from leukemia.study import layout


def study_log(folder: Path, console: Console) -> AbstractContextManager[None]:
    """Append all records of both packages to the log of a study, and print warnings on the console."""
    return logging_to(_ToFile(folder / layout.LOG), _ToConsole(console))


class _ToFile(logging.FileHandler):
    """Appends to the log file."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, encoding="utf-8")
        self.setFormatter(FileFormatter())

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802
        """Ignore errors: on a full disk each record would otherwise print a traceback."""

    def close(self) -> None:
        """Close the file. On a full disk that fails for records that are still buffered, which are lost."""
        with contextlib.suppress(OSError):
            super().close()


class _ToConsole(logging.Handler):
    """Prints warnings above the live table. Errors end the search and are printed by its command."""

    def __init__(self, console: Console) -> None:
        super().__init__(logging.WARNING)
        self.addFilter(lambda record: record.levelno == logging.WARNING)
        self._console = console

    def emit(self, record: logging.LogRecord) -> None:
        # A closed terminal must not end what logs.
        with contextlib.suppress(OSError):
            self._console.print(line_of(record), markup=False, highlight=False, soft_wrap=True)
