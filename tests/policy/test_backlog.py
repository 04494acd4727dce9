"""The order in which jobs get the next free place."""

from __future__ import annotations

import pytest

from leukemia.config.recipe import Recipe
from leukemia.study.job import Job
from search.policy.backlog import Backlog, PendingJob

COSTS = {0: 1.0, 1: 5.0, 2: 3.0, 3: 9.0}


def pending(number: int) -> PendingJob:
    return Job(number, 0), Recipe()


def order(backlog: Backlog, slots: int) -> list[int]:
    taken = []
    while (found := backlog.take(slots)) is not None:
        taken.append(found[0].number)
    return taken


@pytest.mark.parametrize("slots", [1, 2])
def test_a_job_whose_fold_has_ended_keeps_its_place(slots: int) -> None:
    backlog = Backlog(lambda job: COSTS[job[0].number])
    backlog.add_new(pending(3))
    for number in (1, 2):
        backlog.add_started(pending(number))
    backlog.add_going(pending(0))
    assert (backlog.num_begun, len(backlog)) == (3, 4)
    assert order(backlog, slots) == [0, 1, 2, 3]


def test_with_several_slots_the_most_expensive_job_comes_first() -> None:
    backlog = Backlog(lambda job: COSTS[job[0].number])
    for number in COSTS:
        backlog.add_new(pending(number))
    assert backlog.take(2, include_new=False) is None
    assert order(backlog, 2) == [3, 1, 2, 0]
