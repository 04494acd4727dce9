"""A search that pauses trials, run by a loop instead of Ray: who waits, who goes on, and in which order."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from helpers.places import Places
from helpers.worlds import FAILURE, SPACE, World, everything, frozen

from leukemia.config.results import Epoch
from leukemia.data.catalog import Catalog
from leukemia.study.job import Job
from leukemia.study.ledger import ledger_of
from search.policy.health import Rescheduled
from search.policy.task import Task
from search.trials.assignment import Assignment, Report
from search.trials.schedule import Limits

FOLDS = 3


@pytest.fixture
def world_in(tmp_path: Path, tiny_catalog: Catalog) -> Callable[..., World]:
    def create(name: str = "study", **settings: Any) -> World:
        return World(tmp_path / name, tiny_catalog, **{"folds": FOLDS, "pausing": True, **settings})

    return create


def waited(world: World) -> list[tuple[str, str]]:
    """Label and place of each trial that was shown to wait, in order."""
    return [(event[1], event[3]) for event in world.display.seen if event[0] == "wait"]


def score_of_fold_0(world: World, number: int) -> float:
    score = world.study.fold(number, 0, 0).scores["tta_accuracy"]
    assert score is not None
    return score


def states(world: World) -> list[str]:
    return [trial.state.name for trial in frozen(world)]


def test_without_pausing_no_trial_waits(world_in: Callable[..., World]) -> None:
    world = world_in(trials=4, pausing=False)
    order = Places(world, 1).run()
    assert order == [(number, fold) for number in range(4) for fold in range(FOLDS)]
    assert waited(world) == []


def test_a_trial_waits_after_fold_0_and_the_best_third_goes_on_first(world_in: Callable[..., World]) -> None:
    world = world_in(trials=7)
    order = Places(world, 1).run()
    scores = [score_of_fold_0(world, number) for number in range(7)]
    expected, reached, left = [(0, fold) for fold in range(FOLDS)], [0], {0}
    for new in [*range(1, 7), *([None] * 7)]:
        # What is among the best goes on, then a new trial begins, then the best of all others go on.
        while best := [number for number in ranked(scores, reached)[: len(reached) // 3] if number not in left]:
            left.add(best[0])
            expected += [(best[0], fold) for fold in range(1, FOLDS)]
        if new is not None:
            reached.append(new)
            expected.append((new, 0))
        elif rest := [number for number in ranked(scores, reached) if number not in left]:
            left.add(rest[0])
            expected += [(rest[0], fold) for fold in range(1, FOLDS)]
    assert order == expected
    assert states(world) == ["COMPLETE"] * 7
    assert [label for label, _ in waited(world)] == [f"{number:04d}" for number in range(1, 7)]
    assert waited(world)[0][1].startswith("waits at the end of fold 1, rank ")


def ranked(scores: list[float], numbers: list[int]) -> list[int]:
    return sorted(numbers, key=lambda number: (-scores[number], number))


def test_a_trial_that_waits_runs_for_optuna_and_is_told_nothing(world_in: Callable[..., World]) -> None:
    world = world_in(trials=2)
    places = Places(world, 1)
    while not waited(world):
        places.fill()
        places.step()
    trial = frozen(world)[1]
    assert (trial.state.name, list(trial.intermediate_values)) == ("RUNNING", [0])
    assert world.study.end(1) is None
    assert not places.running
    assert places.driver.idle(), "no job runs: it waits"
    places.fill()
    assert places.order[-1] == (1, 1)
    assert world.display.seen[-1] == ("begin", "0001", [score_of_fold_0(world, 1)])


def test_the_starting_recipe_and_repeats_never_wait(world_in: Callable[..., World]) -> None:
    world = world_in(trials=2, repeats=1)
    Places(world, 1).run()
    assert {label for label, _ in waited(world)} == {"0001"}
    assert world.study.folds_done(0, 1) == list(range(FOLDS))


@pytest.mark.parametrize("fate", ["stopped", "failed", "undefined"])
def test_a_trial_that_ends_in_fold_0_does_not_wait(world_in: Callable[..., World], fate: str) -> None:
    world = world_in(trials=3, fates={1: fate})
    Places(world, 1).run()
    end = world.study.end(1)
    assert end is not None
    assert end.state == ("stopped" if fate == "stopped" else "failed")
    # The fate ``failed`` strikes in fold 1.
    assert [label for label, _ in waited(world)] == (["0001", "0002"] if fate == "failed" else ["0002"])


def notes(world: World) -> list[str]:
    return [event[1] for event in world.display.seen if event[0] == "note"]


def test_without_patience_neither_new_trials_start_nor_those_that_wait_go_on(world_in: Callable[..., World]) -> None:
    # A third of three trials' worth: three folds after trial 0.
    world = world_in(trials=9, patience=3, fates={1: "stopped", 3: "stopped"})
    order = Places(world, 1).run()
    assert order == [*((0, fold) for fold in range(FOLDS)), (1, 0), (2, 0), (3, 0)]
    assert states(world) == ["COMPLETE", "PRUNED", "RUNNING", "PRUNED"]
    assert notes(world) == [
        "no improvement beyond noise while 1.0 complete trials' worth of epochs were trained; no trials will start or "
        "go on from where they wait (--patience)"
    ]
    assert [end.trained for end in [world.study.end(number) for number in (0, 1, 3)] if end] == [1, 4 / 3, 2]
    again = world_in(trials=9, patience=3)
    assert Places(again, 1).run() == []
    assert notes(again) == notes(world), "also after a resume"


def test_new_trials_start_only_in_the_first_half_of_the_budget(world_in: Callable[..., World]) -> None:
    # Each fold has two epochs of 0.01 hours: trial 0 takes 0.06.
    world = world_in(trials=9, budget_hours=0.19)
    order = Places(world, 1).run()
    assert {number for number, _ in order} == {0, 1, 2}
    assert states(world) == ["COMPLETE"] * 3, "those that wait go on"
    assert notes(world) == [
        "half of the budget of 0.19 device hours used up; no new trials will start, those that wait go on "
        "(--budget-hours)"
    ]
    without = world_in("without", trials=9, budget_hours=0.19, pausing=False)
    assert {number for number, _ in Places(without, 1).run()} == {0, 1, 2, 3}


def test_promoted_trials_end_though_the_budget_is_used_up(world_in: Callable[..., World]) -> None:
    # The budget is used up with the first epoch of fold 1 of trial 1.
    world = world_in(trials=2)
    places = Places(world, 1)
    while (1, 1) not in places.order:
        places.fill()
        places.step()
    places.driver._schedule._limits = Limits(num_trials=2, budget_hours=0.09)
    assert places.run()[-2:] == [(1, 1), (1, 2)]
    assert states(world) == ["COMPLETE"] * 2


def test_a_trial_that_waits_goes_on_after_a_resume_with_a_larger_budget(world_in: Callable[..., World]) -> None:
    calm, world = world_in("calm", trials=2), world_in(trials=2)
    Places(calm, 1).run()
    places = Places(world, 1)
    while not waited(world):
        places.fill()
        places.step()
    world.limits = Limits(num_trials=2, budget_hours=0.08)
    assert Places(world, 1).run() == []
    assert notes(world) == [
        "budget of 0.08 device hours used up; no trials will start or go on from where they wait (--budget-hours)"
    ]
    world.limits = Limits(num_trials=2)
    assert Places(world, 1).run() == [(1, 1), (1, 2)]
    assert everything(world) == everything(calm)


def test_a_trial_that_waits_still_does_after_a_resume(world_in: Callable[..., World]) -> None:
    undisturbed = world_in("undisturbed", trials=4)
    expected = Places(undisturbed, 1).run()
    killed = world_in(trials=4)
    places = Places(killed, 1)
    while len(waited(killed)) < 2:
        places.fill()
        places.step()
    begun = list(places.order)
    again = world_in(trials=4)
    resumed = Places(again, 1)
    assert [label for label, _ in waited(again)] == ["0001", "0002"], "shown again"
    assert [event[1] for event in again.display.seen if event[0] == "begin"] == []
    assert begun + resumed.run() == expected
    assert everything(again) == everything(undisturbed)


def test_a_trial_that_was_training_when_its_driver_crashed_goes_on_first(world_in: Callable[..., World]) -> None:
    killed = world_in(trials=6)
    places = Places(killed, 1)
    while (2, 0) not in places.order:
        places.fill()
        places.step()
    # Fold 0 of trial 2 has begun; trial 1 waits.
    resumed = Places(world_in(trials=6), 1)
    resumed.fill()
    assert resumed.order == [(2, 0)]


def test_several_places_run_several_trials(world_in: Callable[..., World]) -> None:
    world = world_in(trials=9, racing=True, repeats=1, fates={4: "worse"})
    order = Places(world, 3).run()
    assert sorted(set(order)) == sorted(order), "no fold is trained twice"
    assert states(world).count("RUNNING") == 0
    assert {number for number, _ in order} == set(range(9))


def test_a_task_that_is_rescheduled_keeps_its_turn(world_in: Callable[..., World]) -> None:
    calm, world = world_in("calm", trials=3), world_in(trials=3)
    Places(calm, 1).run()
    driver, hit = world.driver(), set[Task]()
    while (assignment := driver.begin()) is not None:
        task = assignment.task
        if task not in hit:
            hit.add(task)
            driver.receive(task, Rescheduled(message="disk full", node_id="a"))
            assert not driver.end(task, process_failed=True)
            following = driver.begin()
            assert following is not None
            assert following.task == task
        world.train(driver, assignment)
    assert everything(world) == everything(calm)


def test_the_race_stops_no_trial_for_its_fold_0(world_in: Callable[..., World]) -> None:
    world = world_in(trials=3, racing=True, fates={1: "worse"})
    Places(world, 1).run()
    end = world.study.end(1)
    assert end is not None
    assert end.reason.endswith("after 2 of 3 folds")


def test_all_folds_begin_at_once_of_the_start_of_repeats_and_of_trials_that_go_on(
    world_in: Callable[..., World],
) -> None:
    world = world_in(trials=5)
    places = Places(world, 3)
    places.fill()
    assert places.order == [(0, 0), (0, 1), (0, 2)]
    order = places.run()
    for number in range(1, 5):
        assert order.index((number, 2)) == order.index((number, 1)) + 1
    assert [label for _, label, *_ in [event for event in world.display.seen if event[0] == "begin"]].count("0000") == 1
    with_repeat = world_in("repeat", trials=1, repeats=1)
    places = Places(with_repeat, 3)
    places.run()
    folds = [event[2] for event in with_repeat.display.seen if event[:2] == ("epoch", "0000 seed 1")]
    assert folds == [0, 1, 2, 0, 1, 2], "side by side"


@pytest.mark.parametrize("num_places", [1, 2])
def test_a_trial_that_is_stopped_takes_its_other_folds_along(world_in: Callable[..., World], num_places: int) -> None:
    world = world_in(trials=2, racing=True, fates={1: "worse"})
    order = Places(world, num_places).run()
    end = world.study.end(1)
    assert end is not None
    assert end.reason.endswith("after 2 of 3 folds")
    assert world.study.folds_done(1, 0) == [0, 1], "what fold 2 reports does not count"
    assert ((1, 2) in order) == (num_places == 2), "with one place it was still due"


def test_a_job_ends_once_its_last_fold_has_left(world_in: Callable[..., World]) -> None:
    world = world_in(trials=1, fates={0: "failed"})
    driver = world.driver()
    assignments = [driver.begin(FOLDS) for _ in range(FOLDS)]
    tasks = [assignment.task for assignment in assignments if assignment is not None]
    assert tasks == [Task(Job(0, 0), fold) for fold in range(FOLDS)]
    assert not driver.receive(tasks[1], FAILURE)
    assert not driver.end(tasks[1], False)
    assert world.study.end(0) is None
    assert not any(
        driver.receive(tasks[0], report) for report in world.reports(Assignment(task=tasks[0], recipe=SPACE.start))
    )
    assert world.study.folds_done(0, 0) == [], "reports of its other folds do not count"
    assert driver.begin(FOLDS) is None
    assert not driver.end(tasks[0], False)
    assert driver.end(tasks[2], process_failed=True)
    end = world.study.end(0)
    assert end is not None
    assert end.reason == FAILURE.message


def test_no_more_folds_of_a_decided_trial_begin(world_in: Callable[..., World]) -> None:
    world = world_in(trials=1)
    driver = world.driver()
    assignment = driver.begin(FOLDS)
    assert assignment is not None
    driver.receive(assignment.task, FAILURE)
    assert driver.begin(FOLDS) is None, "its other folds were due"
    assert driver.end(assignment.task, False)
    assert driver.idle()


@pytest.mark.parametrize("at", [9, 23, 35])
def test_a_crash_with_several_places_loses_no_trial(world_in: Callable[..., World], at: int) -> None:
    settings: dict[str, Any] = {"trials": 6, "repeats": 1}
    calm, killed = world_in("calm", **settings), world_in(**settings)
    Places(calm, 1).run()
    places = Places(killed, 3)
    while len([event for event in killed.display.seen if event[0] == "epoch"]) < at:
        places.fill()
        places.step()
    again = world_in(**settings)
    Places(again, 2).run()
    assert states(again) == ["COMPLETE"] * 6
    # Which trials are proposed depends on who was quicker; trial 0 does not.
    assert again.study.out_of_fold(0, 0).equals(calm.study.out_of_fold(0, 0))
    for number in range(6):
        epochs = again.study.epochs(number)
        assert not epochs.duplicated(["seed", "fold", "epoch"]).any()


RUNGS = (2, 4)
"""Epochs of the rungs of fold 0 of eight epochs: 15 and 45 %; that of 5 % falls on the first of these."""


def value_at(world: World, number: int, epoch: int) -> float:
    epochs = world.study.epochs(number)
    row = epochs[(epochs["fold"] == 0) & (epochs["epoch"] == epoch)]
    return float(row["validation_accuracy"].iloc[0])


def test_a_trial_waits_at_each_rung_and_is_trained_once(world_in: Callable[..., World]) -> None:
    world = world_in(trials=5, epochs=8)
    places = Places(world, 1)
    assert places.run()[:6] == [(0, 0), (0, 1), (0, 2), (1, 0), (2, 0), (3, 0)]
    assert states(world) == ["COMPLETE"] * 5
    for number in range(1, 5):
        shares = [where.split()[2] for label, where in waited(world) if label == f"{number:04d}"]
        assert shares == ["15", "45", "the"], "of fold 0, and at its end"
        # What a worker reports again from its checkpoint neither counts nor lets the trial wait again.
        epochs = world.study.epochs(number)
        assert len(epochs) == FOLDS * 8
        assert places.order.count((number, 0)) == 3
    seen = [event[2:] for event in world.display.seen if event[:2] == ("epoch", "0001") and event[2] == 0]
    assert seen == [(0, epoch) for epoch in range(1, 9)]


def test_at_a_rung_the_best_third_goes_on_first(world_in: Callable[..., World]) -> None:
    world = world_in(trials=7, epochs=8)
    places = Places(world, 1)
    while not [label for label, where in waited(world) if "45 %" in where]:
        places.fill()
        places.step()
    reached = [number for number, _ in sorted(set(places.order))]
    best = max((number for number in reached if number), key=lambda number: value_at(world, number, RUNGS[0]))
    label, where = waited(world)[-1]
    assert where.startswith("waits at 45 % of fold 1, rank ")
    # Of three or more at the first rung, trial 0 among them, the best one went on; trial 0 does not wait.
    assert len(reached) >= 3
    assert int(label) == best or value_at(world, 0, RUNGS[0]) > value_at(world, best, RUNGS[0])


def test_a_task_knows_after_which_epochs_it_may_wait(world_in: Callable[..., World]) -> None:
    """A worker writes its checkpoint before it reports these."""
    world = world_in(trials=2, epochs=8, repeats=1)
    driver, stops = world.driver(), dict[Task, tuple[int, ...]]()
    while (assignment := driver.begin()) is not None:
        stops[assignment.task] = assignment.stops
        world.train(driver, assignment)
    assert {task: found for task, found in stops.items() if found} == {Task(Job(1, 0), 0): RUNGS}
    assert len(stops) == 4 * FOLDS, "of two trials and their repeats"
    first = world_in("off", trials=2, epochs=8, pausing=False, start=7).driver().begin()
    assert first is not None
    assert first.stops == ()


def test_a_process_that_crashes_after_a_rung_does_not_fail_its_trial(world_in: Callable[..., World]) -> None:
    world = world_in(trials=2, epochs=8)
    driver = world.driver()
    while (assignment := driver.begin()) is not None:
        for report in world.reports(assignment):
            if not driver.receive(assignment.task, report):
                break
        driver.end(assignment.task, process_failed=True)
    assert states(world) == ["COMPLETE", "COMPLETE"]


@pytest.mark.parametrize("num_epochs", [1, RUNGS[0]])
def test_after_a_crash_a_trial_at_a_rung_waits_and_one_between_rungs_goes_on(
    world_in: Callable[..., World], num_epochs: int
) -> None:
    calm, killed = world_in("calm", trials=3, epochs=8), world_in(trials=3, epochs=8)
    Places(calm, 1).run()
    driver = killed.driver()
    for _ in range(FOLDS):
        assignment = driver.begin()
        assert assignment is not None
        killed.train(driver, assignment)
    assignment = driver.begin()
    assert assignment is not None
    for epoch, report in enumerate(itertools.islice(killed.reports(assignment), num_epochs), start=1):
        assert driver.receive(assignment.task, report) == (epoch not in RUNGS)
    again = world_in(trials=3, epochs=8)
    resumed = Places(again, 1)
    resumed.fill()
    if num_epochs in RUNGS:
        assert waited(again)[0][0] == "0001"
        assert resumed.order == [(2, 0)], "a new trial comes first"
    else:
        assert (waited(again), resumed.order) == ([], [(1, 0)])
    resumed.run()
    assert everything(again) == everything(calm)


class WithoutCheckpoints(Places):
    """Places whose workers find no checkpoints: each start of a task trains it from its first epoch, in other times."""

    def reports(self, assignment: Assignment) -> Iterator[Report]:
        num_starts = self.order.count((assignment.task.job.number, assignment.task.fold))
        for report in super().reports(assignment):
            if isinstance(report, Epoch):
                yield dataclasses.replace(report, seconds=report.seconds + num_starts)
            else:
                yield report


def test_trials_whose_checkpoints_were_removed_train_again_and_keep_their_places(
    world_in: Callable[..., World],
) -> None:
    settings: dict[str, Any] = {"trials": 4, "epochs": 8}
    calm, world = world_in("calm", **settings), world_in(**settings)
    kept, removed = Places(calm, 1), WithoutCheckpoints(world, 1)
    assert removed.run() == kept.run()
    assert waited(world) == waited(calm)
    for number in range(4):
        epochs, expected = (each.study.epochs(number).drop(columns="seconds") for each in (world, calm))
        assert epochs.equals(expected)
        assert world.study.out_of_fold(number, 0).equals(calm.study.out_of_fold(number, 0))
        # Up to the first rung once more, and up to the second one; a finished fold needs no checkpoint.
        again = world.study.repeated(number)
        assert again["epoch"].tolist() == ([] if number == 0 else [*range(1, RUNGS[0] + 1), *range(1, RUNGS[1] + 1)])
    ledger = ledger_of(world.study)
    num_again, seconds = 3 * sum(RUNGS), ledger.seconds["redone"]
    assert seconds == pytest.approx(num_again * 36.0, rel=0.1)
    assert ledger.total == pytest.approx(ledger_of(calm.study).total + seconds, rel=0.1)
