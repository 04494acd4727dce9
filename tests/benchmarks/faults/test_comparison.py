"""The comparison of a search with an undisturbed one: all results in order, or the folds that both have run."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from helpers.worlds import World

from benchmarks.faults.harness.comparison import compare, compare_shared
from leukemia.data.catalog import Catalog
from leukemia.study import layout
from leukemia.study.folder import Study

EXAMPLE = Path(__file__).parents[2] / "example_study"


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    return Path(shutil.copytree(EXAMPLE, tmp_path / "copy"))


def change_end(folder: Path, **changes: Any) -> None:
    """Overwrite how trial 0 ended."""
    study = Study.open(folder)
    path = study.trial_folder(0) / layout.STATE
    study.write(path, {**json.loads(path.read_text()), **changes})


def test_a_study_equals_its_copy(copy: Path) -> None:
    assert list(compare(EXAMPLE, copy, in_order=True)) == []
    num_folds, problems = compare_shared(EXAMPLE, copy)
    assert (num_folds, problems) == (len(list(copy.glob("trials/*/seed_*/fold_*.json"))), [])
    assert num_folds > 0


def test_what_differs_is_named(copy: Path) -> None:
    change_end(copy, score=0.5)
    (copy / "trials" / "0001" / layout.seed(0) / layout.fold(1)).unlink()
    fold = f"trials/0001/{layout.seed(0)}/fold_1"
    missing = [f"only one of the searches has {name}" for name in (f"epochs of {fold}", f"{fold}.csv", f"{fold}.json")]
    assert sorted(compare(EXAMPLE, copy)) == [*missing, "trial 0 differs"]


def test_the_order_of_the_trials_counts_only_where_it_does_not_depend_on_speed(copy: Path) -> None:
    change_end(copy, trained=2.5)
    assert list(compare(EXAMPLE, copy)) == []
    assert list(compare(EXAMPLE, copy, in_order=True)) == ["training before the end of trial 0 differs"]


@pytest.fixture
def world_in(tmp_path: Path, tiny_catalog: Catalog) -> Callable[..., World]:
    def create(name: str, **settings: Any) -> World:
        world = World(tmp_path / name, tiny_catalog, **settings)
        world.run()
        return world

    return create


def test_folds_of_recipes_that_both_have_tried_are_compared(world_in: Callable[..., World]) -> None:
    one, more = world_in("one", trials=2), world_in("more", trials=4)
    other = world_in("other", trials=3, fates={1: "worse"})
    assert compare_shared(one.study.folder, more.study.folder) == (4, [])
    num_folds, problems = compare_shared(one.study.folder, other.study.folder)
    assert num_folds == 4
    assert problems == [f"fold {fold} of trial 1, seed 0, differs from that of the same recipe" for fold in (0, 1)]
