"""Worlds are what their documentation says: pairs, generated, public, recorded and resampled ones."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from helpers.long_records import NUM_FOLDS, NUM_RECIPES, write_long_record
from helpers.replay_tables import make_table, write_record
from scipy.stats import spearmanr

from benchmarks.racing.laddering import public
from benchmarks.racing.laddering.generated import SAMPLING, Generated
from benchmarks.racing.laddering.long import Long
from benchmarks.racing.laddering.long_record import read_long, unfinished
from benchmarks.racing.laddering.pairs import ByImage, ByVariance
from benchmarks.racing.laddering.public import Public
from benchmarks.racing.laddering.recorded import Recorded, world_of
from benchmarks.racing.laddering.world import World, scheduled_recipe
from benchmarks.racing.replaying.replays import FIRST_TUNING_SEED
from benchmarks.racing.replaying.table import Table
from leukemia.scoring.jackknife import paired_jackknife
from search.policy.rate_schedule import RateSchedule


def test_pairs_by_image_are_those_of_the_search(recorded: Table) -> None:
    pairs = ByImage(recorded.right[0], recorded.fold_rows)
    for a, b, folds in ((3, 4, [0]), (7, 0, [0, 2, 4]), (5, 6, [0, 1, 2, 3, 4])):
        rows = np.isin(recorded.folds, folds)
        sides = [recorded.probabilities[:1, recipe, rows].astype(float) for recipe in (a, b)]
        expected = paired_jackknife(recorded.labels[rows], *sides, recorded.groups[rows], "accuracy")
        found = pairs.difference(a, b, folds)
        assert (found.value, found.variance) == pytest.approx((expected.value, expected.variance))
        assert found.num_groups == expected.num_groups


def test_pairs_by_variance_average_over_folds() -> None:
    found = ByVariance(np.array([[0.9, 0.8], [0.7, 0.5]]), 0.01, 15).difference(0, 1, [0, 1])
    assert (found.value, found.variance, found.num_groups) == (pytest.approx(0.25), 0.005, 30)


def check(world: World, num_recipes: int) -> None:
    """What every world has."""
    assert len(world.recipes) == len(world.visible) == num_recipes
    assert world.accuracy.shape == world.seconds.shape == (num_recipes, world.num_folds, world.num_epochs)
    assert ((world.accuracy > -0.1) & (world.accuracy < 1.1)).all()
    assert world.best in world.in_sight
    assert world.seconds_of(1, 0, 0, world.num_epochs) == pytest.approx(world.seconds[1, 0].sum())
    parts = world.seconds_of(1, 1, 0, 2) + world.seconds_of(1, 1, 2, world.num_epochs)
    assert parts == pytest.approx(world.seconds[1, 1].sum())
    assert world.epoch(1, 0, 2).validation_accuracy == world.accuracy[1, 0, 1]


@pytest.mark.parametrize("rho", [0.9, 0.3, -0.3])
def test_early_epochs_of_a_generated_world_agree_with_the_end_as_asked(rho: float) -> None:
    origin = Generated(num_recipes=200, rho=rho, num_epochs=40, workers=(8,))
    early = []
    for seed in range(12):
        world = origin.world(seed)
        sound = np.array([world.alone.verdict(recipe, (0,)).continues for recipe in range(200)])
        schedules = [RateSchedule.of(recipe) for recipe in world.recipes]
        values, ends = world.accuracy[:, :, 3].mean(axis=1), world.visible
        for schedule in set(schedules):
            rows = sound & np.array([each == schedule for each in schedules])
            early.append(spearmanr(values[rows], ends[rows]).statistic)
    check(world, 200)
    assert len(set(schedules)) == 3
    np.testing.assert_array_equal(world.accuracy[..., -1], world.scores)
    # The ranks agree as asked before noise, which is of the size of a third of the deficits' spread.
    assert abs(np.mean(early) - rho) < 0.2
    np.testing.assert_array_equal(origin.world(3).accuracy, origin.world(3).accuracy)


def test_two_scores_of_equal_recipes_differ_as_the_judge_is_told() -> None:
    world = Generated(num_recipes=2, rho=0.5, num_epochs=4, workers=(8,)).world(0)
    assert world.pairs.difference(0, 1, [0]).variance == pytest.approx(2 * SAMPLING**2)
    assert world.noise == 0.01


def write_task(folder: Path, name: str) -> None:
    generator = np.random.default_rng(len(name))
    loss = np.linspace(1.0, 0.3, 51) * generator.uniform(0.8, 1.2, size=(40, 1))
    loss[5, 20:], loss[6] = np.nan, np.inf
    parameters = np.stack([np.geomspace(1e-5, 1e-1, 40), np.linspace(0.5, 0.9, 40)], axis=1)
    np.savez(folder / f"{name}.npz", hp=parameters, valid=loss.astype(np.float32))


def test_a_public_world_has_the_curves_of_its_task(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(public, "FOLDER", tmp_path)
    origin = Public(label="A", task="task-a", tuning_tasks=("task-bb",), workers=(8,), num_recipes=30)
    assert origin.missing() == f"{tmp_path}/task-a.npz does not exist; set LEUKEMIA_DATA to the folder of curves/"
    for name in ("task-a", "task-bb"):
        write_task(tmp_path, name)
    assert origin.missing() is None
    world = origin.world(0)
    check(world, 30)
    assert world.num_epochs == 50
    assert world.parameters is not None
    numbers = world.parameters[0].numbers
    assert numbers.min() == 0
    assert numbers.max() == 1
    assert not np.array_equal(world.visible, origin.world(FIRST_TUNING_SEED).visible)


def test_a_recorded_world_is_the_table(tmp_path: Path) -> None:
    table = make_table([0.6, 0.9, 0.8, 0.85, 0.7, 0.75])
    folder = write_record(tmp_path / "record", table)
    origin = Recorded(folder=folder, workers=(8,))
    assert origin.missing() is None
    for seed in (0, 1):
        world = origin.world(seed)
        check(world, 6)
        np.testing.assert_allclose(world.scores, table.scores[seed])
    other = replace(origin, num_recipes=12)
    check(other.world(5), 12)
    assert not np.array_equal(other.world(5).scores, other.world(6).scores)
    # Settings of other methods are tuned on other tables.
    assert not np.array_equal(origin.world(FIRST_TUNING_SEED).scores, origin.world(0).scores)
    assert "no recorded table" in str(replace(origin, folder=tmp_path).missing())


def test_a_long_record_is_read_with_lent_folds(tmp_path: Path) -> None:
    record = read_long(write_long_record(tmp_path / "long"))
    assert record.scores.shape == (NUM_RECIPES, NUM_FOLDS)
    assert record.accuracy.shape == (NUM_RECIPES, NUM_FOLDS, 4)
    # Recipes 0 to 5 have scores that rise with their number; the best two and one other have all folds.
    assert record.scores[:, 0].argmax() == NUM_RECIPES - 1
    lent = [np.array_equal(record.scores[0, 1:], row[1:]) for row in record.scores[1:]]
    assert sum(lent) == 3
    np.testing.assert_allclose(record.right[:, record.fold_rows[0]].mean(axis=1), record.scores[:, 0])
    assert record.repeated[0].shape == (1, NUM_FOLDS, 4)
    assert not record.hopeless[-1]
    origin = Long(folder=tmp_path / "long", workers=(8,))
    check(origin.world(0), NUM_RECIPES)
    np.testing.assert_array_equal(origin.world(0).scores, origin.world(1).scores)
    more = replace(origin, num_recipes=20)
    check(more.world(0), 20)
    assert not np.array_equal(more.world(0).scores, more.world(1).scores)


def test_an_unfinished_long_record_is_skipped_by_name(tmp_path: Path) -> None:
    assert unfinished(tmp_path) == f"{tmp_path} contains no record of learning curves"
    folder = write_long_record(tmp_path / "long", without=2)
    assert unfinished(folder) == f"{folder} is unfinished: {6 + 3 * 3 + 4 - 2} of {6 + 3 * 3 + 4} folds"


def test_a_recipe_with_a_schedule_has_that_schedule() -> None:
    assert RateSchedule.of(scheduled_recipe(30, "ranger21", None, None)) == RateSchedule("ranger21", (1.0,))
    assert RateSchedule.of(scheduled_recipe(30, "adamw", None, None)) == RateSchedule("adamw", (1.0,))
    assert RateSchedule.of(scheduled_recipe(8, "adamw", 2, 2)) == RateSchedule("adamw", (0.25, 0.75, 1.75))


def test_worlds_of_tables_take_schedules_from_their_recipes(recorded: Table) -> None:
    names = [recipe.optimizer.name for recipe in world_of(recorded).recipes]
    assert names == [recipe["optimizer.name"] for recipe in recorded.recipes]
