"""A clock that only the test moves."""

from __future__ import annotations

import pytest

from leukemia.training import checkpoint_writer


class Clock:
    """Takes the place of the module ``time``; each look moves it by ``step`` seconds."""

    def __init__(self, step: float = 0.0) -> None:
        self.seconds, self._step = 0.0, step

    def monotonic(self) -> float:
        self.seconds += self._step
        return self.seconds


def clock_of_checkpoints(monkeypatch: pytest.MonkeyPatch, step: float = 0.0) -> Clock:
    """The clock by which checkpoints are due in this test."""
    clock = Clock(step)
    monkeypatch.setattr(checkpoint_writer, "time", clock)
    return clock
