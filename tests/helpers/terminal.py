"""Standard error as a terminal, where progress bars appear without a delay."""

from __future__ import annotations

import contextlib
import io
import os
import time
from collections.abc import Iterator
from unittest.mock import patch

from leukemia.base import progress


class Terminal(io.StringIO):
    """Keeps what is drawn on it."""

    def isatty(self) -> bool:
        return True

    def wait_for(self, text: str) -> None:
        """Wait until a text has been drawn."""
        end = time.monotonic() + 60
        while text not in self.getvalue():
            assert time.monotonic() < end, f"{text} is not drawn"
            time.sleep(0.01)


@contextlib.contextmanager
def on_terminal(*, delay_seconds: float = 0.0) -> Iterator[Terminal]:
    """Run the block on a terminal where bars appear after this time."""
    terminal = Terminal()
    delay = patch.object(progress, "DELAY_SECONDS", delay_seconds)
    with contextlib.redirect_stderr(terminal), delay, patch.dict(os.environ, TERM="xterm"):
        yield terminal
