"""The race in memory: who leads, who may go on, what is repeated; whatever the order in which it was heard."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from scipy.stats import t as student

from leukemia.scoring.jackknife import paired_jackknife
from leukemia.study.job import Job
from leukemia.study.schema import State
from search.policy.judge import GO_ON, PRIOR_NOISE, fold_noise, judge_race
from search.policy.race import MAX_REPEATED, FoldEvidence, Race, Rules

NUM_FOLDS = 3
NUM_IMAGES = 40
"""Of a fold, in groups of five."""

RULES = Rules(num_folds=NUM_FOLDS, objective="tta_accuracy")


def heard(job: Job, fold: int, score: float, seconds: float = 10.0) -> FoldEvidence:
    """A fold with this share of its images right; which ones they are is the job's own luck."""
    labels = np.arange(NUM_IMAGES) % 2
    order = np.random.default_rng([job.number, job.seed, fold]).permutation(NUM_IMAGES)
    right = order < round(score * NUM_IMAGES)
    return FoldEvidence(
        labels=labels,
        groups=np.array([f"{fold}-{image // 5}" for image in range(NUM_IMAGES)]),
        probabilities=np.where(right == (labels == 1), 0.8, 0.2),
        score=score,
        seconds=seconds,
    )


def run(race: Race, number: int, *scores: float, seed: int = 0, seconds: float = 10.0) -> None:
    """A trial, or a repeat, from its beginning to its end; a trial with all folds is complete, else stopped."""
    job = Job(number, seed)
    is_trial = job.number not in race._first
    race.begin(job)
    for fold, score in enumerate(scores):
        race.add(job, fold, heard(job, fold, score, seconds))
    if is_trial:
        race.end(number, "complete" if len(scores) == NUM_FOLDS else "stopped")


def race_of(*trials: tuple[float, ...], **rules: Any) -> Race:
    """Trials from 0, each with its scores."""
    race = Race(replace(RULES, **rules))
    for number, scores in enumerate(trials):
        run(race, number, *scores)
    return race


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
    race.add(job, 0, heard(job, 0, 0.6))
    assert race.judge(0) == GO_ON
    race.add(job, 1, replace(heard(job, 1, 0.6), probabilities=np.full(NUM_IMAGES, 0.9)))
    assert race.judge(0).reason == "hopeless: one answer to all images of fold 1"


def judged(race: Race, number: int, *scores: float) -> str:
    """Reason of the verdict after these folds; empty where the trial goes on."""
    job = Job(number, 0)
    race.begin(job)
    for fold, score in enumerate(scores):
        race.add(job, fold, heard(job, fold, score))
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
    hopeless.add(Job(1, 0), 0, replace(heard(Job(1, 0), 0, 0.5), probabilities=np.zeros(NUM_IMAGES)))
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


def test_the_start_is_repeated_once_and_only_when_it_is_complete() -> None:
    race = Race(RULES)
    assert race.first_repeat(set()) is None
    race.begin(Job(0, 5))
    run(race, 1, 0.9, 0.9, 0.9)
    assert race.first_repeat({Job(0, 5)}) is None, "the start has not ended"
    for fold in range(NUM_FOLDS):
        race.add(Job(0, 5), fold, heard(Job(0, 5), fold, 0.8))
    race.end(0, "complete")
    assert race.first_repeat({Job(0, 5)}) is None, "it is running still"
    assert race.first_repeat(set()) == Job(0, 6)
    race.begin(Job(0, 6))
    assert race.first_repeat(set()) is None


@pytest.mark.parametrize("state", ["stopped", "failed"])
def test_a_start_that_is_not_complete_is_not_repeated(state: State) -> None:
    race = race_of((0.9,))
    race.end(0, state)
    assert race.first_repeat(set()) is None
    assert race_of((0.9, 0.9, 0.9), repeats=0).first_repeat(set()) is None


def repeats_of(race: Race, score: float) -> list[Job]:
    """All last repeats, one after the other, each with this score."""
    done = []
    while (job := race.last_repeat(set())) is not None:
        run(race, job.number, *[score] * NUM_FOLDS, seed=job.seed)
        done.append(job)
        assert len(done) < 20
    return done


