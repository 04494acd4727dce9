"""The replayed search trains the same parts of the same folds in the same order as the driver of a real study."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from helpers import worlds

from benchmarks.racing.laddering.pairs import ByVariance
from benchmarks.racing.laddering.search import RESTART_EPOCHS, ProjectSearch
from benchmarks.racing.laddering.world import Hopeless, World
from benchmarks.racing.replaying.clock import Work, simulate
from leukemia.config.results import Epoch
from leukemia.data.catalog import Catalog
from leukemia.study.schema import State
from search.trials.assignment import Assignment

EPOCHS, FOLDS, TRIALS = 8, 3, 10
RUNGS = (2, 4)


class DriverSearch:
    """The driver of a study, with a clock."""

    def __init__(self, study: worlds.World, num_workers: int) -> None:
        self._study, self._driver, self._num_workers = study, study.driver(), num_workers
        self._running: dict[tuple[int, int], tuple[Assignment, int, int]] = {}
        self._going: list[Assignment] = []
        self._trained: dict[int, int] = {}
        self.order: list[tuple[int, int, int]] = []
        """Number, fold and last epoch of each part of a fold, in the order in which they began."""

    @property
    def choice(self) -> int | None:
        leader = self._driver.race.leader()
        return None if leader is None else leader.number

    def next(self) -> Work | None:
        goes_on = bool(self._going)
        assignment = self._going.pop() if goes_on else self._driver.begin(self._num_workers)
        if assignment is None:
            return None
        number, fold = assignment.task.job.number, assignment.task.fold
        start = self._trained.get(number, 0) if fold == 0 else 0
        stop = min((epoch for epoch in RUNGS if epoch > start), default=EPOCHS) if fold == 0 else EPOCHS
        self._running[number, fold] = assignment, start, stop
        self.order.append((number, fold, stop))
        return Work(number, 0, fold, stop - start + (RESTART_EPOCHS if start and not goes_on else 0.0))

    def finish(self, work: Work) -> None:
        assignment, start, stop = self._running.pop((work.trial, work.step))
        for report in self._study.reports(assignment):
            last = report.epoch if isinstance(report, Epoch) else EPOCHS
            if start < last <= stop and not self._driver.receive(assignment.task, report):
                break
        else:
            if stop < EPOCHS:
                self._going.append(assignment)
        if work.step == 0:
            self._trained[work.trial] = stop
        if assignment not in self._going:
            self._driver.end(assignment.task, process_failed=False)


class InOrder:
    """Proposes all recipes in order."""

    def __init__(self, num_recipes: int) -> None:
        self._recipes = iter(range(num_recipes))

    def propose(self) -> int | None:
        return next(self._recipes, None)

    def tell(self, recipe: int, state: State, values: object) -> None:
        pass


def world_of(study: worlds.World) -> World:
    """The same trainings as a world."""
    recipes = tuple(study.study.recipe(number) for number in range(TRIALS))
    accuracy = np.array(
        [
            [
                [worlds.generator_of(recipe, fold, 1 + epoch).random() for epoch in range(EPOCHS)]
                for fold in range(FOLDS)
            ]
            for recipe in recipes
        ]
    )
    scores = np.array(
        [
            [
                worlds.fold_of(recipe, fold, study.rows[fold][1], study.catalog, "complete").scores["tta_accuracy"]
                for fold in range(FOLDS)
            ]
            for recipe in recipes
        ]
    )
    return World(
        recipes=recipes,
        accuracy=accuracy,
        losses=np.full((TRIALS, EPOCHS), 0.7),
        scores=scores,
        seconds=np.ones(accuracy.shape),
        pairs=ByVariance(scores, 1e-4, 10),
        alone=Hopeless([False] * TRIALS),
    )


class Noted(ProjectSearch):
    """Notes the order, as ``DriverSearch`` does."""

    order: list[tuple[int, int, int]]

    def next(self) -> Work | None:
        work = super().next()
        if work is not None:
            *_, stop = self._running.values()
            self.order.append((work.trial, work.step, stop))
        return work


@pytest.mark.parametrize("num_workers", [1, 3])
def test_it_works_in_the_order_of_the_driver(num_workers: int, tmp_path: Path, tiny_catalog: Catalog) -> None:
    study = worlds.World(
        tmp_path / "study", tiny_catalog, trials=TRIALS, folds=FOLDS, epochs=EPOCHS, pausing=True, fates={}
    )
    real = DriverSearch(study, num_workers)
    expected = simulate(real, num_workers)
    search = Noted(world_of(study), InOrder(TRIALS), study.rules, num_workers)
    search.order = []
    found = simulate(search, num_workers)
    assert search.order == real.order
    assert found == expected
    assert {stop for _, _, stop in real.order} == {*RUNGS, EPOCHS}
