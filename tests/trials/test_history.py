"""A study folder replayed: the same verdicts, the same places of trials that wait, the same next tasks."""

from __future__ import annotations

import dataclasses
import datetime
import json
import os
import random
import shutil
from pathlib import Path
from typing import Any

import pytest
from helpers.places import Places
from helpers.studies import without_checksums
from helpers.worlds import World, everything

from leukemia.base.files import write_json
from leukemia.data.catalog import Catalog
from leukemia.study import clock, layout
from leukemia.study.folder import Study
from leukemia.study.job import Job
from leukemia.study.times import fold_ended, trial_ended

FATES = ("complete", "complete", "worse", "worse", "stopped", "failed", "crashed", "undefined")


def settings_of(rng: random.Random, **rules: Any) -> dict[str, Any]:
    """A small study with trials of all fates, the first of which is complete."""
    return {
        "trials": 7,
        "folds": 4,
        "epochs": 4,
        "racing": True,
        "repeats": 1,
        "fates": {number: rng.choice(FATES) for number in range(1, 7)},
        **rules,
    }


def assert_the_same(live: Places, replayed: Places) -> None:
    """A driver, and one of a new process that has replayed its folder and filled its places."""
    now, again = live.driver, replayed.driver
    assert again.race._looks == now.race._looks
    jobs = [Job(number, 0) for number in now.race.trials()]
    assert [again.progress.place(job) for job in jobs] == [now.progress.place(job) for job in jobs]
    assert again.race.leader() == now.race.leader()
    assert again.race.noise() == now.race.noise()
    assert again.progress.patience.trained == now.progress.patience.trained
    assert again.progress.out_of_patience() == now.progress.out_of_patience()
    # Of several jobs whose folds run side by side, the most expensive one takes the free places first.
    assert {task.job for task in replayed.running} == {task.job for task in live.running}
    assert len(replayed.running) == len(live.running)
    assert again.waiting() == now.waiting()


def between_two_reports(places: Places) -> bool:
    """Whether a task is where another process would not go on with it.

    It has delivered its fold, so the next one begins; or it has gone on from where its trial waited and trained nothing
    since, so it waits again.
    """
    driver = places.driver
    return any(
        task.fold in driver.folds_done(task.job) or driver.progress.place(task.job) is not None
        for task in places.running
    )


@pytest.mark.parametrize(
    ("seed", "num_places", "rule"),
    [(0, 1, "pausing"), (1, 2, "pausing"), (2, 3, "pausing"), (3, 6, "pausing"), (4, 2, "paused_before")],
)
def test_a_replayed_study_decides_as_before(
    tmp_path: Path, tiny_catalog: Catalog, seed: int, num_places: int, rule: str
) -> None:
    rng = random.Random(seed)
    settings = settings_of(rng, **{rule: True})
    live = Places(World(tmp_path / "live", tiny_catalog, **settings), num_places)
    num_cuts = 0
    while True:
        live.fill()
        if not live.running or (rng.random() < 0.15 and not between_two_reports(live)):
            folder = tmp_path / f"cut-{num_cuts}"
            shutil.copytree(live.world.study.folder, folder)
            replayed = Places(World(folder, tiny_catalog, **settings), num_places)
            replayed.fill()
            assert_the_same(live, replayed)
            num_cuts += 1
        if not live.running:
            break
        live.step_any(rng)
    assert num_cuts > 3
    assert len(live.driver.race._looks) > 10, "the race has looked"


def ended(study: Study) -> list[tuple[float, str]]:
    """When folds and trials ended, ascending, with their files."""
    found = []
    for number in study.trials():
        for seed in study.seeds(number):
            for fold in study.folds_done(number, seed):
                record = study.fold(number, seed, fold)
                found.append((fold_ended(study, number, record), f"{number:04d}/seed_{seed}/fold_{fold}"))
        if (time := trial_ended(study, number)) is not None:
            found.append((time, f"{number:04d}/state"))
    return sorted(found)


