"""The order in which jobs get the next free place."""

from __future__ import annotations

import pytest

from leukemia.config.recipe import Recipe
from leukemia.study.job import Job
from search.policy.backlog import Backlog, PendingJob
from search.policy.effort import effort

COSTS = {0: 1.0, 1: 5.0, 2: 3.0, 3: 9.0}


def pending(number: int) -> PendingJob:
    return Job(number, 0), Recipe()


def order(backlog: Backlog, slots: int) -> list[int]:
    taken = []
    while (found := backlog.take_started(slots) or backlog.take_more(slots) or backlog.take_new(slots)) is not None:
        taken.append(found[0].number)
    return taken


@pytest.mark.parametrize("slots", [1, 2])
def test_a_job_whose_fold_has_ended_keeps_its_place(slots: int) -> None:
    backlog = Backlog(lambda job: COSTS[job[0].number])
    backlog.add_new(pending(3))
    for number in (1, 2):
        backlog.add_started(pending(number))
    backlog.add_going(pending(0))
    assert (backlog.num_begun, backlog.num_new) == (3, 1)
    assert order(backlog, slots) == [0, 1, 2, 3]


def test_with_several_slots_the_most_expensive_job_comes_first() -> None:
    backlog = Backlog(lambda job: COSTS[job[0].number])
    for number in COSTS:
        backlog.add_new(pending(number))
    assert backlog.take_started(2) is None
    assert order(backlog, 2) == [3, 1, 2, 0]


@pytest.mark.parametrize(
    ("slots", "expected"),
    [(1, [4, 0, 1, 2, 3]), (2, [4, 1, 3, 2, 0])],
)
def test_started_jobs_come_first_and_the_earlier_one_in_case_of_a_tie(slots: int, expected: list[int]) -> None:
    sized = Recipe().with_settings({"data.crop_px": 224, "data.size_px": 224})
    backlog = Backlog(lambda job: effort(job[1]))
    for number, depth in enumerate((18, 152, 50, 152)):
        backlog.add_new((Job(number, 0), sized.with_settings({"model.depth": depth})))
    backlog.add_started((Job(4, 0), sized))
    assert order(backlog, slots) == expected


def test_a_job_has_a_place_for_each_fold_until_it_is_removed() -> None:
    backlog = Backlog(lambda job: COSTS[job[0].number])
    for number in (1, 1, 2, 1):
        backlog.add_more(pending(number))
    backlog.add_started(pending(1))
    assert backlog.take_more(1) == pending(1)
    backlog.remove(Job(1, 0))
    assert order(backlog, 1) == [2]
