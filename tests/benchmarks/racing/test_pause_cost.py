"""What a pause costs, from the times at which epochs arrive."""

from __future__ import annotations

import pytest

from benchmarks.racing.pause_cost import Step, summary
from leukemia.study.job import Job

GAPS = {1: 4.0, 2: 0.5, 3: 1.3, 4: 0.5, 5: 1.3, 6: 0.1, 7: 0.1, 8: 0.5}
"""Seconds between the report of an epoch and the one before, besides the epoch itself; the rungs are 2 and 4."""


def test_a_pause_costs_what_its_epochs_take_longer() -> None:
    steps = [
        Step(Job(number, 0), epoch, seconds, seconds + gap)
        for number, seconds in ((1, 10.0), (2, 20.0), (3, 15.0))
        for epoch, gap in GAPS.items()
    ]
    found = summary(steps, [2, 4], 8)
    assert found == pytest.approx({"pause": 0.4, "going_on": 1.2, "first_rung": 34.1, "share": 1.6 / 34.1})
