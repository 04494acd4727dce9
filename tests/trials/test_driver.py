"""The driver, run by a loop instead of Ray: study folder, journal and tracker always agree."""

from __future__ import annotations

import itertools
import json
import re
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from helpers.studies import change_info, without_checksums
from helpers.worlds import EPOCHS, FAILURE, KILLED, NUM_FOLDS, SPACE, STEPS, Killed, World, everything, frozen
from optuna.storages.journal._storage import JournalOperation
from optuna.trial import FrozenTrial, TrialState

from leukemia.base import provenance
from leukemia.base.errors import UserError
from leukemia.base.record import write_record
from leukemia.config.results import Epoch
from leukemia.data.catalog import Catalog
from leukemia.scoring.metrics import describe_difference, scores
from leukemia.study.best import Best
from leukemia.study.best_score import IntervalRecord
from leukemia.study.job import Job
from leukemia.study.ledger import ledger_of
from leukemia.study.listener import Listener
from leukemia.study.schema import FoldRecord, Origin, State, TrialEnd
from leukemia.study.table import trial_table
from search.policy.early_stopping import Contender
from search.policy.effort import effort
from search.policy.health import MAX_RESCHEDULES, Rescheduled
from search.policy.repeats import last_repeat
from search.policy.task import Task
from search.sampling.entry import STATES
from search.trials.assignment import Assignment, Failure
from search.trials.outcome import write_best
from search.trials.schedule import Limits

FATES = {1: "stopped", 2: "failed", 3: "crashed", 4: "undefined"}
EXPECTED = {0: "complete", 1: "stopped", 2: "failed", 3: "failed", 4: "failed", 5: "complete"}


def assert_agreement(world: World) -> None:
    """Study folder, journal and tracker agree on every trial."""
    trials = frozen(world)
    assert [trial.number for trial in trials] == world.study.trials()
    assert sorted(world.tracker.runs) == [
        number for number in world.study.trials() if world.study.origin(number) is None
    ]
    for trial in trials:
        assert_agreement_on(world, trial)


def assert_agreement_on(world: World, trial: FrozenTrial) -> None:
    number, end = trial.number, world.study.end(trial.number)
    assert end is not None
    assert trial.state == STATES[end.state]
    assert SPACE.recipe(trial.params) == world.study.recipe(number)
    folds = [world.study.fold(number, 0, fold) for fold in world.study.folds_done(number, 0)]
    scores = [fold.scores[world.rules.objective] for fold in folds]
    defined = {fold: score for fold, score in enumerate(scores) if score is not None}
    assert trial.intermediate_values == ({} if world.rules.by_cost else defined)
    epochs = world.study.epochs(number)
    epochs = epochs[epochs["seed"] == 0]
    if number in world.tracker.runs:
        run = world.tracker.runs[number]
        assert run["end"] == (end.state, end.reason, end.score)
        assert run["folds"] == folds
        assert run["epochs"] == list(zip(epochs["fold"], epochs["epoch"], epochs["train_loss"], strict=True))
    assert len(epochs) == len(set(zip(epochs["fold"], epochs["epoch"], strict=True)))
    if end.state == "complete":
        assert len(folds) == NUM_FOLDS
        assert trial.values[0] == end.score == pytest.approx(np.mean(scores))
    else:
        assert end.score is None


def end_of(world: World, number: int) -> TrialEnd:
    """How a trial ended."""
    end = world.study.end(number)
    assert end is not None
    return end


@pytest.fixture
def world_in(tmp_path: Path, tiny_catalog: Catalog) -> Callable[..., World]:
    return lambda name="study", **settings: World(tmp_path / name, tiny_catalog, **settings)


def test_every_kind_of_end_is_recorded_everywhere(world_in: Callable[..., World]) -> None:
    world = world_in(trials=6, fates=FATES)
    world.run()
    assert_agreement(world)
    ends = {number: world.study.end(number) for number in world.study.trials()}
    assert {number: end and end.state for number, end in ends.items()} == EXPECTED
    reasons = [str(end and end.reason) for end in ends.values()]
    assert reasons[0] == "all 2 folds"
    assert reasons[1] == "no better than chance: predicts a single class for all images of fold 1, after 1 of 2 folds"
    assert reasons[2] == "NonFiniteLoss: at fold 1"
    assert reasons[3] == "its process crashed repeatedly"
    assert reasons[4] == "tta_accuracy is undefined in fold 1"
    assert [trial.state for trial in frozen(world)][1] == TrialState.PRUNED


def test_only_failed_jobs_have_a_traceback(world_in: Callable[..., World]) -> None:
    world = world_in(trials=6, fates=FATES, repeats=1)
    world.fates = {**FATES, Job(0, 1): "failed"}
    world.run()
    found = {str(path.relative_to(world.study.folder)): path.read_text() for path in tracebacks_of(world)}
    assert found == dict.fromkeys(["trials/0000/seed_1/traceback.txt", "trials/0002/traceback.txt"], FAILURE.traceback)
    assert str(FAILURE.traceback).startswith("Traceback")


def tracebacks_of(world: World) -> list[Path]:
    return sorted(world.study.folder.rglob("traceback.txt"))


