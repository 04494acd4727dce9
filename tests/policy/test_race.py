"""The race: leader, winner, verdicts, noise and patience, independent of the order in which results arrive."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from helpers.races import NUM_FOLDS, NUM_IMAGES, RULES, evidence_of, race_of, run
from scipy.stats import t as student

from leukemia.scoring.jackknife import paired_jackknife
from leukemia.scoring.paired import PRIOR_NOISE, fold_noise
from leukemia.study.job import Job
from search.policy.early_stopping import CONTINUE, judge_race
from search.policy.race import Race
from search.policy.repeats import last_repeat


def difference(race: Race, a: list[Job], b: list[Job], folds: Sequence[int] = range(NUM_FOLDS)) -> Any:
    """The paired difference, computed independently of ``Race``."""
    sides = [
        np.stack([np.concatenate([race._folds[job][fold].probabilities for fold in folds]) for job in jobs])
        for jobs in (a, b)
    ]
    seen = [race._folds[a[0]][fold] for fold in folds]
    labels, groups = (np.concatenate([getattr(each, name) for each in seen]) for name in ("labels", "groups"))
    return paired_jackknife(labels, sides[0], sides[1], groups, "accuracy")


def test_without_complete_trials_there_is_no_leader() -> None:
    race = race_of((0.9,), (0.9, 0.9))
    assert (race.leader(), race.winner(), race.contenders()) == (None, None, [])


def test_the_leader_has_the_highest_mean_over_all_its_seeds() -> None:
    race = race_of((0.8, 0.8, 0.8), (0.9, 0.8, 0.85), (0.95,))
    leader = race.leader()
    assert leader is not None
    assert (leader.number, leader.score) == (1, pytest.approx(0.85))
    run(race, 1, 0.7, 0.75, 0.7, seed=1)
    assert race.contenders()[1].fold_scores == (0.9, 0.8, 0.85, 0.7, 0.75, 0.7)
    assert race.contenders()[1].score == pytest.approx(4.7 / 6)
    leader = race.leader()
    assert leader is not None
    assert leader.number == 0


def test_complete_jobs_are_the_trial_and_its_repeats_with_all_folds() -> None:
    race = Race(RULES)
    run(race, 4, 0.8, 0.8, 0.8, seed=7)
    run(race, 4, 0.8, 0.8, 0.8, seed=9)
    run(race, 4, 0.8, 0.8, 0.8, seed=3)
    run(race, 4, 0.8, 0.8, seed=8)
    run(race, 4, 0.1, 0.1, 0.1, seed=11)
    race.fail_repeat(Job(4, 11))
    assert race.complete_jobs(4) == [Job(4, 7), Job(4, 3), Job(4, 9)]
    assert race.contenders()[0].score == pytest.approx(0.8)


def test_without_a_reference_only_trials_no_better_than_chance_are_stopped() -> None:
    race = Race(RULES)
    job = Job(0, 0)
    race.begin(job)
    race.add(job, 0, evidence_of(job, 0, 0.6))
    assert race.judge(0) == CONTINUE
    race.add(job, 1, replace(evidence_of(job, 1, 0.6), probabilities=np.full(NUM_IMAGES, 0.9)))
    assert race.judge(0).reason == "no better than chance: predicts a single class for all images of fold 2"


def judged(race: Race, number: int, *scores: float) -> str:
    """The reason of the verdict after these folds; empty if the trial continues."""
    job = Job(number, 0)
    race.begin(job)
    for fold, score in enumerate(scores):
        race.add(job, fold, evidence_of(job, fold, score))
    return race.judge(number).reason


def test_a_trial_is_compared_with_the_leader_on_its_own_folds() -> None:
    race = race_of((0.9, 0.9, 0.9), (0.95, 0.95, 0.95))
    assert judged(race, 2, 0.9) == ""
    assert judged(race, 3, 0.7, 0.7) == (
        judge_race(
            difference(race, [Job(3, 0)], [Job(1, 0)], range(2)),
            folds_seen=2,
            num_folds=NUM_FOLDS,
            noise=PRIOR_NOISE,
            num_rivals=2,
        ).reason
    )
    assert race.judge(3).reason.startswith("cannot win: 25.0 points below the best (optimistic bound: -")


def test_all_seeds_of_a_reference_are_compared() -> None:
    race = race_of((0.95, 0.95, 0.95), (0.5, 0.9, 0.9), prior_noise=0.06)
    run(race, 0, 0.9, 0.9, 0.95, seed=1)
    run(race, 0, 0.95, 0.85, 0.95, seed=2)
    against = [Job(0, 0), Job(0, 1), Job(0, 2)]
    assert judged(race, 2, 0.7, 0.7) == (
        judge_race(
            difference(race, [Job(2, 0)], against, range(2)),
            folds_seen=2,
            num_folds=NUM_FOLDS,
            noise=race.noise(),
            num_rivals=2,
            reference_seeds=3,
        ).reason
    )
    assert ": 21.7 points below" in race.judge(2).reason


@pytest.mark.parametrize("rules", [{"racing": False}, {"margin": 0.5}])
def test_rules_are_applied(rules: dict[str, Any]) -> None:
    assert judged(race_of((0.95, 0.95, 0.95), **rules), 1, 0.7, 0.7) == ""
    assert judged(race_of((0.95, 0.95, 0.95)), 1, 0.7, 0.7) != ""
    guessing = race_of((0.95, 0.95, 0.95), **rules)
    guessing.begin(Job(1, 0))
    guessing.add(Job(1, 0), 0, replace(evidence_of(Job(1, 0), 0, 0.5), probabilities=np.zeros(NUM_IMAGES)))
    assert guessing.judge(1).reason.startswith("no better than chance")


def test_a_leader_is_not_compared_with_itself() -> None:
    race = race_of((0.95, 0.95, 0.95))
    assert race.judge(0) == CONTINUE


def test_a_trial_with_all_folds_continues() -> None:
    assert judged(race_of((0.95, 0.95, 0.95)), 1, 0.7, 0.7, 0.7) == ""


PAUSED = [{"pausing": True}, {"paused_before": True}]
"""Fold 0 has chosen which trials run on: in this session, or in an earlier one or another study."""


def judged_on(race: Race, number: int, folds: dict[int, float]) -> str:
    """As ``judged``, on these folds."""
    job = Job(number, 0)
    race.begin(job)
    for fold, score in folds.items():
        race.add(job, fold, evidence_of(job, fold, score))
    return race.judge(number).reason


@pytest.mark.parametrize("rules", PAUSED)
def test_if_fold_0_has_chosen_a_trial_is_not_compared_after_it(rules: dict[str, Any]) -> None:
    assert judged(race_of((1.0, 1.0, 1.0)), 1, 0.65).startswith("cannot win")
    race = race_of((1.0, 1.0, 1.0), **rules)
    assert judged(race, 1, 0.65) == ""
    assert judged(race, 2, 0.2).startswith("no better than chance")


@pytest.mark.parametrize("rules", PAUSED)
@pytest.mark.parametrize(("folds", "num_rivals"), [((0, 1), 6), ((2, 0), 6), ((1, 2), 5)])
def test_if_fold_0_has_chosen_the_first_look_is_after_any_two_folds(
    rules: dict[str, Any], folds: tuple[int, ...], num_rivals: int
) -> None:
    """The reference is the best of all trials with fold 0, whatever became of them; repeats do not count."""
    race = race_of((0.9, 0.9, 0.9), (0.95, 0.95, 0.95), (0.9,), (0.65,), **rules)
    run(race, 0, 0.9, 0.8, 0.9, seed=1)
    race.end(3, "failed")
    race.begin(Job(4, 0))
    race.add(Job(4, 0), 0, evidence_of(Job(4, 0), 0, 0.9))
    race.begin(Job(5, 0))
    reason = judged_on(race, 6, dict.fromkeys(folds, 0.7))
    expected = judge_race(
        difference(race, [Job(6, 0)], [Job(1, 0)], sorted(folds)),
        folds_seen=2,
        num_folds=NUM_FOLDS,
        noise=race.noise(),
        num_rivals=num_rivals,
        first_look=2,
    )
    assert reason == expected.reason
    assert reason.startswith("cannot win")


@pytest.mark.parametrize("rules", PAUSED)
def test_if_fold_0_has_chosen_there_is_one_look_for_a_number_of_folds(rules: dict[str, Any]) -> None:
    """A trial that waited, or whose job was resumed, is judged again on the same folds, against a better reference."""
    plain, race = race_of((0.7, 0.7, 0.7)), race_of((0.7, 0.7, 0.7), **rules)
    for each in (plain, race):
        assert judged(each, 1, 0.75, 0.75) == ""
        run(each, 2, 1.0, 1.0, 1.0)
    assert plain.judge(1).reason.startswith("cannot win")
    assert race.judge(1) == CONTINUE
    race.add(Job(1, 0), 2, evidence_of(Job(1, 0), 2, 0.6))
    assert race.judge(1) == CONTINUE


def test_folds_that_end_together_are_one_look() -> None:
    race = race_of((0.95,) * 5, num_folds=5, pausing=True)
    race.end(0, "complete")
    assert judged(race, 1, 0.9) == ""
    assert judged_on(race, 1, {3: 0.6, 1: 0.6}).startswith("cannot win")
    assert {look for look in race._looks if look[0] == 1} == {(1, 1), (1, 3)}


def test_noise_is_the_prior_until_a_trial_is_repeated() -> None:
    race = race_of((0.9, 0.9, 0.9), (0.8, 0.8, 0.8))
    assert race.noise() == PRIOR_NOISE
    run(race, 0, 0.7, 0.9, 0.8, seed=1)
    run(race, 0, 0.9, 0.6, 0.8, seed=2)
    run(race, 1, 0.8, 0.8, seed=1)
    pairs = [(Job(0, 0), Job(0, 1)), (Job(0, 1), Job(0, 2))]
    folds = [range(fold, fold + 1) for fold in range(NUM_FOLDS)]
    expected = fold_noise([difference(race, [one], [other], fold) for one, other in pairs for fold in folds])
    assert race.noise() == pytest.approx(expected)
    assert race.noise() > PRIOR_NOISE


def test_interval_is_students_t_with_the_noise_of_both_sides() -> None:
    race = race_of((0.9, 0.9, 0.9), (0.8, 0.85, 0.8))
    run(race, 0, 0.9, 0.8, 0.9, seed=1)
    found = race.interval(0, 1)
    expected = difference(race, [Job(0, 0), Job(0, 1)], [Job(1, 0)])
    noise = race.noise() ** 2 / NUM_FOLDS
    spread = student.ppf(0.975, 24 - 1) * math.sqrt(expected.variance + noise / 2 + noise)
    assert found.value == pytest.approx(expected.value) == pytest.approx((2.7 + 2.6) / 6 - 2.45 / 3)
    assert (found.low, found.high) == pytest.approx((found.value - spread, found.value + spread))


def test_candidates_are_the_complete_trials_with_all_their_seeds() -> None:
    race = race_of((0.9, 0.9, 0.9), (0.8,), (0.7, 0.7, 0.8))
    run(race, 2, 0.8, 0.8, 0.8, seed=1)
    found = race.candidates()
    assert [each.shape for each in found.probabilities] == [(1, 120), (2, 120)]
    assert found.folds.tolist() == [0] * 40 + [1] * 40 + [2] * 40
    accuracies = [((each >= 0.5) == found.labels).mean(axis=1).tolist() for each in found.probabilities]
    assert accuracies == [[pytest.approx(0.9)], [pytest.approx(2.2 / 3), pytest.approx(0.8)]]
    assert len(set(found.groups)) == 24


def test_the_winner_is_the_leader_unless_cost_is_an_objective() -> None:
    race = race_of((0.8, 0.8, 0.8), (0.9, 0.9, 0.9))
    winner = race.winner()
    assert winner == race.leader()
    assert winner is not None
    assert winner.number == 1


def race_by_cost(*trials: tuple[float, float]) -> Race:
    """Trials with one score for all folds, and one cost per fold."""
    race = Race(replace(RULES, by_cost=True))
    for number, (score, seconds) in enumerate(trials):
        run(race, number, score, score, score, seconds=seconds)
    return race


def winner_of(race: Race) -> int:
    winner = race.winner()
    assert winner is not None
    return winner.number


def test_by_cost_the_cheapest_trial_not_clearly_worse_than_the_leader_wins() -> None:
    race = race_by_cost((0.6, 1.0), (0.875, 5.0), (0.9, 20.0), (0.875, 3.0), (0.9, 10.0))
    # The leader is trial 2, the earlier of two equal trials. The differences have standard errors of about 3 points.
    assert [contender.number for contender in race.contenders()] == [0, 1, 2, 3, 4]
    gaps = {number: race.difference(2, number) for number in (0, 1, 3, 4)}
    noise = 2 * PRIOR_NOISE**2 / NUM_FOLDS
    within = {number: each.value <= math.sqrt(each.variance + noise) for number, each in gaps.items()}
    assert within == {0: False, 1: True, 3: True, 4: True}
    assert race.cost(3) == 9.0
    assert winner_of(race) == 3


def test_by_cost_the_earliest_wins_a_tie_and_a_clear_leader_wins() -> None:
    assert winner_of(race_by_cost((0.9, 5.0), (0.9, 5.0))) == 0
    assert winner_of(race_by_cost((0.5, 1.0), (0.95, 50.0))) == 1
    assert race_by_cost().winner() is None


def test_cost_excludes_repeats_and_counts_the_folds_of_a_stopped_trial() -> None:
    race = race_by_cost((0.9, 5.0))
    run(race, 0, 0.9, 0.9, 0.9, seed=1, seconds=100.0)
    run(race, 1, 0.9, seconds=7.0)
    assert (race.cost(0), race.cost(1)) == (15.0, 7.0)


@pytest.mark.parametrize(
    ("trials", "expected"),
    [
        ([], 0),
        ([0.8], 0),
        ([0.8, 0.7, 0.8], 2),
        # An improvement within the standard error of the noise, 0.01 / sqrt(3), does not count.
        ([0.8, 0.805], 1),
        ([0.8, 0.825], 0),
        # Small steps add up.
        ([0.8, 0.805, 0.81], 0),
        ([0.8, 0.7, 0.85, 0.6, 0.6], 2),
    ],
)
def test_consecutive_trials_without_an_improvement_are_counted(trials: list[float], expected: int) -> None:
    race = race_of(*[(score,) * NUM_FOLDS for score in trials], patience=2)
    assert race.trials_without_improvement() == expected
    assert race.out_of_patience() == (expected >= 2)


def test_patience_counts_stopped_and_failed_but_not_running_trials() -> None:
    race = race_of((0.8, 0.8, 0.8), (0.9,), (0.9, 0.9))
    race.end(2, "failed")
    race.begin(Job(3, 0))
    assert race.trials_without_improvement() == 2
    assert not race.out_of_patience()


def test_results_do_not_depend_on_the_order_of_events() -> None:
    """Folds of trials and repeats arrive interleaved, as from parallel workers, and trials end in any order."""
    scores = {
        Job(0, 0): (0.8, 0.85, 0.8),
        Job(0, 1): (0.85, 0.8, 0.7),
        Job(1, 0): (0.9, 0.9, 0.85),
        Job(1, 1): (0.85, 0.9, 0.9),
        Job(2, 0): (0.9, 0.85, 0.9),
        Job(3, 0): (0.65, 0.7),
    }

    def results(order: list[tuple[Job, int]], ends: tuple[int, ...]) -> tuple[Any, ...]:
        race = Race(RULES)
        for job in scores:
            race.begin(job)
        for job, fold in order:
            race.add(job, fold, evidence_of(job, fold, scores[job][fold]))
        for number in ends:
            race.end(number, "complete")
        return (
            race.leader(),
            race.winner(),
            race.contenders(),
            race.noise(),
            race.judge(3),
            race.trials_without_improvement(),
            last_repeat(race, set()),
            race.interval(1, 2),
            [each.tolist() for each in race.candidates().probabilities],
        )

    events = [(job, fold) for job, each in scores.items() for fold in range(len(each))]
    expected = results(events, (0, 1, 2))
    assert not expected[4].continues
    generator = np.random.default_rng(0)
    for ends in itertools.permutations((0, 1, 2)):
        order = [events[index] for index in generator.permutation(len(events))]
        assert results(order, ends) == expected


def test_in_a_comparison_no_trial_is_stopped() -> None:
    race = race_of((0.95, 0.95, 0.95), (0.3,), compares=True)
    assert race.judge(1) == CONTINUE
    assert not race_of((0.95, 0.95, 0.95), (0.3,)).judge(1).continues
