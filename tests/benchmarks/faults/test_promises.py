"""What a killed search must keep: all trials, what was trained, the decisions; and no checkpoint afterwards."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path

import pytest
from helpers.worlds import World, epoch_of

from benchmarks.faults.harness import case as cases
from benchmarks.faults.harness.case import Case
from benchmarks.faults.harness.promises import decided_otherwise, left_over, lost, trained_again
from leukemia.data.catalog import Catalog
from leukemia.study import layout
from search.launch.local_checkpoints import checkpoints_of

CASE = Case(trials=4, folds=3, repeats=0, epochs=8, pausing=True)
"""With rungs after epochs 2 and 4."""


def run(folder: Path, catalog: Catalog, trials: int, fates: dict[int, str]) -> World:
    """A finished study with pausing."""
    world = World(folder, catalog, trials=trials, folds=3, epochs=8, racing=True, pausing=True, fates=fates)
    world.run()
    return world


@pytest.fixture
def world(tmp_path: Path, tiny_catalog: Catalog) -> World:
    return run(tmp_path / "study", tiny_catalog, CASE.trials, {})


@pytest.fixture
def raced(tmp_path: Path, tiny_catalog: Catalog) -> World:
    """A study of which the race has stopped trial 1."""
    return run(tmp_path / "raced", tiny_catalog, 2, {1: "worse"})


def train_again(world: World, number: int, fold: int, *epochs: int) -> None:
    """Record that epochs were trained twice."""
    for epoch in epochs:
        again = dataclasses.replace(epoch_of(fold, epoch, seed=world.study.recipe(number).train.seed), seconds=37.0)
        assert not world.study.write_epoch(number, again)


def test_an_undisturbed_search_keeps_all_promises(world: World, raced: World) -> None:
    assert list(lost(world.study, CASE)) == []
    assert list(trained_again(world.study, CASE)) == []
    assert list(left_over(world.study)) == []
    assert list(decided_otherwise(raced.study, raced.catalog, raced.rules)) == []
    ends = [raced.study.end(number) for number in (0, 1)]
    assert [end.state for end in ends if end] == ["complete", "stopped"]


def test_a_trial_that_is_gone_or_has_not_ended_is_lost(world: World) -> None:
    shutil.rmtree(world.study.trial_folder(2))
    (world.study.trial_folder(3) / layout.STATE).unlink()
    assert list(lost(world.study, CASE)) == ["trials [0, 1, 3] instead of 4", "trial 3 has not ended"]


@pytest.mark.parametrize(
    ("number", "fold", "epochs", "is_kept"),
    [
        (2, 0, [5, 6, 7], True),
        (2, 0, [3, 4], True),
        (2, 0, [4, 5], False),
        (2, 1, [1, 2, 3, 4, 5], True),
        (0, 0, [2, 3], True),
    ],
    ids=["since a rung", "up to a rung", "across a rung", "where no trial waits", "of trial 0, which never waits"],
)
def test_epochs_since_the_last_checkpoint_may_be_trained_again(
    world: World, number: int, fold: int, epochs: list[int], is_kept: bool
) -> None:
    train_again(world, number, fold, *epochs)
    found = list(trained_again(world.study, CASE))
    problem = f"epochs {', '.join(map(str, epochs))} of fold {fold} of trial {number}, seed 0, were trained again"
    assert found == ([] if is_kept else [problem])


def test_only_folds_that_were_being_trained_may_be_in_part_trained_again(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cases, "available_cpus", lambda: 4)
    train_again(world, 2, 0, 6)
    train_again(world, 2, 1, 6)
    assert list(trained_again(world.study, CASE)) == ["2 folds were trained in part again, with 1 at a time"]
    two = dataclasses.replace(CASE, places=2)
    assert list(trained_again(world.study, two)) == []
    # With several places each epoch has a checkpoint.
    train_again(world, 2, 1, 7)
    assert list(trained_again(world.study, two)) == ["epochs 6, 7 of fold 1 of trial 2, seed 0, were trained again"]


def test_checkpoints_that_are_left_are_named(world: World) -> None:
    folder = checkpoints_of(world.study.info)
    folder.mkdir(parents=True)
    try:
        assert list(left_over(world.study)) == [f"checkpoints are left in {folder}"]
    finally:
        folder.rmdir()


def test_decisions_that_a_replay_does_not_give_again_are_named(raced: World) -> None:
    path = raced.study.trial_folder(1) / layout.STATE
    end = json.loads(path.read_text())
    raced.study.write(path, {**end, "reason": "cannot win: 99.0 points below the best after 2 of 3 folds"})
    problems = list(decided_otherwise(raced.study, raced.catalog, raced.rules))
    assert len(problems) == 1
    assert "trial 1 is stopped (cannot win: 99.0 points below the best after 2 of 3 folds); " in problems[0]
    assert problems[0].endswith("replayed: " + end["reason"].removesuffix(", after 2 of 3 folds"))
