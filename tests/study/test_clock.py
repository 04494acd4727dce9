"""The clock of a study: times increase, whatever the machine's clock says."""

from __future__ import annotations

import datetime

import pytest

from leukemia.study import clock
from leukemia.study.clock import Clock


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Seconds since 1970 on this machine, which a test may change."""
    seconds = [1_700_000_000.1234]
    monkeypatch.setattr(clock.time, "time", lambda: seconds[0])
    return seconds


def test_a_time_is_that_of_the_machine_to_the_millisecond(now: list[float]) -> None:
    assert Clock().now() == "2023-11-14T22:13:20.123Z"


@pytest.mark.parametrize("behind", [0.0, 0.0004, 3600.0])
def test_a_time_is_later_than_all_before(now: list[float], behind: float) -> None:
    ours = Clock()
    first = ours.now()
    now[0] -= behind
    assert [first, ours.now(), ours.now()] == [f"2023-11-14T22:13:20.12{digit}Z" for digit in (3, 4, 5)]
    now[0] += behind + 60
    assert ours.now() == "2023-11-14T22:14:20.123Z"


def test_a_time_is_later_than_what_ended_on_another_machine(now: list[float]) -> None:
    ours = Clock()
    for text in ("2023-11-14T22:14:00.500Z", "2023-11-14T22:13:00Z"):
        ours.note(datetime.datetime.fromisoformat(text).timestamp())
    assert ours.now() == "2023-11-14T22:14:00.501Z"