class Watcher(Listener):
    """Records for each event what study folder and journal contain at that time."""

    def __init__(self, world: World) -> None:
        self.world, self.seen = world, list[tuple[Any, ...]]()

    def fold(self, job: Job, fold: FoldRecord) -> None:
        study = self.world.study
        assert fold == study.fold(job.number, job.seed, fold.fold), "committed, and bit-identical"
        self.seen.append(("fold", job.label, fold.fold, job.number in frozen_scores(self.world)))

    def end(self, job: Job, state: State, reason: str, score: float | None) -> None:
        known = (
            self.world.study.repeat_failure(job.number, job.seed) if job.is_repeat else end_of(self.world, job.number)
        )
        self.seen.append(("end", job.label, state, known is not None, self.world.journal.ends()[job.number]))

    def recorded(self, job: Job) -> None:
        self.seen.append(("recorded", job.label, self.world.journal.ends()[job.number], len(self.world.bests)))


def frozen_scores(world: World) -> dict[int, dict[int, float]]:
    """The scores in the journal, by trial."""
    return {trial.number: trial.intermediate_values for trial in frozen(world) if trial.intermediate_values}


def test_events_reach_the_disk_then_the_listeners_then_the_journal(world_in: Callable[..., World]) -> None:
    world = world_in(trials=2, fates={1: "failed", Job(0, 1): "failed"}, repeats=1)
    watcher = Watcher(world)
    world.listeners.append(watcher)
    world.run()
    assert watcher.seen == [
        ("fold", "0000", 0, False),
        ("fold", "0000", 1, True),
        ("end", "0000", "complete", True, None),
        ("recorded", "0000", "complete", 1),
        ("fold", "0000 seed 1", 0, True),
        ("end", "0000 seed 1", "failed", True, "complete"),
        ("recorded", "0000 seed 1", "complete", 1),
        ("fold", "0001", 0, False),
        ("end", "0001", "failed", True, None),
        ("recorded", "0001", "failed", 1),
    ]


def test_an_error_in_a_listener_ends_the_search(world_in: Callable[..., World]) -> None:
    class Refusing(Listener):
        def epoch(self, job: Job, epoch: Epoch) -> None:
            raise UserError("lease lost")

    world = world_in(trials=1)
    world.listeners.append(Refusing())
    with pytest.raises(UserError, match="lease lost"):
        world.run()
    assert len(world.study.epochs(0)) == 1, "already written"


def test_an_open_study_is_not_read_from_disk(world_in: Callable[..., World], monkeypatch: pytest.MonkeyPatch) -> None:
    """Judge, listeners and best.json get folds from memory."""
    world_in(trials=1, repeats=1).run()
    again = world_in(trials=4, racing=True, repeats=1, fates={1: "worse", 2: "undefined"})
    again.listeners.remove(again.tracker)
    driver = again.driver()
    with monkeypatch.context() as patch:
        for name in ("fold", "out_of_fold", "recipe", "trials", "end"):
            patch.setattr(again.study, name, lambda *arguments, name=name: pytest.fail(f"Study.{name} reads the disk"))
        while (assignment := driver.begin()) is not None:
            again.work(driver, assignment)
        write_best(again.study, again.catalog, again.splits, driver.progress)
    best = Best.load(again.study.folder / "best.json")
    assert [end_of(again, number).state for number in range(4)] == ["complete", "stopped", "failed", "complete"]
    seen = again.study.out_of_fold(int(best.trial), 0)
    found = scores(*(seen[name].to_numpy() for name in ("label", "probability_leukemic", "group")))
    assert best.scores == {name: IntervalRecord.of(interval) for name, interval in found.items()}
    assert best.hardware == provenance.hardware("cpu (test)")


def test_trial_0_is_the_starting_recipe(world_in: Callable[..., World]) -> None:
    assignment = world_in().driver().begin()
    assert assignment == Assignment(task=Task(Job(0, 0), 0), recipe=SPACE.start)


def test_the_best_is_announced_only_for_complete_trials_and_only_if_it_changes(world_in: Callable[..., World]) -> None:
    world = world_in(trials=8, fates=FATES)
    world.run()
    scores = {
        number: world.study.end(number).score  # type: ignore[union-attr]
        for number in world.study.trials()
        if EXPECTED.get(number, "complete") == "complete"
    }
    rising = []
    for number, score in scores.items():
        if not rising or score > scores[rising[-1]]:
            rising.append(number)
    assert [best.number for best in world.bests] == rising
    assert world.driver().best == world.bests[-1]


def test_without_a_complete_trial_no_best_is_announced(world_in: Callable[..., World]) -> None:
    world = world_in(trials=2, fates={0: "stopped", 1: "failed"})
    world.run()
    assert world.bests == []
    assert world.driver().best is None


@pytest.mark.parametrize("num_reports", [1, EPOCHS, EPOCHS + 1])
def test_a_trial_stopped_by_the_user_ends_at_its_next_report(world_in: Callable[..., World], num_reports: int) -> None:
    world = world_in(trials=2)
    driver = world.driver()
    assignment = driver.begin()
    assert assignment is not None
    reports = list(world.reports(assignment))
    assert all(driver.receive(assignment.task, report) for report in reports[: num_reports - 1])
    world.tracker.stopped.add(0)
    assert not driver.receive(assignment.task, reports[num_reports - 1])
    assert driver.end(assignment.task, False)
    end = world.study.end(0)
    folds = int(num_reports > EPOCHS)
    assert end == TrialEnd(
        state="stopped", reason=f"stopped manually in W&B after {folds} of {NUM_FOLDS} folds", score=None
    )
    assert frozen(world)[0].state == TrialState.PRUNED
    world.run()
    assert_agreement(world)


def test_a_trial_stopped_after_its_last_fold_is_complete(world_in: Callable[..., World]) -> None:
    world = world_in(trials=1)
    driver = world.driver()
    first = driver.begin()
    assert first is not None
    assert not world.train(driver, first)
    assignment = driver.begin()
    assert assignment is not None
    *before, last = world.reports(assignment)
    assert all(driver.receive(assignment.task, report) for report in before)
    world.tracker.stopped.add(0)
    assert driver.receive(assignment.task, last)
    assert driver.end(assignment.task, False)
    assert end_of(world, 0).state == "complete"