def test_ends_have_different_times_though_the_clock_is_set_back(
    tmp_path: Path, tiny_catalog: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings: dict[str, Any] = {"trials": 3, "folds": 3, "pausing": True}
    world = World(tmp_path / "study", tiny_catalog, **settings)
    places = Places(world, 2)
    while world.study.folds_done(0, 0) != [0, 1, 2]:
        places.fill()
        places.step()
    before = ended(world.study)
    monkeypatch.setattr(clock.time, "time", lambda: 1e9)
    again = World(tmp_path / "study", tiny_catalog, **settings)
    Places(again, 2).run()
    after = ended(again.study)
    assert len(before) < len(after)
    assert after[: len(before)] == before
    assert len({time for time, _ in after}) == len(after)


def test_an_older_study_is_replayed_in_the_order_of_its_files(tmp_path: Path, tiny_catalog: Catalog) -> None:
    """Older versions wrote no times; those of the files count."""
    settings = settings_of(random.Random(1), pausing=True)
    world = World(tmp_path / "study", tiny_catalog, **settings)
    live = Places(world, 2)
    live.run()
    times = {tmp_path / "study" / "trials" / f"{name}.json": time for time, name in ended(world.study)}
    without_checksums(world.study.folder / "trials")
    for path, time in times.items():
        content = json.loads(path.read_text())
        assert datetime.datetime.fromisoformat(content.pop("ended")).timestamp() == pytest.approx(time)
        write_json(path, content)
        os.utime(path, (time, time))
    again = World(tmp_path / "study", tiny_catalog, **settings)
    assert again.driver().race._looks == live.driver.race._looks


def test_a_trial_that_fold_0_has_ended_does_not_wait_after_a_crash(tmp_path: Path, tiny_catalog: Catalog) -> None:
    """The driver crashes between the fold's result and the end of the trial."""
    for fate, state in (("stopped", "stopped"), ("undefined", "failed")):
        settings: dict[str, Any] = {"trials": 2, "folds": 3, "pausing": True, "fates": {1: fate}}
        calm, killed = World(tmp_path / f"calm-{fate}", tiny_catalog, **settings), tmp_path / f"killed-{fate}"
        Places(calm, 1).run()
        places = Places(World(killed, tiny_catalog, **settings), 1)
        while places.world.study.trials() != [0, 1] or not places.world.study.folds_done(1, 0):
            places.fill()
            _receive_all(places)
        again = World(killed, tiny_catalog, **settings)
        Places(again, 1).run()
        assert [event for event in again.display.seen if event[0] == "wait"] == []
        end = again.study.end(1)
        assert end is not None
        assert end.state == state
        assert everything(again) == everything(calm)


def _receive_all(places: Places) -> None:
    """Handle all reports of the running task; it is not ended if its job is trial 1."""
    (task,) = places.running
    while (report := next(places.running[task], None)) is not None and places.driver.receive(task, report):
        pass
    if task.job.number != 1:
        del places.running[task]
        places.driver.end(task, process_failed=False)


def test_a_trial_proposed_in_advance_is_new_after_a_crash(tmp_path: Path, tiny_catalog: Catalog) -> None:
    """It comes after those that wait and are among the best, and does not start once the budget is used up."""
    settings: dict[str, Any] = {"trials": 4, "folds": 3, "pausing": True}
    world = World(tmp_path / "study", tiny_catalog, **settings)
    assignment = world.driver().begin(slots=4)
    assert assignment is not None
    assert (world.journal.num_trials(), world.study.trials()) == (4, [assignment.task.job.number])
    again = World(tmp_path / "study", tiny_catalog, budget_hours=0.0, **settings)
    resumed = Places(again, 4)
    resumed.fill()
    assert {number for number, _ in resumed.order} == {assignment.task.job.number}


def test_patience_counts_training_of_a_study_that_did_not_note_it(tmp_path: Path, tiny_catalog: Catalog) -> None:
    settings: dict[str, Any] = {"folds": 2, "epochs": 2, "racing": False}
    world = World(tmp_path / "study", tiny_catalog, trials=6, **settings)
    world.run()
    before = world.driver().progress
    for number in world.study.trials():
        end = world.study.end(number)
        assert end is not None
        assert end.trained == number + 1
        world.study.write(
            world.study.trial_folder(number) / layout.STATE, dataclasses.asdict(dataclasses.replace(end, trained=None))
        )
    after = World(tmp_path / "study", tiny_catalog, trials=9, pausing=True, **settings).driver().progress
    scores = {contender.number: contender.score for contender in before.race.contenders()}
    assert len(scores) == 6
    assert after.patience.since_improvement(scores, 0.0) == before.patience.since_improvement(scores, 0.0) < 6
