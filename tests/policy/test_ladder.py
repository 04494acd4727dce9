"""The ladder's rule, sentence by sentence: who waits where, with which rank, and who goes on."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
from helpers.ladders import EPOCHS, RULES, RUNGS, climb, epoch_of, ladder_of, promoted, recipe_of

from leukemia.study.ladder import LadderRecord, Place, RungRecord
from search.policy.ladder import Ladder
from search.policy.ranking import ranked
from search.policy.rungs import Rungs

NOBODY: tuple[int, ...] = ()


def test_a_trial_waits_at_each_rung_and_nowhere_else() -> None:
    ladder = ladder_of(0.5)
    ladder.begin(1, recipe_of(40))
    places = []
    for epoch in range(1, 41):
        ladder.add_epoch(1, epoch_of(epoch, 0.6))
        place = ladder.place(1)
        if place is not None:
            places.append((epoch, place.share))
    assert places == [(2, 0.05), (6, 0.15), (18, 0.45)]
    ladder.add_score(1, 0.6)
    assert ladder.place(1) == Place(share=1.0, rank=1, reached=1)


@pytest.mark.parametrize(
    ("epochs", "of", "expected"),
    [
        (6, 40, "waits at 15 % of fold 1, rank 1 of 1"),
        (14, 30, "waits at 45 % of fold 1, rank 1 of 1"),
        (2, 4, "waits at 45 % of fold 1, rank 1 of 1"),
    ],
)
def test_people_see_where_a_trial_waits(epochs: int, of: int, expected: str) -> None:
    ladder = Ladder(RULES, RUNGS)
    climb(ladder, 1, *[0.5] * epochs, recipe=recipe_of(of))
    place = ladder.place(1)
    assert place is not None
    assert place.describe() == expected


def test_an_odd_share_is_shown_as_it_was_given() -> None:
    assert Place(share=0.07, rank=2, reached=3).describe() == "waits at 7 % of fold 1, rank 2 of 3"
    assert Place(share=0.125, rank=2, reached=3).describe() == "waits at 12.5 % of fold 1, rank 2 of 3"


def test_the_starting_recipe_never_waits_but_counts() -> None:
    ladder = ladder_of(0.9, 0.8, 0.7)
    assert ladder.place(0) is None
    # It takes the only place, so nobody else goes on.
    assert promoted(ladder) == []
    assert ladder.waiting(NOBODY) == [1, 2]
    climb(ladder, 0, score=0.9)
    assert ladder.place(0) is None


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ((0.1, 0.9), []),
        ((0.1, 0.9, 0.5), [1]),
        ((0.1, 0.9, 0.5, 0.6, 0.7), [1]),
        ((0.1, 0.9, 0.5, 0.6, 0.7, 0.2), [1, 4]),
        ((0.1, 0.9, 0.9, 0.9), [1]),  # a tie, the lower number
    ],
)
def test_the_best_third_of_those_at_a_rung_goes_on(values: tuple[float, ...], expected: list[int]) -> None:
    assert promoted(ladder_of(*values)) == expected


def test_another_share_goes_on_if_asked_for() -> None:
    assert promoted(ladder_of(0.1, 0.9, 0.5, 0.6, rungs=Rungs(keep=0.5))) == [1, 3]


def test_among_equal_values_the_lower_loss_goes_on() -> None:
    assert promoted(ladder_of(0.1, 0.9, 0.9, losses=[0.1, 0.4, 0.3])) == [2]


def test_an_undefined_accuracy_is_last_but_counts() -> None:
    ladder = ladder_of(0.1, math.nan, 0.2)
    assert promoted(ladder) == [2]
    assert ladder.place(1) == Place(share=0.05, rank=3, reached=3)


def test_trials_that_ended_or_went_on_keep_their_rank() -> None:
    ladder = ladder_of(0.1, 0.9, 0.8, 0.7, 0.6, 0.5)
    ladder.end(1)
    # Trial 1 still takes one of two places.
    assert promoted(ladder) == [2]
    ladder.add_epoch(2, epoch_of(3, 0.8))
    assert promoted(ladder) == []
    assert ladder.place(3) == Place(share=0.05, rank=3, reached=6)
    # Two more make eight, which is still two places; the ninth makes three.
    climb(ladder, 6, 0.0, 0.0)
    climb(ladder, 7, 0.0, 0.0)
    assert promoted(ladder) == []
    climb(ladder, 8, 0.0, 0.0)
    assert promoted(ladder) == [3]


def test_a_trial_that_ended_waits_no_more() -> None:
    ladder = ladder_of(0.1, 0.9, 0.8)
    ladder.end(1)
    assert ladder.place(1) is None
    assert ladder.waiting(NOBODY) == [2]


def test_trials_of_earlier_studies_do_not_count() -> None:
    values = (0.95, 0.94, 0.1, 0.9, 0.8)
    ladder = ladder_of(*values, num_priors=2, start=2)
    for number in (0, 1):
        ladder.end(number)
    assert ladder.place(3) == Place(share=0.05, rank=1, reached=3)
    assert promoted(ladder) == [3]


def test_a_trial_with_jobs_is_not_chosen_again() -> None:
    ladder = ladder_of(*[0.1] * 3, 0.9, 0.8, 0.7)
    assert ladder.promotable([3]) == 4
    assert ladder.promotable([3, 4]) is None
    assert ladder.waiting([3, 4]) == [5, 1, 2]


def test_a_rung_compares_only_the_trials_that_reached_it() -> None:
    ladder = ladder_of(0.1, 0.9, 0.8, 0.7, 0.6, 0.5)
    for number, value in ((1, 0.5), (2, 0.6)):
        for epoch in range(3, 7):
            ladder.add_epoch(number, epoch_of(epoch, value))
    assert ladder.place(1) == Place(share=0.15, rank=2, reached=2)
    assert ladder.place(3) == Place(share=0.05, rank=3, reached=6)


def test_the_highest_rung_goes_first() -> None:
    ladder = Ladder(RULES, RUNGS)
    for number in range(1, 4):
        climb(ladder, number, 0.5, 0.9 - number / 10)
    for number in range(4, 7):
        climb(ladder, number, *[0.4] * 5, 0.5 - number / 100)
    assert promoted(ladder) == [4, 1, 2]
    for number in range(7, 10):
        climb(ladder, number, *[0.1] * 40, score=0.2)
    assert promoted(ladder)[0] == 7


def test_at_the_folds_end_the_score_counts_and_is_not_reduced() -> None:
    """Trials 4 to 6 have a schedule that starts and ends higher: only the start is made up for."""
    ladder = Ladder(RULES, RUNGS)
    cosine = recipe_of(40, optimizer__name="adamw", optimizer__restart_epochs=40)
    shown = {1: 0.50, 2: 0.51, 3: 0.66, 4: 0.70, 5: 0.71, 6: 0.701}
    for number, value in shown.items():
        climb(ladder, number, 0.0, value, recipe=cosine if number > 3 else recipe_of(40))
    assert promoted(ladder) == [3, 5]
    for number, value in shown.items():
        climb(ladder, number, score=value)
    assert promoted(ladder) == [5, 6]


def test_at_the_folds_end_ties_go_to_the_lower_loss_of_the_last_epoch() -> None:
    ladder = Ladder(RULES, RUNGS)
    for number, loss in ((1, 0.5), (2, 0.3), (3, 0.4)):
        climb(ladder, number, *[0.5] * 40, losses=loss, score=0.8)
    assert promoted(ladder) == [2]


def test_a_trial_that_went_on_to_other_folds_waits_no_more() -> None:
    ladder = Ladder(RULES, RUNGS)
    for number in (1, 2, 3):
        climb(ladder, number, *[0.5] * 40, score=0.8)
    ladder.add_epoch(1, epoch_of(1, 0.5, fold=3))
    assert ladder.place(1) is None
    assert ladder.waiting(NOBODY) == [2, 3]


def test_with_one_fold_its_end_is_the_trials() -> None:
    ladder = Ladder(replace(RULES, num_folds=1), RUNGS)
    climb(ladder, 1, *[0.5] * 40, score=0.8)
    assert ladder.place(1) is None


def test_an_epoch_trained_again_keeps_its_first_value() -> None:
    ladder = ladder_of(0.1, 0.9, 0.8)
    ladder.add_epoch(1, epoch_of(2, 0.0))
    ladder.add_epoch(1, epoch_of(1, 0.0))
    assert promoted(ladder) == [1]
    assert ladder.place(1) == Place(share=0.05, rank=1, reached=3)


def test_without_anything_else_to_do_the_relatively_best_goes_on() -> None:
    ladder = Ladder(RULES, RUNGS)
    # Rank 2 of 2 (0.75) at 15 %; ranks 3 to 6 of 6 (0.42 to 0.92) at 5 %.
    for number, value in enumerate((0.9, 0.8, 0.7, 0.6, 0.5, 0.4), start=1):
        climb(ladder, number, 0.1, value)
    for number in (1, 2):
        for epoch in range(3, 7):
            ladder.add_epoch(number, epoch_of(epoch, 0.9 - number / 100))
    assert ladder.waiting(NOBODY) == [1, 3, 4, 2, 5, 6]


def test_equally_good_trials_go_on_from_the_higher_rung_first() -> None:
    ladder = Ladder(RULES, RUNGS)
    climb(ladder, 2, 0.1, 0.9)
    climb(ladder, 3, *[0.1] * 6)
    climb(ladder, 4, 0.1, 0.8)
    # (0 + 1/2) / 1 and (1 + 1/2) / 3 are both one half.
    assert [ladder.place(number) for number in (3, 4)] == [
        Place(share=0.15, rank=1, reached=1),
        Place(share=0.05, rank=2, reached=3),
    ]
    assert ladder.waiting(NOBODY) == [2, 3, 4]


def test_trials_of_different_lengths_meet_at_the_share() -> None:
    ladder = Ladder(RULES, RUNGS)
    climb(ladder, 1, *[0.5] * 6, recipe=recipe_of(40))
    climb(ladder, 2, *[0.6] * 5, recipe=recipe_of(30))
    climb(ladder, 3, *[0.7] * 2, recipe=recipe_of(8))
    assert ladder.place(1) == Place(share=0.15, rank=3, reached=3)
    assert ladder.place(3) == Place(share=0.15, rank=1, reached=3)
    # Eight epochs have no rung at 5 %: after two of them a quarter is trained.
    climb(ladder, 4, *[0.4] * 2, recipe=recipe_of(40))
    assert ladder.place(4) == Place(share=0.05, rank=3, reached=3)


def test_without_shares_only_the_folds_end_holds() -> None:
    ladder = Ladder(RULES, Rungs(shares=()))
    climb(ladder, 1, *[0.5] * 39)
    assert ladder.place(1) is None
    climb(ladder, 1, *[0.5] * 40, score=0.5)
    assert ladder.waiting(NOBODY) == [1]


@pytest.mark.parametrize(
    ("rules", "expected"), [({"by_cost": True}, [1, 3]), ({}, [1, 2])], ids=["score and cost", "score"]
)
def test_with_two_objectives_fronts_of_value_and_seconds_are_ranked(rules: dict[str, Any], expected: list[int]) -> None:
    ladder = Ladder(replace(RULES, **rules), RUNGS)
    seconds = {1: 5.0, 2: 6.0, 3: 1.0, 4: 9.0, 5: 9.0, 6: 9.0}
    for number, each in seconds.items():
        climb(ladder, number, 0.1, 0.9 - number / 100, seconds=each)
    assert promoted(ladder) == expected


def test_an_epoch_between_two_rungs_ranks_nothing_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every epoch asks: a study of hundreds of trials would feel it."""
    ladder, calls = ladder_of(0.1, 0.9, 0.8, 0.7), []
    monkeypatch.setattr(
        "search.policy.ladder.ranked", lambda *args, **options: calls.append(args) or ranked(*args, **options)
    )
    promoted(ladder)
    counts = []
    for epoch in range(3, 8):
        ladder.add_epoch(1, epoch_of(epoch, 0.8))
        promoted(ladder)
        ladder.waiting(NOBODY)
        counts.append(len(calls))
    # Before epoch 6, no rung but the first has been reached; it is ranked once, as are those that nobody has reached.
    assert counts == [4, 4, 4, 5, 5]