def test_a_report_that_arrives_twice_counts_once(world_in: Callable[..., World]) -> None:
    once, twice = world_in("once"), world_in("twice")
    once.run()
    driver = twice.driver()
    while (assignment := driver.begin()) is not None:
        for report in twice.reports(assignment):
            assert driver.receive(assignment.task, report)
            assert driver.receive(assignment.task, report)
        driver.end(assignment.task, False)
    assert everything(twice) == everything(once)
    assert_agreement(twice)


def test_reports_of_a_stopped_trial_are_ignored(world_in: Callable[..., World]) -> None:
    world = world_in(fates={0: "stopped"})
    driver = world.driver()
    assignment = driver.begin()
    assert assignment is not None
    reports = list(world.reports(assignment))
    accepted = [driver.receive(assignment.task, report) for report in [*reports, *reports]]
    assert accepted == [True, True, False, False, False, False]
    assert driver.folds_done(Job(0, 0)) == [0]
    assert len(world.study.epochs(0)) == EPOCHS


def test_an_undefined_score_other_than_the_objective_does_not_fail_a_trial(world_in: Callable[..., World]) -> None:
    world = world_in(trials=1, fates={0: "undefined"}, objective="tta_balanced_accuracy")
    world.run()
    assert_agreement(world)
    assert world.study.end(0).state == "complete"  # type: ignore[union-attr]


def test_trials_can_be_added_on_resume(world_in: Callable[..., World]) -> None:
    world_in(trials=2).run()
    more = world_in(trials=4)
    more.run()
    undisturbed = world_in("undisturbed", trials=4)
    undisturbed.run()
    assert everything(more) == everything(undisturbed)
    assert more.study.trials() == [0, 1, 2, 3]


def test_a_damaged_record_of_repeated_epochs_is_refused_before_a_trial_starts(world_in: Callable[..., World]) -> None:
    world_in(trials=2).run()
    again = world_in(trials=3)
    (again.study.trial_folder(1) / "repeated.csv").write_text("seed,fold,epoch,seconds\n0,0,1,-3.0\n")
    with pytest.raises(UserError, match=r"0001/repeated.csv: expected seconds from 0 to 1e\+09, got -3.0; restore"):
        again.driver()
    assert again.study.trials() == [0, 1]


def test_ended_trials_are_shown_again_on_resume(world_in: Callable[..., World]) -> None:
    world_in(trials=2, fates={1: "failed"}).run()
    again = world_in(trials=2)
    again.run()
    scores = [again.study.fold(0, 0, fold).scores["tta_accuracy"] for fold in range(NUM_FOLDS)]
    assert again.display.seen[0] == ("recall", "0000", "complete", scores)
    assert again.display.seen[1][:3] == ("recall", "0001", "failed")
    assert len(again.display.seen) == 2


def test_no_trial_starts_after_the_budget_is_used_up(world_in: Callable[..., World]) -> None:
    # An epoch takes 0.01 hours, a trial has four.
    world = world_in(trials=9, budget_hours=0.10)
    world.run()
    assert world.study.trials() == [0, 1, 2]
    again = world_in(trials=9, budget_hours=0.10)
    again.run()
    assert again.study.trials() == [0, 1, 2], "time used before a resume counts"
    notes = [event for event in again.display.seen if event[0] == "note"]
    assert notes == [("note", "budget of 0.1 device hours used up; no new trials will start (--budget-hours)")], (
        "reported once"
    )
    assert world_in("none", trials=9, budget_hours=0.0).driver().begin() is None


def test_trials_can_run_in_parallel(world_in: Callable[..., World]) -> None:
    world = world_in(trials=4, fates={1: "stopped"})
    driver = world.driver()
    running = [(a, world.reports(a)) for a in (driver.begin(), driver.begin(), driver.begin()) if a is not None]
    assert [assignment.task for assignment, _ in running] == [Task(Job(number, 0), 0) for number in range(3)]
    order = list[Task]()
    while running:
        for pair in list(running):
            task, report = pair[0].task, next(pair[1], None)
            if report is None or not driver.receive(task, report):
                driver.end(task, False)
                running.remove(pair)
                following = driver.begin()
                if following is not None:
                    order.append(following.task)
                    running.append((following, world.reports(following)))
    # The next fold of a trial takes the place of the last one; the place of trial 1, which is stopped, is free.
    assert [(task.job.number, task.fold) for task in order] == [(3, 0), (0, 1), (2, 1), (3, 1)]
    assert driver.idle()
    assert_agreement(world)


def started(world: World) -> list[str]:
    """Labels of all jobs in the order in which they started."""
    return [event[1] for event in world.display.seen if event[0] == "begin"]


def test_leaders_are_repeated_after_the_trials_and_repeats_are_not_trials(world_in: Callable[..., World]) -> None:
    world = world_in(trials=3, repeats=2, fates={1: "worse"})
    world.run()
    labels = started(world)
    assert labels[:4] == ["0000", "0000 seed 1", "0001", "0002"]
    assert set(labels[4:]) == {"0000 seed 2", "0002 seed 1", "0002 seed 2"}
    assert [world.study.seeds(number) for number in range(3)] == [[0, 1, 2], [0], [0, 1, 2]]
    for number, seed in itertools.product((0, 2), (1, 2)):
        assert world.study.folds_done(number, seed) == [0, 1]
        assert (world.study.trial_folder(number) / f"seed_{seed}" / "fold_1.csv").is_file()
    assert len(frozen(world)) == 3
    # Repeats are neither in the journal nor in the tracker.
    assert_agreement(world)
    assert set(world.study.epochs(0)["seed"]) == {0, 1, 2}
    assert trial_table(world.study).set_index("trial")["seeds"].to_dict() == {"0000": 3, "0001": 1, "0002": 3}


