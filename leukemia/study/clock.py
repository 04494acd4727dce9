"""The clock of a study: the times at which its folds and trials end, by which a resumed search knows their order."""

from __future__ import annotations

import datetime
import time


class Clock:
    """Times that always increase: a study may be resumed on a machine whose clock is behind, or a clock be set back."""

    def __init__(self) -> None:
        self._last = 0
        """Milliseconds since 1970."""

    def note(self, seconds: float) -> None:
        """Make all later times later than this one.

        Args:
            seconds: since 1970, of something that has ended.
        """
        self._last = max(self._last, round(1000 * seconds))

    def now(self) -> str:
        """The current time, or a millisecond after the last one if that is later; UTC, ISO 8601, to the millisecond."""
        self._last = max(self._last + 1, round(1000 * time.time()))
        moment = datetime.datetime.fromtimestamp(self._last // 1000, datetime.UTC)
        return f"{moment:%Y-%m-%dT%H:%M:%S}.{self._last % 1000:03d}Z"
