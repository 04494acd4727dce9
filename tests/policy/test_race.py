"""The race in memory: who leads, who may go on, what is repeated; whatever the order in which it was heard."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from helpers.races import NUM_FOLDS, NUM_IMAGES, RULES, evidence_of, race_of, run
from scipy.stats import t as student

from leukemia.scoring.jackknife import paired_jackknife
from leukemia.study.job import Job
from search.policy.judge import GO_ON, PRIOR_NOISE, fold_noise, judge_race
from search.policy.race import Race
from search.policy.repeats import last_repeat


def difference(race: Race, a: list[Job], b: list[Job], folds: range = range(NUM_FOLDS)) -> Any:
    """The paired difference, put together here."""
    sides = [
        np.stack([np.concatenate([race._folds[job][fold].probabilities for fold in folds]) for job in jobs])
        for jobs in (a, b)
    ]
    seen = [race._folds[a[0]][fold] for fold in folds]
    labels, groups = (np.concatenate([getattr(each, name) for each in seen]) for name in ("labels", "groups"))
    return paired_jackknife(labels, sides[0], sides[1], groups, "accuracy")


def test_without_complete_trials_nobody_leads() -> None:
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


def test_jobs_that_count_are_the_trial_first_and_its_repeats_with_all_folds() -> None:
    race = Race(RULES)
    run(race, 4, 0.8, 0.8, 0.8, seed=7)
    run(race, 4, 0.8, 0.8, 0.8, seed=9)
    run(race, 4, 0.8, 0.8, 0.8, seed=3)
    run(race, 4, 0.8, 0.8, seed=8)
    run(race, 4, 0.1, 0.1, 0.1, seed=11)
    race.fail_repeat(Job(4, 11))
    assert race.complete_jobs(4) == [Job(4, 7), Job(4, 3), Job(4, 9)]
    assert race.contenders()[0].score == pytest.approx(0.8)


def test_without_a_reference_only_the_hopeless_are_stopped() -> None:
    race = Race(RULES)
    job = Job(0, 0)
    race.begin(job)
    race.add(job, 0, evidence_of(job, 0, 0.6))
    assert race.judge(0) == GO_ON
    race.add(job, 1, replace(evidence_of(job, 1, 0.6), probabilities=np.full(NUM_IMAGES, 0.9)))
    assert race.judge(0).reason == "hopeless: one answer to all images of fold 1"


def judged(race: Race, number: int, *scores: float) -> str:
    """Reason of the verdict after these folds; empty where the trial goes on."""
    job = Job(number, 0)
    race.begin(job)
    for fold, score in enumerate(scores):
        race.add(job, fold, evidence_of(job, fold, score))
    return race.judge(number).reason


def test_a_trial_is_judged_against_the_leader_on_the_folds_that_it_has_seen() -> None:
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
    assert race.judge(3).reason.startswith("cannot win: -25.0 points against the best, at most -")


def test_a_reference_of_several_seeds_is_judged_by_all_of_them() -> None:
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
    assert "-21.7 points" in race.judge(2).reason


@pytest.mark.parametrize("rules", [{"racing": False}, {"margin": 0.5}])
def test_rules_are_followed(rules: dict[str, Any]) -> None:
    assert judged(race_of((0.95, 0.95, 0.95), **rules), 1, 0.7, 0.7) == ""
    assert judged(race_of((0.95, 0.95, 0.95)), 1, 0.7, 0.7) != ""
    hopeless = race_of((0.95, 0.95, 0.95), **rules)
    hopeless.begin(Job(1, 0))
    hopeless.add(Job(1, 0), 0, replace(evidence_of(Job(1, 0), 0, 0.5), probabilities=np.zeros(NUM_IMAGES)))
    assert hopeless.judge(1).reason.startswith("hopeless")


def test_a_leader_is_not_judged_against_itself() -> None:
    race = race_of((0.95, 0.95, 0.95))
    assert race.judge(0) == GO_ON


def test_a_trial_with_all_folds_goes_on() -> None:
    assert judged(race_of((0.95, 0.95, 0.95)), 1, 0.7, 0.7, 0.7) == ""


def test_noise_is_the_priors_until_a_trial_is_repeated() -> None:
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
    right = [((each >= 0.5) == found.labels).mean(axis=1).tolist() for each in found.probabilities]
    assert right == [[pytest.approx(0.9)], [pytest.approx(2.2 / 3), pytest.approx(0.8)]]
    assert len(set(found.groups)) == 24


def test_the_winner_is_the_leader_unless_cost_counts() -> None:
    race = race_of((0.8, 0.8, 0.8), (0.9, 0.9, 0.9))
    winner = race.winner()
    assert winner == race.leader()
    assert winner is not None
    assert winner.number == 1


def race_by_cost(*trials: tuple[float, float]) -> Race:
    """Trials of one score in all folds and one cost per fold."""
    race = Race(replace(RULES, by_cost=True))
    for number, (score, seconds) in enumerate(trials):
        run(race, number, score, score, score, seconds=seconds)
    return race


def winner_of(race: Race) -> int:
    winner = race.winner()
    assert winner is not None
    return winner.number


def test_by_cost_the_cheapest_that_the_leader_does_not_clearly_beat_wins() -> None:
    race = race_by_cost((0.6, 1.0), (0.875, 5.0), (0.9, 20.0), (0.875, 3.0), (0.9, 10.0))
    # The leader is the earliest of the best, trial 2. Standard errors of these differences are near 3 points.
    assert [contender.number for contender in race.contenders()] == [0, 1, 2, 3, 4]
    lost = {number: race.difference(2, number) for number in (0, 1, 3, 4)}
    noise = 2 * PRIOR_NOISE**2 / NUM_FOLDS
    within = {number: each.value <= math.sqrt(each.variance + noise) for number, each in lost.items()}
    assert within == {0: False, 1: True, 3: True, 4: True}
    assert race.cost(3) == 9.0
    assert winner_of(race) == 3


def test_by_cost_of_equals_the_earliest_wins_and_a_clear_leader_does() -> None:
    assert winner_of(race_by_cost((0.9, 5.0), (0.9, 5.0))) == 0
    assert winner_of(race_by_cost((0.5, 1.0), (0.95, 50.0))) == 1
    assert race_by_cost().winner() is None


def test_cost_is_that_of_the_first_seed_and_of_a_stopped_trial_what_it_ran() -> None:
    race = race_by_cost((0.9, 5.0))
    run(race, 0, 0.9, 0.9, 0.9, seed=1, seconds=100.0)
    run(race, 1, 0.9, seconds=7.0)
    assert (race.cost(0), race.cost(1)) == (15.0, 7.0)


@pytest.mark.parametrize(
    ("trials", "stale"),
    [
        ([], 0),
        ([0.8], 0),
        ([0.8, 0.7, 0.8], 2),
        # An improvement of a noise's standard error, 0.01 / sqrt(3), is none.
        ([0.8, 0.805], 1),
        ([0.8, 0.825], 0),
        # Small steps add up.
        ([0.8, 0.805, 0.81], 0),
        ([0.8, 0.7, 0.85, 0.6, 0.6], 2),
    ],
)
def test_trials_in_a_row_without_an_improvement_are_counted(trials: list[float], stale: int) -> None:
    race = race_of(*[(score,) * NUM_FOLDS for score in trials], patience=2)
    assert race.stale() == stale
    assert race.out_of_patience() == (stale >= 2)


def test_trials_that_were_stopped_or_failed_or_run_still() -> None:
    race = race_of((0.8, 0.8, 0.8), (0.9,), (0.9, 0.9))
    race.end(2, "failed")
    race.begin(Job(3, 0))
    assert race.stale() == 2
    assert not race.out_of_patience()


def test_answers_do_not_depend_on_the_order_of_hearing() -> None:
    """Folds of trials and repeats, mixed as parallel workers would; ends come in any order, too."""
    scores = {
        Job(0, 0): (0.8, 0.85, 0.8),
        Job(0, 1): (0.85, 0.8, 0.7),
        Job(1, 0): (0.9, 0.9, 0.85),
        Job(1, 1): (0.85, 0.9, 0.9),
        Job(2, 0): (0.9, 0.85, 0.9),
        Job(3, 0): (0.65, 0.7),
    }

    def answers(order: list[tuple[Job, int]], ends: tuple[int, ...]) -> tuple[Any, ...]:
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
            race.stale(),
            last_repeat(race, set()),
            race.interval(1, 2),
            [each.tolist() for each in race.candidates().probabilities],
        )

    events = [(job, fold) for job, each in scores.items() for fold in range(len(each))]
    expected = answers(events, (0, 1, 2))
    assert not expected[4].go_on
    generator = np.random.default_rng(0)
    for ends in itertools.permutations((0, 1, 2)):
        order = [events[place] for place in generator.permutation(len(events))]
        assert answers(order, ends) == expected