def test_a_repeat_has_the_same_recipe_with_another_seed(world_in: Callable[..., World]) -> None:
    world = world_in(trials=1, repeats=1)
    driver = world.driver()
    trial = driver.begin()
    assert trial is not None
    world.work(driver, trial)
    repeat = driver.begin()
    assert repeat == Assignment(task=Task(Job(0, 1), 0), recipe=SPACE.start.with_settings({"train.seed": 1}))
    assert repeat.task.job.is_repeat


def test_nothing_to_run_now_differs_from_nothing_left_to_run(world_in: Callable[..., World]) -> None:
    world = world_in(trials=3, repeats=1)
    driver = world.driver()
    assert driver.idle()
    first, second, third = driver.begin(), driver.begin(), driver.begin()
    assert first is not None
    assert second is not None
    assert third is not None
    assert (driver.begin(), driver.idle()) == (None, False)
    world.work(driver, first)
    repeat = driver.begin()
    assert repeat is not None
    assert repeat.task.job == Job(0, 1), "the repeat of the starting recipe does not wait"
    world.work(driver, repeat)
    world.work(driver, second)
    assert last_repeat(driver.race, set()) == Job(1, 1)
    assert (driver.begin(), driver.idle()) == (None, False), "other repeats wait for the last trial"
    world.work(driver, third)
    last = driver.begin()
    assert last is not None
    assert last.task.job.seed == 1
    world.work(driver, last)
    while (assignment := driver.begin()) is not None:
        world.work(driver, assignment)
    assert driver.idle()


def test_a_killed_repeat_is_resumed(world_in: Callable[..., World]) -> None:
    undisturbed = world_in("undisturbed", trials=2, repeats=1)
    undisturbed.run()
    killed = world_in(trials=2, repeats=1)
    driver = killed.driver()
    trial = driver.begin()
    assert trial is not None
    killed.work(driver, trial)
    repeat = driver.begin()
    assert repeat is not None
    assert not killed.train(driver, repeat)
    second = driver.begin()
    assert second is not None
    assert driver.receive(second.task, next(killed.reports(second)))
    again = world_in(trials=2, repeats=1)
    resumed = again.driver()
    adopted = resumed.begin()
    assert adopted is not None
    assert adopted.task == Task(Job(0, 1), 1)
    score = again.study.fold(0, 1, 0).scores["tta_accuracy"]
    assert again.display.seen[-1] == ("begin", "0000 seed 1", [score])
    again.work(resumed, adopted)
    while (assignment := resumed.begin()) is not None:
        again.work(resumed, assignment)
    assert everything(again) == everything(undisturbed)


@pytest.mark.parametrize(
    ("fate", "reason"),
    [
        ("failed", "NonFiniteLoss: at fold 1"),
        ("crashed", "its process crashed repeatedly"),
        ("undefined", "tta_accuracy is undefined in fold 1"),
    ],
)
def test_a_failed_repeat_is_ignored_and_not_retried(world_in: Callable[..., World], fate: str, reason: str) -> None:
    world = world_in(trials=1, repeats=1, fates={Job(0, 1): fate})
    driver = world.run()
    assert world.study.repeat_failure(0, 1) == reason
    assert ("end", "0000 seed 1", "failed") in world.display.seen
    assert end_of(world, 0).state == "complete"
    assert driver.race.complete_jobs(0) == [Job(0, 0)]
    assert trial_table(world.study)["seeds"].tolist() == [1]
    assert_agreement(world)
    again = world_in(trials=1, repeats=1)
    again.run()
    assert started(again) == []


def test_a_repeat_is_never_stopped(world_in: Callable[..., World]) -> None:
    world = world_in(trials=2, repeats=1, racing=True, fates={Job(0, 1): "chance", 1: "worse"})
    world.run()
    assert world.study.folds_done(0, 1) == [0, 1]
    assert world.study.repeat_failure(0, 1) is None


def test_a_trial_that_cannot_win_is_stopped_with_a_reason(world_in: Callable[..., World]) -> None:
    world = world_in(trials=3, racing=True, fates={1: "worse"})
    world.run()
    assert_agreement(world)
    assert [end_of(world, number).state for number in range(3)] == ["complete", "stopped", "complete"]
    reason = r"cannot win: \d+\.\d points below the best \(optimistic bound: -\d+\.\d\), after 1 of 2 folds"
    assert re.fullmatch(reason, end_of(world, 1).reason)
    stopped = frozen(world)[1]
    score = world.study.fold(1, 0, 0).scores["tta_accuracy"]
    assert (stopped.state, stopped.intermediate_values) == (TrialState.PRUNED, {0: score})
    without_racing = world_in("without-racing", trials=3, fates={1: "worse"})
    without_racing.run()
    assert end_of(without_racing, 1).state == "complete"