def test_a_leader_always_gets_a_repeat_even_alone_or_far_ahead() -> None:
    assert repeats_of(race_of((0.9, 0.9, 0.9)), 0.9) == [Job(0, 1)]
    ahead = race_of((0.5, 0.5, 0.5), (0.95, 0.95, 0.95))
    assert repeats_of(ahead, 0.95) == [Job(1, 1)]


def test_equals_are_repeated_in_turn_until_each_has_had_its_own() -> None:
    # Eighths, whose means are exact.
    equals = (0.875, 0.875, 0.875)
    assert repeats_of(race_of(*[equals] * 3), 0.875) == [Job(0, 1), Job(1, 1), Job(0, 2), Job(1, 2)]


def test_a_repeat_that_settles_it_is_the_last() -> None:
    race = race_of((0.85, 0.85, 0.85), (0.9, 0.9, 0.9))
    assert race.last_repeat(set()) == Job(1, 1)
    run(race, 1, 0.9, 0.9, 0.9, seed=1)
    interval = race.interval(1, 0)
    assert interval.low < 0 < interval.high
    assert race.last_repeat(set()) == Job(0, 1)
    run(race, 0, 0.5, 0.5, 0.5, seed=1)
    assert race.interval(1, 0).low > 0
    assert race.last_repeat(set()) is None


def test_a_new_leader_gets_its_repeat_after_the_old_one_has_fallen_back() -> None:
    race = race_of((0.6, 0.6, 0.6), (0.9, 0.9, 0.9), (0.875, 0.875, 0.9))
    assert race.last_repeat(set()) == Job(1, 1)
    run(race, 1, 0.8, 0.8, 0.8, seed=1)
    assert race.last_repeat(set()) == Job(2, 1)


def test_repeats_in_all_are_capped_save_for_a_leaders_first() -> None:
    # Each repeat throws its leader back: the next one leads, and so on.
    race = race_of(*[(score,) * NUM_FOLDS for score in (0.5, 0.95, 0.95, 0.925, 0.925, 0.9, 0.9)], repeats=1)
    done = repeats_of(race, 0.85)
    assert [job.number for job in done] == [1, 2, 3, 4, 5, 6]
    assert len(done) > MAX_REPEATED * race.rules.repeats


def test_repeats_of_the_start_do_not_count_against_the_cap() -> None:
    race = race_of((0.9, 0.9, 0.9), (0.9, 0.9, 0.9), (0.6, 0.6, 0.6), repeats=1)
    for seed in (1, 2, 3):
        run(race, 2, 0.6, 0.6, 0.6, seed=seed)
    run(race, 0, 0.9, 0.9, 0.9, seed=1)
    assert race.last_repeat(set()) is None, "the cap is reached by trial 2"
    race = race_of((0.9, 0.9, 0.9), (0.9, 0.9, 0.9), repeats=1)
    for seed in (1, 2, 3):
        run(race, 0, 0.9, 0.9, 0.9, seed=seed)
    assert race.last_repeat(set()) == Job(1, 1)


def test_no_trial_is_repeated_twice_at_a_time() -> None:
    race = race_of((0.9, 0.9, 0.9), (0.9, 0.9, 0.9))
    first = race.last_repeat(set())
    assert first == Job(0, 1)
    race.begin(first)
    second = race.last_repeat({first})
    assert second == Job(1, 1)
    race.begin(second)
    assert race.last_repeat({first, second}) is None


def test_without_repeats_or_contenders_nothing_is_repeated() -> None:
    assert race_of((0.9, 0.9, 0.9), repeats=0).last_repeat(set()) is None
    assert race_of((0.9,)).last_repeat(set()) is None


def test_a_failed_repeat_is_not_tried_again() -> None:
    race = race_of((0.9, 0.9, 0.9))
    race.begin(Job(0, 1))
    race.fail_repeat(Job(0, 1))
    assert race.first_repeat(set()) is None
    assert race.last_repeat(set()) is None


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
            race.add(job, fold, heard(job, fold, scores[job][fold]))
        for number in ends:
            race.end(number, "complete")
        return (
            race.leader(),
            race.winner(),
            race.contenders(),
            race.noise(),
            race.judge(3),
            race.stale(),
            race.last_repeat(set()),
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
