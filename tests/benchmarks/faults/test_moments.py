"""The moment of a kill, read from a study's log as the search itself writes it."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from helpers.worlds import World
from rich.console import Console

from benchmarks.faults.harness.case import Case
from benchmarks.faults.harness.events import Event, events_of
from benchmarks.faults.harness.moments import MOMENTS, moments_of
from leukemia.data.catalog import Catalog
from leukemia.study.layout import LOG
from search.trials.display import TerminalDisplay
from search.trials.study_log import study_log

CASE = Case(trials=5, folds=3, repeats=1, epochs=8, pausing=True)


@pytest.fixture
def world(tmp_path: Path, tiny_catalog: Catalog) -> World:
    """A study with pausing that has run with its log."""
    world = World(tmp_path / "study", tiny_catalog, trials=5, folds=3, epochs=8, repeats=1, pausing=True)
    console = Console(quiet=True)
    world.listeners.append(TerminalDisplay(console, num_trials=5, num_folds=3, objective="tta_accuracy"))
    with study_log(world.study.folder, console):
        world.run()
    return world


def test_the_log_has_an_event_for_all_that_happens(world: World) -> None:
    events = events_of(world.study.folder / LOG)
    epochs = [(event.job[:4], event.fold, event.epoch) for event in events if event.kind == "epoch"]
    table = [
        (f"{number:04d}", row["fold"], row["epoch"])
        for number in world.study.trials()
        for row in world.study.epochs(number).to_dict("records")
    ]
    assert Counter(epochs) == Counter(table)
    seen = [event for event in world.display.seen if event[0] in ("wait", "fold", "end")]
    names = {"waits": "wait", "fold": "fold", "ends": "end"}
    assert [(names[event.kind], event.job) for event in events if event.kind in names] == [each[:2] for each in seen]
    assert {event.job for event in events if event.is_repeat} >= {"0000 seed 1"}


def test_every_moment_is_found_with_one_trial_at_a_time(world: World) -> None:
    events = events_of(world.study.folder / LOG)
    moments = moments_of(events, CASE)
    assert set(moments) == {*MOMENTS} - {"folds side by side"}
    for event, moment in zip(events, moments, strict=True):
        if event.kind == "waits":
            assert moment == "at a rung"
        if event.kind == "goes on":
            assert moment == "going on after a wait"
        assert (moment == "in a repeat") == event.is_repeat
    last = max(index for index, event in enumerate(events) if event.kind == "ends" and not event.is_repeat)
    assert moments[last] == "as the last trial ends"
    assert moments[0] == "before the first epoch"


def test_folds_side_by_side_are_one_moment_until_one_is_left() -> None:
    def epoch(job: str, fold: int, number: int) -> Event:
        return Event(kind="epoch", job=job, fold=fold, epoch=number)

    events = [
        Event(kind="begins", job="0000"),
        epoch("0000", 0, 1),
        epoch("0000", 1, 1),
        epoch("0000", 0, 8),
        Event(kind="fold", job="0000", fold=0),
        epoch("0000", 1, 2),
        Event(kind="fold", job="0000", fold=1),
    ]
    beside, between = "folds side by side", "between two folds"
    expected = ["before the first epoch", "in an epoch", beside, beside, beside, "in an epoch", between]
    assert moments_of(events, CASE) == expected


def test_a_line_that_is_being_written_is_no_event(tmp_path: Path) -> None:
    log = tmp_path / LOG
    assert events_of(log) == []
    whole = "2026-11-29T13:00:00Z INFO trial 0003 fold 1/3 epoch 2/8: loss 0.5123\n"
    log.write_text(whole + "2026-11-29T13:00:01Z INFO trial 0003 fold 1/3 epoch 3/8: lo")
    assert events_of(log) == [Event(kind="epoch", job="0003", fold=0, epoch=2)]
    log.write_text("2026-11-29T13:00:00Z INFO trial 0003 is rescheduled: the disk is full\n")
    assert events_of(log) == []