def test_score_and_cost_are_recorded_and_a_cheaper_trial_within_one_standard_error_wins(
    world_in: Callable[..., World],
) -> None:
    fates = {1: "worse", 2: "stopped", 3: "failed", 4: "cheap", 5: "expensive"}
    world = world_in(trials=6, objective="tta_accuracy,cost", racing=True, fates=fates)
    driver = world.run()
    assert_agreement(world)
    trials = frozen(world)
    assert [trial.state.name for trial in trials] == ["COMPLETE", "PRUNED", "PRUNED", "FAIL", "COMPLETE", "COMPLETE"]
    for trial in trials:
        folds = [world.study.fold(trial.number, 0, fold) for fold in world.study.folds_done(trial.number, 0)]
        scores = {f"fold_{fold.fold}": fold.scores["tta_accuracy"] for fold in folds}
        assert trial.user_attrs == scores
        values = [np.mean(list(scores.values())), sum(fold.seconds for fold in folds)]
        assert trial.values == (values if trial.state == TrialState.COMPLETE else None)
    assert [trials[number].values[1] for number in (0, 4, 5)] == [160.0, 80.0, 1600.0]
    # Trial 5 leads but is expensive. The start is not clearly worse; trial 4, the cheapest, is.
    leader = driver.race.leader()
    assert leader is not None
    assert leader.number == 5
    assert driver.best is not None
    assert driver.best.number == 0
    assert world.bests[-1] == driver.best


def test_the_best_is_announced_again_after_a_repeat(world_in: Callable[..., World]) -> None:
    world = world_in(trials=1, repeats=1)
    world.run()
    assert [(best.number, len(best.fold_scores)) for best in world.bests] == [(0, 2), (0, 4)]
    again = world_in(trials=1, repeats=1)
    again.driver()
    assert again.bests == world.bests[-1:], "a crashed driver may not have announced it"


def test_best_json_contains_the_results_of_other_seeds(world_in: Callable[..., World]) -> None:
    world = world_in(trials=3, repeats=1, racing=True, fates={1: "worse", 2: "worse"}, margin=0.9)
    driver = world.run()
    write_best(world.study, world.catalog, world.splits, driver.progress)
    best = Best.load(world.study.folder / "best.json")
    assert driver.best is not None
    assert (best.trial, best.seeds, best.num_complete) == ("0000", [0, 1], 3)
    assert best.score.raw == driver.best.score == pytest.approx(np.mean(driver.best.fold_scores))
    # With folds of equal size, the pooled accuracy of both seeds is the mean over folds and seeds.
    assert best.score.pooled.value == pytest.approx(best.score.raw)
    assert best.score.headline.value <= best.score.pooled.value
    assert set(best.noise.to_dict()) == {"winner_vs_second", "fold_noise", "seeds"}, "the winner is the start itself"
    assert best.noise.winner_vs_second.startswith("better by ")
    assert best.noise.fold_noise == driver.race.noise()
    assert best.noise.seeds["0000"] == [0, 1]


def test_best_json_compares_the_winner_with_the_start(world_in: Callable[..., World]) -> None:
    world = world_in(trials=4, fates={0: "worse", 1: "worse", 2: "failed"})
    driver = world.run()
    write_best(world.study, world.catalog, world.splits, driver.progress)
    best = Best.load(world.study.folder / "best.json")
    assert (best.trial, best.num_complete) == ("0003", 3)
    # Both others are equally bad, and the earlier one is the start.
    assert best.noise.winner_vs_start == best.noise.winner_vs_second
    assert best.noise.winner_vs_start == describe_difference(driver.race.interval(3, 0))
    assert best.noise.winner_vs_start.endswith(": significant")
    assert best.noise.seeds == {}


def test_no_repeat_starts_after_the_budget_is_used_up(world_in: Callable[..., World]) -> None:
    # Trial 0 and its repeat take four epochs of 0.01 hours each.
    world = world_in(trials=9, repeats=2, budget_hours=0.07)
    world.run()
    assert started(world) == ["0000", "0000 seed 1"]
    again = world_in(trials=9, repeats=2, budget_hours=0.07)
    again.run()
    assert started(again) == [], "time used by repeats before a resume counts"
    none = world_in("none", trials=9, repeats=2, budget_hours=0.03)
    none.run()
    assert started(none) == ["0000"]


def test_no_trial_starts_after_too_many_without_an_improvement(world_in: Callable[..., World]) -> None:
    fates = dict.fromkeys(range(1, 9), "worse")
    world = world_in(trials=9, patience=3, repeats=1, fates=fates)
    world.run()
    assert world.study.trials() == [0, 1, 2, 3]
    notes = [event[1] for event in world.display.seen if event[0] == "note"]
    assert notes == ["no improvement beyond noise in the last 3 trials; no new trials will start (--patience)"], (
        "reported once"
    )
    more = world_in(trials=9, patience=4, repeats=1, fates=fates)
    more.run()
    assert more.study.trials() == [0, 1, 2, 3, 4]


WARM = {1: "stopped", 2: "failed"}


@pytest.fixture
def earlier(world_in: Callable[..., World]) -> World:
    """A study of four trials: two complete, the first with a repeat, one stopped, one failed."""
    world = world_in("earlier", trials=4, repeats=1, fates=WARM)
    world.run()
    return world


def test_a_warm_start_reuses_finished_trials(world_in: Callable[..., World], earlier: World) -> None:
    world = world_in(trials=2, warm_start=[earlier.study])
    assert world.study.trials() == [0, 1, 2]
    world.run()
    assert world.study.trials() == [0, 1, 2, 3, 4], "new trials are counted separately"
    assert_agreement(world)
    for number, original in enumerate((0, 1, 3)):
        assert world.study.origin(number) == Origin(
            study="earlier", study_uid="abcd1234", trial=f"{original:04d}", seeds=earlier.study.seeds(original)
        )
        assert world.study.recipe(number) == earlier.study.recipe(original)
        assert world.study.end(number) == earlier.study.end(original)
        assert world.study.seeds(number) == earlier.study.seeds(original)
        pd.testing.assert_frame_equal(world.study.out_of_fold(number, 0), earlier.study.out_of_fold(original, 0))
        assert frozen(world)[number].user_attrs["origin"] == f"abcd1234-{original:04d}"
    states = [trial.state.name for trial in frozen(world)]
    assert states == ["COMPLETE", "PRUNED", "COMPLETE", "COMPLETE", "COMPLETE"]
    assert world.study.recipe(3) != SPACE.start, "the starting recipe is reused"
    assert [event[:3] for event in world.display.seen[:3]] == [
        ("recall", "0000", "complete"),
        ("recall", "0001", "stopped"),
        ("recall", "0002", "complete"),
    ]
    assert sorted(world.tracker.runs) == [3, 4]


