"""Repeats with other seeds: of the starting recipe first, then of the leading two."""

from __future__ import annotations

import pytest
from helpers.races import NUM_FOLDS, RULES, evidence_of, race_of, run

from leukemia.study.job import Job
from leukemia.study.schema import State
from search.policy.race import Race
from search.policy.repeats import MAX_REPEATED, first_repeat, last_repeat


def test_the_start_is_repeated_once_and_only_if_it_is_complete() -> None:
    race = Race(RULES)
    assert first_repeat(race, set()) is None
    race.begin(Job(0, 5))
    run(race, 1, 0.9, 0.9, 0.9)
    assert first_repeat(race, {Job(0, 5)}) is None, "the start has not ended"
    for fold in range(NUM_FOLDS):
        race.add(Job(0, 5), fold, evidence_of(Job(0, 5), fold, 0.8))
    race.end(0, "complete")
    assert first_repeat(race, {Job(0, 5)}) is None, "it is still running"
    assert first_repeat(race, set()) == Job(0, 6)
    race.begin(Job(0, 6))
    assert first_repeat(race, set()) is None


@pytest.mark.parametrize("state", ["stopped", "failed"])
def test_an_incomplete_start_is_not_repeated(state: State) -> None:
    race = race_of((0.9,))
    race.end(0, state)
    assert first_repeat(race, set()) is None
    assert first_repeat(race_of((0.9, 0.9, 0.9), repeats=0), set()) is None


def repeats_of(race: Race, score: float) -> list[Job]:
    """Run all last repeats one after another, each with this score."""
    done = []
    while (job := last_repeat(race, set())) is not None:
        run(race, job.number, *[score] * NUM_FOLDS, seed=job.seed)
        done.append(job)
        assert len(done) < 20
    return done


def test_a_leader_always_gets_a_repeat_even_if_alone_or_far_ahead() -> None:
    assert repeats_of(race_of((0.9, 0.9, 0.9)), 0.9) == [Job(0, 1)]
    ahead = race_of((0.5, 0.5, 0.5), (0.95, 0.95, 0.95))
    assert repeats_of(ahead, 0.95) == [Job(1, 1)]


def test_equal_trials_are_repeated_in_turn_until_each_has_all_repeats() -> None:
    # Multiples of 1/8 have exact means.
    equal = (0.875, 0.875, 0.875)
    assert repeats_of(race_of(*[equal] * 3), 0.875) == [Job(0, 1), Job(1, 1), Job(0, 2), Job(1, 2)]


def test_no_repeats_after_the_difference_is_significant() -> None:
    race = race_of((0.85, 0.85, 0.85), (0.9, 0.9, 0.9))
    assert last_repeat(race, set()) == Job(1, 1)
    run(race, 1, 0.9, 0.9, 0.9, seed=1)
    interval = race.interval(1, 0)
    assert interval.low < 0 < interval.high
    assert last_repeat(race, set()) == Job(0, 1)
    run(race, 0, 0.5, 0.5, 0.5, seed=1)
    assert race.interval(1, 0).low > 0
    assert last_repeat(race, set()) is None


def test_a_new_leader_gets_a_repeat() -> None:
    race = race_of((0.6, 0.6, 0.6), (0.9, 0.9, 0.9), (0.875, 0.875, 0.9))
    assert last_repeat(race, set()) == Job(1, 1)
    run(race, 1, 0.8, 0.8, 0.8, seed=1)
    assert last_repeat(race, set()) == Job(2, 1)


def test_the_total_number_of_repeats_is_capped_except_for_first_repeats_of_leaders() -> None:
    # Each repeat lowers the leader's score, so that the next trial leads.
    race = race_of(*[(score,) * NUM_FOLDS for score in (0.5, 0.95, 0.95, 0.925, 0.925, 0.9, 0.9)], repeats=1)
    done = repeats_of(race, 0.85)
    assert [job.number for job in done] == [1, 2, 3, 4, 5, 6]
    assert len(done) > MAX_REPEATED * race.rules.repeats


def test_repeats_of_the_start_do_not_count_against_the_cap() -> None:
    race = race_of((0.9, 0.9, 0.9), (0.9, 0.9, 0.9), (0.6, 0.6, 0.6), repeats=1)
    for seed in (1, 2, 3):
        run(race, 2, 0.6, 0.6, 0.6, seed=seed)
    run(race, 0, 0.9, 0.9, 0.9, seed=1)
    assert last_repeat(race, set()) is None, "the cap is reached by trial 2"
    race = race_of((0.9, 0.9, 0.9), (0.9, 0.9, 0.9), repeats=1)
    for seed in (1, 2, 3):
        run(race, 0, 0.9, 0.9, 0.9, seed=seed)
    assert last_repeat(race, set()) == Job(1, 1)


def test_no_trial_has_two_repeats_running_at_once() -> None:
    race = race_of((0.9, 0.9, 0.9), (0.9, 0.9, 0.9))
    first = last_repeat(race, set())
    assert first == Job(0, 1)
    race.begin(first)
    second = last_repeat(race, {first})
    assert second == Job(1, 1)
    race.begin(second)
    assert last_repeat(race, {first, second}) is None


def test_without_repeats_or_contenders_nothing_is_repeated() -> None:
    assert last_repeat(race_of((0.9, 0.9, 0.9), repeats=0), set()) is None
    assert last_repeat(race_of((0.9,)), set()) is None


def test_a_failed_repeat_is_not_retried() -> None:
    race = race_of((0.9, 0.9, 0.9))
    race.begin(Job(0, 1))
    race.fail_repeat(Job(0, 1))
    assert first_repeat(race, set()) is None
    assert last_repeat(race, set()) is None


def test_in_a_comparison_every_complete_trial_has_all_repeats() -> None:
    race = race_of((0.95, 0.95, 0.95), (0.5,), (0.6, 0.6, 0.6), repeats=2, compares=True)
    assert first_repeat(race, set()) is None
    assert repeats_of(race, 0.6) == [Job(0, 1), Job(2, 1), Job(0, 2), Job(2, 2)]


def test_in_a_comparison_repeats_of_a_trial_run_at_the_same_time() -> None:
    race = race_of((0.9, 0.9, 0.9), repeats=2, compares=True)
    running: set[Job] = set()
    while (job := last_repeat(race, running)) is not None:
        race.begin(job)
        running.add(job)
    assert running == {Job(0, 1), Job(0, 2)}
    race.fail_repeat(Job(0, 1))
    assert last_repeat(race, set()) is None, "a failed one is not retried"