def test_the_record_has_the_places_of_those_that_wait_and_counts_the_others() -> None:
    ladder = ladder_of(0.5, 0.9, 0.8, 0.7)
    ladder.add_epoch(1, epoch_of(3, 0.9))
    ladder.end(2)
    # Trial 0 is the start, 1 has gone on, 2 has ended; 3 waits, or is due to go on.
    assert ladder.record({3}) == LadderRecord(
        rungs=[RungRecord(share=0.05, trained=0.05, reached=4, went_on=2)],
        waiting={"0003": Place(share=0.05, rank=3, reached=4)},
    )
    assert ladder.record(()) == LadderRecord(rungs=[RungRecord(share=0.05, trained=0.05, reached=4, went_on=3)])
    assert ladder_of(0.5, 0.9, pausing=False).record({1}) == LadderRecord()


def test_a_trial_that_reached_a_higher_rung_has_gone_on_from_those_below() -> None:
    ladder = Ladder(RULES, RUNGS)
    climb(ladder, 1, *[0.5] * 6)
    climb(ladder, 2, *[0.5] * 40, score=0.5)
    ladder.end(2)
    counts = [(rung.share, rung.reached, rung.went_on) for rung in ladder.record({1}).rungs]
    assert counts == [(0.05, 2, 2), (0.15, 2, 1), (0.45, 1, 1), (1.0, 1, 0)], "trial 2 ended at the end of fold 0"