def test_a_prior_can_lead_and_win_and_trials_are_compared_with_it(
    world_in: Callable[..., World], earlier: World
) -> None:
    world = world_in(trials=2, warm_start=[earlier.study], racing=True, fates={3: "worse", 4: "worse"})
    driver = world.run()
    assert driver.best is not None
    assert driver.best.number in (0, 2)
    assert world.bests == [driver.best], "announced at the start"
    for number in (3, 4):
        assert end_of(world, number).reason.startswith("cannot win")
    assert len(driver.race.contenders()[0].fold_scores) == 4, "the repeat of the prior counts"


def test_a_warm_started_study_is_resumed(world_in: Callable[..., World], earlier: World) -> None:
    undisturbed = world_in("undisturbed", trials=3, warm_start=[earlier.study], racing=True)
    undisturbed.run()
    world_in(trials=1, warm_start=[earlier.study], racing=True).run()
    resumed = world_in(trials=3, racing=True)
    resumed.run()
    assert everything(resumed) == everything(undisturbed)
    assert started(resumed) == ["0004", "0005"]
    assert sorted(resumed.tracker.runs) == [4, 5]


def test_priors_do_not_use_the_budget(world_in: Callable[..., World], earlier: World) -> None:
    for _ in range(2):
        world = world_in(trials=9, warm_start=[earlier.study], budget_hours=0.07)
        world.run()
        assert world.study.trials() == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("objective", ["tta_accuracy,cost", "tta_auroc"])
def test_priors_have_scores_of_the_new_objective(
    world_in: Callable[..., World], earlier: World, objective: str
) -> None:
    world = world_in(trials=1, warm_start=[earlier.study], objective=objective)
    world.run()
    scores = [world.study.fold(0, 0, fold).scores[world.rules.objective] for fold in range(NUM_FOLDS)]
    values = [np.mean(scores), 160.0] if world.rules.by_cost else [np.mean(scores)]
    assert frozen(world)[0].values == values
    assert frozen(world)[1].state == TrialState.PRUNED


def test_a_renamed_study_is_resumed(world_in: Callable[..., World], tmp_path: Path) -> None:
    world_in(trials=1).run()
    (tmp_path / "study").rename(tmp_path / "moved")
    moved = world_in("moved", trials=2, journal_name="moved")
    moved.run()
    assert started(moved) == ["0001"]
    assert len(frozen(moved)) == 2


def test_a_trial_beyond_those_of_the_search_is_refused(world_in: Callable[..., World]) -> None:
    """The line of a proposal is duplicated: its trial would be run in addition to ``--trials``."""
    world = world_in(trials=2)
    world.run()
    change_info(world.study, trials=2)
    path = world.study.folder / "optuna.journal"
    lines = path.read_text().splitlines()
    (*_, created) = [line for line in lines if json.loads(line)["op_code"] == JournalOperation.CREATE_TRIAL]
    path.write_text("\n".join([*lines, created, ""]))
    with pytest.raises(UserError, match=r"journal: expected at most 2 trials .*, found 1 more, up to 0002; restore"):
        world_in(trials=2).driver()


def test_a_missing_journal_and_unknown_or_missing_folders_are_refused(world_in: Callable[..., World]) -> None:
    world = world_in(trials=2)
    world.run()
    trials, journal = world.study.folder / "trials", world.study.folder / "optuna.journal"
    shutil.copytree(trials / "0000", trials / "0007")
    with pytest.raises(
        UserError, match=r"optuna.journal: has no record of trials 0007, which are in .*trials; restore it"
    ):
        world_in().driver()
    shutil.rmtree(trials / "0007")
    whole = journal.read_bytes()
    journal.unlink()
    with pytest.raises(
        UserError, match=r"optuna.journal: has no record of trials 0000, 0001, which are in .* from a backup"
    ):
        world_in().driver()
    journal.write_bytes(whole)
    end = (without_checksums(trials / "0001") / "state.json").read_text()
    (trials / "0001" / "state.json").write_text(end.replace("complete", "failed"))
    with pytest.raises(
        UserError,
        match=r"0001/state.json: state is 'failed', but 'complete' for trial 0001 in .*optuna.journal; restore",
    ):
        world_in().driver()
    shutil.rmtree(trials / "0001")
    with pytest.raises(
        UserError, match=r"trials: recipe.json or state.json is missing for trials 0001, which have ended; "
    ):
        world_in().driver()


