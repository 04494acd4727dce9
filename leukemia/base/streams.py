"""Standard output and error of a command, whose reader may go away, and whose encoding may lack characters."""

from __future__ import annotations

import errno
import io
import os
import sys
from typing import Any

READER_LEFT = (errno.EPIPE, errno.EIO)
"""A pipe whose reader (`| head`) has closed it; a terminal that was closed."""


class _Output(io.FileIO):
    """A file descriptor that discards what cannot be written."""

    failure: OSError | None = None
    """Why text was discarded, other than because its reader left; None if it was not."""

    def write(self, data: Any, /) -> int:
        try:
            return super().write(data)
        except OSError as error:
            if error.errno in READER_LEFT:
                # Also for what libraries and child processes write to the descriptor.
                nowhere = os.open(os.devnull, os.O_WRONLY)
                os.dup2(nowhere, self.fileno())
                os.close(nowhere)
            else:
                self.failure = self.failure or error
            return memoryview(data).nbytes


def make_lasting() -> None:
    """Let no output end the work of this command, of which files are the result.

    A closed pipe or terminal takes the rest silently, a closed stream everything; of a full disk, ``failure`` tells
    at the end. Characters that the encoding lacks are escaped.
    """
    # A stream that a caller has put in their place has no descriptor.
    if sys.stdout is sys.__stdout__:
        sys.stdout = _lasting(sys.stdout)
    if sys.stderr is sys.__stderr__:
        sys.stderr = _lasting(sys.stderr)


def failure() -> OSError | None:
    """Why text for standard output was discarded, other than because its reader left; None if it was not."""
    raw = getattr(getattr(sys.stdout, "buffer", None), "raw", None)
    return raw.failure if isinstance(raw, _Output) else None


def _lasting(stream: Any) -> io.TextIOWrapper:
    # Closed before the command started (`>&-`).
    if stream is None:
        return open(os.devnull, "w", encoding="utf-8")
    stream.flush()
    return io.TextIOWrapper(
        io.BufferedWriter(_Output(stream.fileno(), "w", closefd=False)),
        encoding=stream.encoding,
        errors="backslashreplace",
        # Without buffers (`python -u`), Python writes each text at once.
        line_buffering=stream.line_buffering or stream.write_through,
    )
