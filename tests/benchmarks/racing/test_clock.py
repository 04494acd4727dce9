"""Simulated time, cost and regret, checked by hand."""

from __future__ import annotations

import numpy as np

from benchmarks.racing.replaying.clock import Moment, Work, cost_until_good, regret_at, simulate


class Scripted:
    """Two trials of two pieces each; recipe 0 until the second trial has ended, then recipe 1."""

    def __init__(self, seconds: list[list[float]]) -> None:
        self.choice: int | None = None
        self._seconds = seconds
        self._ready = [(trial, 0) for trial in reversed(range(len(seconds)))]

    def next(self) -> Work | None:
        if not self._ready:
            return None
        trial, step = self._ready.pop()
        return Work(trial, 0, step, self._seconds[trial][step])

    def finish(self, work: Work) -> None:
        if work.step + 1 < len(self._seconds[work.trial]):
            self._ready.append((work.trial, work.step + 1))
        else:
            self.choice = work.trial


def test_time_and_cost_by_hand() -> None:
    # Worker A runs trial 0 until 5, then trial 2 until 8; worker B runs trial 1 until 9.
    moments = simulate(Scripted([[2, 3], [4, 5], [1, 2]]), num_workers=2)
    assert moments == [
        Moment(0.0, 0.0, None),
        Moment(5.0, 10.0, 0),
        Moment(8.0, 16.0, 2),
        Moment(9.0, 17.0, 1),
        Moment(9.0, 17.0, 1),
    ]


def test_cost_counts_work_in_flight_until_the_choice_stays_good() -> None:
    moments = simulate(Scripted([[2, 3], [4, 5], [1, 2]]), num_workers=2)
    # Trial 0 ends at 5, while 5 of the 9 seconds of trial 1 have been spent on another worker.
    assert cost_until_good(moments, np.array([1.0, 1.0, 1.0]), 0.99) == 10.0
    assert cost_until_good(moments, np.array([1.0, 1.0, 0.5]), 0.99) == 17.0
    assert cost_until_good(moments, np.array([1.0, 0.5, 1.0]), 0.99) == np.inf


def test_regret_before_a_choice_is_that_of_the_starting_recipe() -> None:
    moments = [Moment(0, 0, None), Moment(1, 4, 1), Moment(2, 8, 2)]
    regrets = regret_at(moments, np.array([0.5, 0.8, 0.9]), np.array([0.0, 3.9, 4.0, 100.0]))
    np.testing.assert_allclose(regrets, [0.4, 0.4, 0.1, 0.0])