@pytest.mark.parametrize(
    ("name", "old", "new", "message"),
    [
        ("fold_1.json", None, None, "is missing, but trial 0000 is complete; restore the file from a backup"),
        (
            "fold_1.json",
            r'"tta_accuracy": [\d.]+',
            '"tta_accuracy": null',
            "tta_accuracy is undefined, but trial 0000 is",
        ),
        ("fold_0.csv", "fold_", "f_", "row 0 does not match the data: expected image_id fold_.*, got f_.*; restore"),
    ],
)
def test_inconsistent_folds_are_refused(
    world_in: Callable[..., World], name: str, old: str | None, new: str, message: str
) -> None:
    world = world_in(trials=1)
    world.run()
    path = without_checksums(world.study.trial_folder(0)) / "seed_0" / name
    if old is None:
        path.unlink()
    else:
        changed = re.sub(old, new, path.read_text())
        assert changed != path.read_text()
        path.write_text(changed)
    with pytest.raises(UserError, match=rf"0000/seed_0/{name}: {message}".replace("row 0", r"row \d+")):
        world_in().driver()


def test_a_fold_beyond_those_of_the_study_is_refused(world_in: Callable[..., World]) -> None:
    world = world_in(trials=1)
    world.run()
    folder = world.study.trial_folder(0) / "seed_0"
    record = json.loads((folder / "fold_1.json").read_text())
    write_record(folder / "fold_7.json", {**record, "fold": 7})
    shutil.copy(folder / "fold_1.csv", folder / "fold_7.csv")
    with pytest.raises(UserError, match=r"fold_7.json: the study has 2 folds, counted from 0; remove the file"):
        world_in().driver()


def test_an_unfinished_repeat_of_a_prior_is_run_and_uses_the_budget(world_in: Callable[..., World]) -> None:
    earlier = world_in("earlier", trials=1, repeats=1)
    driver = earlier.driver()
    trial = driver.begin()
    assert trial is not None
    earlier.work(driver, trial)
    repeat = driver.begin()
    assert repeat is not None
    assert not earlier.train(driver, repeat)
    second = driver.begin()
    assert second is not None
    assert driver.receive(second.task, next(earlier.reports(second)))
    # The four epochs of the repeat use up the budget: no trial starts.
    world = world_in(trials=1, repeats=1, warm_start=[earlier.study], budget_hours=0.04)
    world.run()
    assert started(world) == ["0000 seed 1"]
    assert world.study.origin(0).seeds == [0]  # type: ignore[union-attr]
    seconds = ledger_of(world.study).seconds
    assert seconds["repeats"] == ledger_of(world.study).total == NUM_FOLDS * 80.0


class Fuse:
    """Counts steps with side effects and kills the process before or after a given step."""

    def __init__(self, world: World, at: int, *, after: bool) -> None:
        self.at, self.after, self.count = at, after, 0
        world.bests = _Bests()
        for part, names in STEPS.items():
            for name in names:
                target = getattr(world, part)
                setattr(target, name, self.watched(getattr(target, name)))

    def watched(self, step: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **options: Any) -> Any:
            number, self.count = self.count, self.count + 1
            if number == self.at and not self.after:
                raise Killed
            result = step(*arguments, **options)
            if number == self.at:
                raise Killed
            return result

        return call


class _Bests(list[Contender]):
    """A list whose methods can be replaced."""


@pytest.mark.parametrize(
    "stride", [37, pytest.param(5, marks=pytest.mark.slow), pytest.param(1, marks=pytest.mark.long)]
)
@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("search", KILLED)
def test_a_kill_at_any_step_changes_nothing(
    world_in: Callable[..., World], search: str, after: bool, stride: int
) -> None:
    settings = KILLED[search]
    undisturbed = world_in("undisturbed", **settings)
    fuse = Fuse(undisturbed, -1, after=after)
    undisturbed.run()
    expected = everything(undisturbed)
    assert fuse.count > 40
    for at in range(0, fuse.count, stride):
        killed = world_in(f"killed-{at}", **settings)
        Fuse(killed, at, after=after)
        with pytest.raises(Killed):
            killed.run()
        resumed = world_in(f"killed-{at}", **settings)
        resumed.run()
        assert everything(resumed) == expected, f"killed at step {at}"
        announced = [*killed.bests, *resumed.bests]
        assert announced, f"killed at step {at}"
        assert announced[-1] == undisturbed.bests[-1], f"killed at step {at}"
        for number, run in resumed.tracker.runs.items():
            assert run == undisturbed.tracker.runs[number], f"killed at step {at}"


NO_GPU = Rescheduled(
    message="cuda does not compute",
    traceback="Traceback: no GPU\n",
    node_id="a",
    node="10.0.0.7",
    recipe_suspected=True,
)


def run_ordered(world: World, slots: int) -> list[int]:
    """Run with ``slots`` workers; returns the numbers of the trials in the order in which they started."""
    driver, order, running = world.driver(), [], []
    while True:
        while len(running) < slots and (assignment := driver.begin(slots)) is not None:
            if assignment.task.fold == 0:
                order.append(assignment.task.job.number)
            running.append(assignment)
        if not running:
            assert driver.idle()
            return order
        world.train(driver, running.pop(0))


def test_a_rescheduled_job_ends_with_the_same_results(world_in: Callable[..., World]) -> None:
    calm, world = world_in("calm", repeats=1), world_in("hit", repeats=1)
    calm.run()
    driver, times = world.driver(), Counter[Job]()
    while (assignment := driver.begin()) is not None:
        task = assignment.task
        times[task.job] += 1
        if times[task.job] <= 2:
            # Once before its first epoch, once after it.
            if times[task.job] == 2:
                assert driver.receive(task, next(world.reports(assignment)))
            assert not driver.receive(task, NO_GPU)
            assert not driver.end(task, process_failed=True)
            assert not driver.idle(), "it is due to run again"
        else:
            world.work(driver, assignment)
    assert everything(world) == everything(calm)
    assert_agreement(world)
    notes = [event for kind, *event in world.display.seen if kind == "note"]
    assert notes.count(["trial 0001 is rescheduled: cuda does not compute"]) == 2
    assert notes.count(["trial 0000 seed 1 is rescheduled: cuda does not compute"]) == 2