def test_the_record_says_how_much_was_trained_at_a_rung() -> None:
    ladder = Ladder(RULES, RUNGS)
    for number, of in ((1, 40), (2, 20)):
        climb(ladder, number, 0.5, 0.6, recipe=recipe_of(of))
    # No trial waits after the first epoch, so 5 % of 20 epochs are two of them.
    assert ladder.record({1, 2}).rungs == [RungRecord(share=0.05, trained=(0.05 + 0.1) / 2, reached=2, went_on=0)]


def test_what_trials_showed_is_reduced_by_their_schedules_until_the_end_of_fold_0() -> None:
    ladder = Ladder(replace(RULES, num_priors=1), RUNGS)
    slow = recipe_of(optimizer__name="adamw", optimizer__restart_epochs=EPOCHS)
    climb(ladder, 0, *[0.5] * 40, score=0.6)
    for number in range(1, 9):
        climb(ladder, number, 0.1, 0.8 if number < 5 else 0.4, recipe=None if number < 5 else slow)
    climb(ladder, 1, *[0.1, 0.8, *[0.7] * 38], score=0.9)
    climb(ladder, 9, 0.1)
    shown = ladder.shown()
    # Reused from an earlier study: its score compares, its epochs need not.
    assert shown[0] == {4: 0.6}
    # Means are shrunk to that of all, 0.6, which counts as four trials: 0.7 and 0.5.
    assert shown[2] == {1: pytest.approx(0.1)}
    assert shown[8] == {1: pytest.approx(-0.1)}
    assert list(shown[1]) == [1, 2, 3, 4]
    assert shown[1][4] == 0.9
    assert 9 not in shown


def test_without_pausing_nothing_is_shown() -> None:
    ladder = ladder_of(0.1, 0.9, pausing=False)
    assert ladder.shown() == {}
