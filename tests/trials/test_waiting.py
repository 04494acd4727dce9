"""What people see of trials that wait: the study's files, its report and its outcome, Optuna, the final training."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from helpers.studies import change_info
from helpers.worlds import World, frozen
from rich.console import Console

from leukemia.base.errors import UserError
from leukemia.data.catalog import Catalog
from leukemia.delivery.messages import unfinished
from leukemia.report import main
from leukemia.study.best import Best
from leukemia.study.folder import Study
from leukemia.study.ladder import END, LadderRecord, Place, waiting_trials
from leukemia.study.ledger import ledger_of
from leukemia.study.listener import Listener
from leukemia.study.outlook import Outlook
from leukemia.study.table import trial_table
from leukemia.study.verification import verify
from search.trials.driver import Driver
from search.trials.outcome import print_outcome, write_best, write_hindsight

FOLDS, EPOCHS, EPOCH_SECONDS = 3, 8, 36.0
"""Rungs after two and four epochs; trial 0 takes 0.24 hours."""

BUDGET = 1.0


class Watcher(Listener):
    """The last events."""

    def __init__(self) -> None:
        self.seen: list[dict[int, Place]] = []
        self.outlooks: list[Outlook] = []

    def places(self, places: Any) -> None:
        self.seen.append(dict(places))

    def outlook(self, outlook: Outlook) -> None:
        self.outlooks.append(outlook)


@pytest.fixture
def world_in(tmp_path: Path, tiny_catalog: Catalog) -> Callable[..., World]:
    def create(**settings: Any) -> World:
        defaults: dict[str, Any] = {"trials": 8, "folds": FOLDS, "epochs": EPOCHS, "pausing": True}
        world = World(tmp_path / "study", tiny_catalog, **{**defaults, **settings})
        world.listeners.append(Watcher())
        return world

    return create


def conclude(world: World, driver: Driver) -> Study:
    """Write the outcome as a search does; returns the study with its limits, as another process opens it."""
    study = change_info(world.study, trials=8, budget_hours=BUDGET)
    write_best(study, world.catalog, world.splits, driver.progress)
    write_hindsight(study, world.space, world.journal, driver.best, driver.progress)
    return study


def attributes(world: World) -> dict[int, Any]:
    return {trial.number: trial.user_attrs.get("ladder") for trial in frozen(world)}


def test_a_search_that_ends_by_its_budget_says_everywhere_which_trials_wait(
    world_in: Callable[..., World], capsys: pytest.CaptureFixture[str]
) -> None:
    world = world_in(budget_hours=BUDGET)
    driver = world.run()
    study = conclude(world, driver)
    ladder = driver.progress.ladder
    places = {number: ladder.place(number) for number in ladder.waiting(())}
    assert waiting_trials(study) == dict(sorted(places.items()))
    assert len({place.share for place in places.values() if place}) > 1, "on several rungs"
    assert world.listeners[-1].seen[-1] == places  # type: ignore[attr-defined]
    verify(study)

    states = [trial.state.name for trial in frozen(world)]
    assert states.count("RUNNING") == len(places), "no lie in the journal"
    notes = attributes(world)
    assert {number: notes[number] for number in places} == {n: place.describe() for n, place in places.items() if place}
    gone = [notes[number] for number, state in enumerate(states) if state == "COMPLETE" and number > 0]
    assert gone == ["went on from the end of fold 1"] * len(gone)
    assert notes[0] is None, "it never waits"

    table = trial_table(study).set_index("trial")
    for number, place in places.items():
        assert place is not None
        row = table.loc[f"{number:04d}"]
        assert (row["state"], row["reason"]) == ("waiting", place.describe())
    assert set(table["state"]) == {"complete", "waiting"}, "none counts as stopped, failed or running"

    print_outcome(Console(width=1000), study, has_winner=True)
    output = capsys.readouterr().out
    place = places[min(places)]
    assert place is not None
    assert f"{min(places):04d} {place.describe()}\n" in output
    assert f"{len(places)} trials wait after " in output, "what it saved"
    where = f"--study {study.name} --runs {study.folder.parent}"
    limits = "--budget-hours or --patience"
    assert (
        f"{len(places)} trials wait and may be better; resume to go on, with a larger {limits} if that has ended the "
        f"search: python -m search.run --resume {where}\n" in output
    )
    assert unfinished(study, Best.of(study))[0] == (
        f"The search is not finished: {states.count('COMPLETE')} of 8 trials have ended, {len(places)} wait; a later "
        "trial may be better."
    )
    assert main([study.name, "--runs", str(study.folder.parent)]) == 0
    page = (study.folder / "report.html").read_text()
    assert f"{states.count('COMPLETE')} complete, 0 stopped, 0 failed, {len(places)} waiting, 0 running. " in page
    assert f">{place.describe()}</td>" in page
    assert (study.folder / "ladder.png").stat().st_size > 0


def test_the_device_time_of_trials_that_wait_has_its_kind_and_its_estimate(world_in: Callable[..., World]) -> None:
    world = world_in(budget_hours=BUDGET)
    study = conclude(world, world.run())
    ledger, waiting = ledger_of(study), waiting_trials(study)
    epochs = {number: len(study.epochs(number)) for number in study.trials()}
    for trial in ledger.trials:
        spent = {kind: seconds for kind, seconds in trial.seconds.items() if seconds}
        if trial.number not in waiting:
            assert (set(spent), trial.seconds_postponed) == ({"useful"}, 0.0)
            continue
        assert trial.state == "waiting"
        # The end of a fold takes as long as its record says.
        assert set(spent) == {"waiting"}
        assert spent["waiting"] >= EPOCH_SECONDS * epochs[trial.number]
        assert trial.seconds_postponed == pytest.approx(EPOCH_SECONDS * (FOLDS * EPOCHS - epochs[trial.number]))
    content = json.loads((study.folder / "ledger.json").read_text())
    assert content["postponed"] == {"trials": len(waiting), "seconds": ledger.seconds_postponed}
    lines = json.loads((study.folder / "hindsight.json").read_text())["lines"]
    assert any("all their folds would take about" in line and "estimated" in line for line in lines)
    assert "waiting" in ledger.describe()


def test_the_rungs_count_who_came_and_who_went_on(world_in: Callable[..., World]) -> None:
    world = world_in(trials=5, fates={2: "stopped"})
    ladder = world.run().progress.ladder
    record = LadderRecord.find(world.study)
    assert (record, record.waiting) == (ladder.record(()), {})
    # Eight epochs have no rung at 5 %. Trial 2 is no better than chance at the end of fold 0.
    counted = [(rung.share, rung.reached, rung.went_on) for rung in record.rungs]
    assert counted == [(0.15, 5, 5), (0.45, 5, 5), (END, 5, 4)]


def test_a_search_that_goes_on_shows_nobody_waiting_at_its_end(world_in: Callable[..., World]) -> None:
    world = world_in(trials=6, budget_hours=BUDGET)
    world.run()
    waited = waiting_trials(world.study)
    assert waited
    again = world_in(trials=6)
    driver = again.driver()
    watcher = again.listeners[-1]
    assert isinstance(watcher, Watcher)
    assert watcher.seen[-1] == waited, "shown again"
    while (assignment := driver.begin()) is not None:
        again.train(driver, assignment)
    assert waiting_trials(again.study) == watcher.seen[-1] == {}
    assert {attributes(again)[number] for number in waited} == {"went on from the end of fold 1"}
    assert set(trial_table(again.study)["state"]) == {"complete"}


def test_without_pausing_nobody_waits_any_more_after_a_resume(world_in: Callable[..., World]) -> None:
    world = world_in(trials=6, budget_hours=BUDGET)
    world.run()
    waited = waiting_trials(world.study)
    again = world_in(trials=6, pausing=False)
    again.run()
    assert LadderRecord.find(again.study) == LadderRecord()
    assert {attributes(again)[number] for number in waited} == {place.describe_past() for place in waited.values()}, (
        "no trial is left with a place"
    )


def test_a_study_without_pausing_has_no_ladder(world_in: Callable[..., World]) -> None:
    world = world_in(trials=2, pausing=False)
    world.run()
    assert not (world.study.folder / "ladder.json").exists()
    assert (LadderRecord.find(world.study), attributes(world)) == (LadderRecord(), {0: None, 1: None})


def test_a_changed_ladder_is_refused(world_in: Callable[..., World]) -> None:
    world = world_in(trials=3, budget_hours=0.3)
    world.run()
    path = world.study.folder / "ladder.json"
    content = json.loads(path.read_text())
    content["rungs"][0]["reached"] += 1
    path.write_text(json.dumps(content))
    with pytest.raises(UserError, match=r"ladder.json: the file was changed after it was written"):
        verify(world.study)


def test_the_outlook_counts_what_is_left_by_each_limit(world_in: Callable[..., World]) -> None:
    world = world_in(trials=4, budget_hours=2.0, patience=9)
    driver = world.driver()
    watcher = world.listeners[-1]
    assert isinstance(watcher, Watcher)
    assignment = driver.begin()
    assert assignment is not None
    world.train(driver, assignment)
    outlook = watcher.outlooks[-1]
    assert outlook.seconds == EPOCHS * EPOCH_SECONDS
    assert outlook.trained == pytest.approx(1 / FOLDS)
    assert outlook.budget == pytest.approx(2 * 3600 - outlook.seconds)
    assert (outlook.patience, outlook.trials) == pytest.approx((3 - 1 / FOLDS, 4 - 1 / FOLDS))
    while (assignment := driver.begin()) is not None:
        world.train(driver, assignment)
    last = watcher.outlooks[-1]
    assert last.seconds == pytest.approx(4 * FOLDS * EPOCHS * EPOCH_SECONDS)
    assert last.trials == pytest.approx(0.0, abs=1e-9)
    again = world_in(trials=5, budget_hours=math.inf, patience=9)
    driver = again.driver()
    assignment = driver.begin()
    assert assignment is not None
    again.train(driver, assignment)
    resumed = again.listeners[-1].outlooks[-1]  # type: ignore[attr-defined]
    assert resumed.seconds == 2 * EPOCH_SECONDS, "since the resume"
    assert (resumed.budget, resumed.trials) == (math.inf, pytest.approx(1 - 2 / (FOLDS * EPOCHS)))


def test_without_pausing_patience_is_left_in_trials_as_long_as_those_before(world_in: Callable[..., World]) -> None:
    world = world_in(trials=6, patience=4, pausing=False, fates={1: "stopped"})
    world.run()
    watcher = world.listeners[-1]
    assert isinstance(watcher, Watcher)
    shares = [1.0, 1 / FOLDS]
    # After the first fold of trial 2: trial 0 improved, trial 1 was stopped after one fold.
    outlook = watcher.outlooks[FOLDS + 1]
    assert outlook.patience == pytest.approx((4 - 1) * sum(shares) / 2)
    assert outlook.trials == pytest.approx((6 - 2) * sum(shares) / 2 - 1 / FOLDS)