def test_finished_folds_are_kept_when_a_job_is_rescheduled(world_in: Callable[..., World]) -> None:
    world = world_in(trials=1)
    driver = world.driver()
    first = driver.begin()
    assert first is not None
    world.train(driver, first)
    assignment = driver.begin()
    assert assignment is not None
    task = assignment.task
    driver.receive(task, NO_GPU)
    assert not driver.receive(task, Failure(message="CUDA error")), "later reports are ignored"
    driver.end(task, process_failed=True)
    again = driver.begin()
    assert again is not None
    assert again.task == task == Task(first.task.job, 1)


def test_faults_that_no_recipe_causes_never_fail_a_job(world_in: Callable[..., World]) -> None:
    calm, world = world_in("calm", trials=1), world_in("hit", trials=1)
    calm.run()
    driver = world.driver()
    full = Rescheduled(message="No space left on device: /cache", node_id="a", node="10.0.0.7")
    for _ in range(2 * MAX_RESCHEDULES):
        assignment = driver.begin()
        assert assignment is not None
        driver.receive(assignment.task, full)
        assert not driver.end(assignment.task, process_failed=True)
    assert world.study.end(0) is None
    world.run()
    assert everything(world) == everything(calm)


def test_a_job_that_is_rescheduled_too_often_fails(world_in: Callable[..., World]) -> None:
    world = world_in(trials=1)
    driver = world.driver()
    times = 0
    while (assignment := driver.begin()) is not None:
        driver.receive(assignment.task, NO_GPU)
        driver.end(assignment.task, process_failed=True)
        times += 1
    assert times == 11
    assert end_of(world, 0).state == "failed"
    assert [path.read_text() for path in tracebacks_of(world)] == ["Traceback: no GPU\n"]
    assert end_of(world, 0).reason == "rescheduled 10 times; giving up: cuda does not compute"


def test_the_most_expensive_of_the_last_trials_starts_first(world_in: Callable[..., World]) -> None:
    alone = world_in("alone", trials=6)
    assert run_ordered(alone, slots=1) == [0, 1, 2, 3, 4, 5]
    world = world_in("several", trials=6)
    order = run_ordered(world, slots=3)
    assert order[:3] == [0, 1, 2]
    efforts = [effort(world.study.recipe(number)) for number in order[3:]]
    assert efforts == sorted(efforts, reverse=True)
    assert sorted(order) == list(range(6))
    assert [world.study.recipe(n) for n in range(6)] == [alone.study.recipe(n) for n in range(6)]
    assert_agreement(world)


def test_trials_proposed_in_advance_wait_if_the_budget_is_used_up_and_start_after_a_resume(
    world_in: Callable[..., World],
) -> None:
    # Each trial has four epochs of 36 s: the first trial uses up the budget.
    world = world_in(trials=2, budget_hours=0.03)
    driver = world.driver()
    first = driver.begin(2)
    assert first is not None
    world.work(driver, first)
    assert driver.begin(2) is None
    assert world.study.trials() == [first.task.job.number]
    world.limits = Limits(num_trials=2)
    world.run()
    assert [end_of(world, number).state for number in (0, 1)] == ["complete", "complete"]


def test_the_most_expensive_adopted_trial_starts_first(world_in: Callable[..., World]) -> None:
    world = world_in(trials=4)
    driver = world.driver()
    assert [driver.begin(2) is not None for _ in range(4)] == [True] * 4
    order = run_ordered(world, slots=2)
    efforts = [effort(world.study.recipe(number)) for number in order]
    assert efforts == sorted(efforts, reverse=True)


@pytest.mark.parametrize(
    ("name", "old", "new", "message"),
    [
        (
            "recipe.json",
            r'("augment.rotate": )[\d.]+',
            r"\g<1>0.123",
            r"augment.rotate is 0.123, but \S+ for trial 0001 in ",
        ),
        ("recipe.json", r'("train.batch_size": )32', r"\g<1>16", r"train.batch_size is 16, but 32 for trial 0001 in "),
        (
            "../../optuna.journal",
            r'("values":\[0\.)\d',
            r"\g<1>1",
            r"state.json: score is 0.\d+, but 0.1\d* for trial 000",
        ),
        (
            "../../optuna.journal",
            r'("intermediate_value":0\.)\d',
            r"\g<1>1",
            r"fold_0.json: scores.tta_accuracy is 0.\d+, but 0.1\d* for trial 0000 in .*optuna.journal; restore",
        ),
        (
            "../../optuna.journal",
            r'("param_name":"augment.rotate","param_value_internal":0\.)\d',
            r"\g<1>1",
            "augment.rotate is ",
        ),
        (
            "../../optuna.journal",
            r'(\\"low\\": 0\.0, \\"high\\": )1\.0',
            r"\g<1>3.0",
            "optuna.journal: trial 0000: expected ",
        ),
        (
            "../../optuna.journal",
            r'"directions":\[2\]',
            '"directions":[1]',
            "optuna.journal: expected .*MAXIMIZE.* for its sc",
        ),
    ],
)
def test_a_journal_that_contradicts_the_folder_is_refused(
    world_in: Callable[..., World], name: str, old: str, new: str, message: str
) -> None:
    world = world_in(trials=2)
    world.run()
    path = without_checksums(world.study.trial_folder(1)) / name
    changed = re.sub(old, new, path.read_text(), count=1)
    assert changed != path.read_text()
    path.write_text(changed)
    with pytest.raises(UserError, match=message):
        world_in().driver()
