"""The driver, with a loop in the place of Ray: study folder, journal and tracker agree, whatever happens and when."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import FrozenTrial, TrialState

from leukemia.catalog import Catalog
from leukemia.config import Recipe
from leukemia.crossval import FoldResult
from leukemia.folds import Splits, make_splits
from leukemia.metrics import point_scores
from leukemia.study import Study
from leukemia.train import Epoch
from search.driver import Driver, Limits
from search.judge import Contender
from search.searcher import STATES, Journal
from search.space import make_space

NUM_FOLDS = 2
EPOCHS = 2
SETTINGS: dict[str, Any] = {"train.epochs": EPOCHS, "data.size_px": 32}
SPACE = make_space(Recipe().with_settings(SETTINGS).resolved(32), SETTINGS)

Report = Epoch | FoldResult | str


class Killed(BaseException):
    """Stands for SIGKILL: nothing catches it."""


class RecordingTracker:
    """What W&B would hold: a run per trial, written again from the study folder when it is begun again."""

    def __init__(self, study: Study) -> None:
        self.study = study
        self.runs: dict[int, dict[str, Any]] = {}

    def begin(self, number: int, recipe: Recipe) -> None:
        epochs = self.study.epochs(number)
        seed = recipe.train.seed
        self.runs[number] = {
            "epochs": list(zip(epochs["fold"], epochs["epoch"], epochs["train_loss"], strict=True)),
            "folds": [self.study.fold(number, seed, fold) for fold in self.study.folds_done(number, seed)],
            "end": None,
        }

    def epoch(self, number: int, epoch: Epoch) -> None:
        self.runs[number]["epochs"].append((epoch.fold, epoch.epoch, epoch.train_loss))

    def fold(self, number: int, fold: dict[str, Any]) -> None:
        self.runs[number]["folds"].append(fold)

    def end(self, number: int, state: str, reason: str, score: float | None) -> None:
        self.runs[number]["end"] = (state, reason, score)


class RecordingDisplay:
    """What a person was shown, in order."""

    def __init__(self) -> None:
        self.seen: list[tuple[Any, ...]] = []

    def recall(self, number: int, recipe: Recipe, state: str, scores: list[float]) -> None:
        self.seen.append(("recall", number, state, scores))

    def begin(self, number: int, recipe: Recipe, scores: list[float]) -> None:
        self.seen.append(("begin", number, scores))

    def epoch(self, number: int, epoch: Epoch) -> None:
        self.seen.append(("epoch", number, epoch.fold, epoch.epoch))

    def fold(self, number: int, fold: int, score: float) -> None:
        self.seen.append(("fold", number, fold, score))

    def end(self, number: int, state: str, reason: str, score: float | None) -> None:
        self.seen.append(("end", number, state))


class World:
    """One study with its driver and everyone it talks to; opened again it is a new process over the same folder."""

    def __init__(
        self,
        folder: Path,
        catalog: Catalog,
        *,
        trials: int = 3,
        fates: dict[int, str] | None = None,
        objective: str = "tta_accuracy",
        budget_hours: float = math.inf,
    ) -> None:
        self.catalog, self.fates = catalog, fates or {}
        self.splits: Splits = make_splits(catalog, NUM_FOLDS, 0, "grouped")
        if not folder.exists():
            info = {
                "created": "2026-01-01T00:00:00Z",
                "study_uid": "abcd1234",
                "command": "python -m search.run",
                "folds": NUM_FOLDS,
                "seed": 0,
                "objective": objective,
                "protocol": "grouped",
                "data": {},
                "versions": {},
                "commit": "unknown",
            }
            Study.create(folder, info)
        self.study = Study(folder)
        self.tracker, self.display = RecordingTracker(self.study), RecordingDisplay()
        self.bests: list[Contender] = []
        self.journal = Journal(folder / "optuna.journal", SPACE, seed=0, name="study")
        self.limits = Limits(num_trials=trials, budget_hours=budget_hours)
        self.objective = objective

    def driver(self) -> Driver:
        return Driver(
            self.study,
            self.journal,
            self.catalog,
            limits=self.limits,
            objective=self.objective,
            tracker=self.tracker,
            display=self.display,
            on_best=self.bests.append,
        )

    def run(self) -> None:
        """Play the workers: one trial after the other, to the end."""
        driver = self.driver()
        while (assignment := driver.begin()) is not None:
            self.work(driver, assignment)

    def work(self, driver: Driver, assignment: dict[str, Any]) -> None:
        number = assignment["number"]
        crashed = self.fates.get(number) == "crashed"
        for report in self.reports(assignment):
            if not driver.hear(number, report):
                break
        driver.end(number, crashed)

    def reports(self, assignment: dict[str, Any]) -> Iterator[Report]:
        """What a worker reports: the same for a recipe whenever and wherever it is run."""
        fate = self.fates.get(assignment["number"], "complete")
        recipe = Recipe.from_flat(assignment["recipe"])
        for fold, (_, validation) in enumerate(self.splits.rows(self.catalog)):
            if fold in assignment["skip"]:
                continue
            if fate in ("crashed", "failed") and fold == 1:
                yield from () if fate == "crashed" else ("NonFiniteLoss: at fold 1",)
                return
            for epoch in range(1, EPOCHS + 1):
                yield epoch_of(fold, epoch)
            yield fold_of(recipe, fold, validation, self.catalog, "hopeless" if fate == "stopped" else fate)


def epoch_of(fold: int, epoch: int) -> Epoch:
    return Epoch(
        seed=0,
        fold=fold,
        epoch=epoch,
        train_loss=1 / (fold + epoch + 2),
        train_accuracy=0.5,
        validation_loss=0.7,
        validation_accuracy=0.5,
        learning_rate=1e-3,
        seconds=36.0,
        images_per_second=10.0,
        device_memory_mb=0.0,
    )


def fold_of(recipe: Recipe, fold: int, rows: np.ndarray, catalog: Catalog, fate: str) -> FoldResult:
    labels = catalog.table["label"].to_numpy()[rows]
    generator = np.random.default_rng([fold, *recipe.to_json().encode()])
    right = generator.random(len(rows)) < 0.85
    probabilities = np.where(right == (labels == 1), 0.8, 0.2) + generator.uniform(-0.1, 0.1, len(rows))
    if fate == "hopeless":
        probabilities = np.full(len(rows), 0.9)
    scores = {f"tta_{name}": value for name, value in point_scores(labels, probabilities).items()}
    if fate == "undefined":
        scores["tta_accuracy"] = math.nan
    return FoldResult(
        seed=0,
        fold=fold,
        rows=rows,
        probabilities=probabilities,
        scores=scores,
        seconds=80.0,
        device="cpu (test)",
        precision="float32",
    )


FATES = {1: "stopped", 2: "failed", 3: "crashed", 4: "undefined"}
EXPECTED = {0: "complete", 1: "stopped", 2: "failed", 3: "failed", 4: "failed", 5: "complete"}


def frozen(world: World) -> list[FrozenTrial]:
    storage = JournalStorage(JournalFileBackend(str(world.study.folder / "optuna.journal")))
    return optuna.load_study(study_name="study", storage=storage).trials


def everything(world: World) -> dict[str, Any]:
    """All that a search leaves, for comparison with another search."""
    return {
        "table": world.study.trial_table().astype(str).to_dict("records"),
        "epochs": {number: world.study.epochs(number).to_dict("records") for number in world.study.trials()},
        "predictions": {
            number: world.study.out_of_fold(number, 0).to_dict("records") for number in world.study.trials()
        },
        "journal": [
            (trial.number, trial.state, trial.value, trial.params, trial.intermediate_values) for trial in frozen(world)
        ],
    }


def assert_agreement(world: World) -> None:
    """Study folder, journal and tracker say the same of every trial."""
    trials = frozen(world)
    assert [trial.number for trial in trials] == world.study.trials()
    for trial in trials:
        number, run = trial.number, world.tracker.runs[trial.number]
        end = world.study.end(number)
        assert end is not None
        assert trial.state == STATES[end["state"]]
        assert run["end"] == (end["state"], end["reason"], end["score"])
        assert SPACE.recipe(trial.params) == world.study.recipe(number)
        folds = [world.study.fold(number, 0, fold) for fold in world.study.folds_done(number, 0)]
        assert run["folds"] == folds
        scores = [fold["scores"][world.objective] for fold in folds]
        defined = {fold: score for fold, score in enumerate(scores) if score is not None}
        assert trial.intermediate_values == defined
        epochs = world.study.epochs(number)
        assert run["epochs"] == list(zip(epochs["fold"], epochs["epoch"], epochs["train_loss"], strict=True))
        assert len(epochs) == len(set(zip(epochs["fold"], epochs["epoch"], strict=True)))
        if end["state"] == "complete":
            assert len(folds) == NUM_FOLDS
            assert trial.value == end["score"] == pytest.approx(np.mean(scores))
        else:
            assert end["score"] is None


@pytest.fixture
def world_in(tmp_path: Path, tiny_catalog: Catalog) -> Callable[..., World]:
    return lambda name="study", **settings: World(tmp_path / name, tiny_catalog, **settings)


def test_all_that_can_happen_to_a_trial_is_told_to_everyone(world_in: Callable[..., World]) -> None:
    world = world_in(trials=6, fates=FATES)
    world.run()
    assert_agreement(world)
    ends = {number: world.study.end(number) for number in world.study.trials()}
    assert {number: end and end["state"] for number, end in ends.items()} == EXPECTED
    reasons = [str(end and end["reason"]) for end in ends.values()]
    assert reasons[0] == "all 2 folds"
    assert reasons[1] == "hopeless: one answer to all images of fold 0 after 1 of 2 folds"
    assert reasons[2] == "NonFiniteLoss: at fold 1"
    assert reasons[3] == "its process died again and again"
    assert reasons[4] == "tta_accuracy is undefined in fold 0"
    assert [trial.state for trial in frozen(world)][1] == TrialState.PRUNED


def test_trial_0_is_the_starting_recipe_and_workers_get_plain_values(world_in: Callable[..., World]) -> None:
    assignment = world_in().driver().begin()
    assert assignment == {"number": 0, "recipe": SPACE.start.flat(), "skip": []}


def test_best_is_announced_for_complete_trials_only_and_only_when_it_changes(world_in: Callable[..., World]) -> None:
    world = world_in(trials=8, fates=FATES)
    world.run()
    scores = {
        number: world.study.end(number)["score"]  # type: ignore[index]
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


def test_a_report_that_arrives_twice_counts_once(world_in: Callable[..., World]) -> None:
    once, twice = world_in("once"), world_in("twice")
    once.run()
    driver = twice.driver()
    while (assignment := driver.begin()) is not None:
        for report in twice.reports(assignment):
            assert driver.hear(assignment["number"], report)
            assert driver.hear(assignment["number"], report)
        driver.end(assignment["number"], False)
    assert everything(twice) == everything(once)
    assert_agreement(twice)


def test_a_stopped_trial_is_not_heard_any_more(world_in: Callable[..., World]) -> None:
    world = world_in(fates={0: "stopped"})
    driver = world.driver()
    assignment = driver.begin()
    assert assignment is not None
    reports = list(world.reports(assignment))
    heard = [driver.hear(0, report) for report in reports]
    assert heard == [True, True, False, False, False, False]
    assert driver.folds_done(0) == [0]
    assert len(world.study.epochs(0)) == EPOCHS


def test_an_undefined_objective_fails_the_trial_and_others_are_searched_by_it(world_in: Callable[..., World]) -> None:
    world = world_in(trials=1, fates={0: "undefined"}, objective="tta_balanced_accuracy")
    world.run()
    assert_agreement(world)
    assert world.study.end(0)["state"] == "complete"  # type: ignore[index]


def test_more_trials_may_be_asked_for_on_resume(world_in: Callable[..., World]) -> None:
    world_in(trials=2).run()
    more = world_in(trials=4)
    more.run()
    undisturbed = world_in("undisturbed", trials=4)
    undisturbed.run()
    assert everything(more) == everything(undisturbed)
    assert more.study.trials() == [0, 1, 2, 3]


def test_ended_trials_are_shown_again_on_resume(world_in: Callable[..., World]) -> None:
    world_in(trials=2, fates={1: "failed"}).run()
    again = world_in(trials=2)
    again.run()
    scores = [again.study.fold(0, 0, fold)["scores"]["tta_accuracy"] for fold in range(NUM_FOLDS)]
    assert again.display.seen[0] == ("recall", 0, "complete", scores)
    assert again.display.seen[1][:3] == ("recall", 1, "failed")
    assert len(again.display.seen) == 2


def test_no_trial_begins_once_the_budget_is_spent(world_in: Callable[..., World]) -> None:
    # An epoch is a hundredth of an hour, a trial four of them.
    world = world_in(trials=9, budget_hours=0.10)
    world.run()
    assert world.study.trials() == [0, 1, 2]
    again = world_in(trials=9, budget_hours=0.10)
    again.run()
    assert again.study.trials() == [0, 1, 2], "what was spent before a resume counts"
    assert world_in("none", trials=9, budget_hours=0.0).driver().begin() is None


def test_trials_may_run_side_by_side(world_in: Callable[..., World]) -> None:
    world = world_in(trials=4, fates={1: "stopped"})
    driver = world.driver()
    running = [(a, world.reports(a)) for a in (driver.begin(), driver.begin(), driver.begin()) if a is not None]
    assert [assignment["number"] for assignment, _ in running] == [0, 1, 2]
    while running:
        for pair in list(running):
            number, report = pair[0]["number"], next(pair[1], None)
            if report is None or not driver.hear(number, report):
                driver.end(number, False)
                running.remove(pair)
    assert driver.begin() is not None
    driver.end(3, False)
    assert_agreement(world)


STEPS = {
    "study": ("begin_trial", "write_epoch", "write_fold", "end_trial"),
    "journal": ("ask", "report", "tell"),
    "tracker": ("begin", "epoch", "fold", "end"),
    "bests": ("append",),
}


class Fuse:
    """Counts the steps that leave a trace; at the given one the process is killed, before or after it."""

    def __init__(self, world: World, at: int, *, after: bool) -> None:
        self.at, self.after, self.count = at, after, 0
        world.bests = _Bests()
        for part, names in STEPS.items():
            for name in names:
                target = getattr(world, part)
                setattr(target, name, self.watched(getattr(target, name)))

    def watched(self, step: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any) -> Any:
            number, self.count = self.count, self.count + 1
            if number == self.at and not self.after:
                raise Killed
            result = step(*arguments)
            if number == self.at:
                raise Killed
            return result

        return call


class _Bests(list[Contender]):
    """A list whose methods can be replaced."""


KILL_FATES = {1: "stopped", 2: "undefined"}


@pytest.mark.parametrize("stride", [13, pytest.param(1, marks=pytest.mark.slow)])
@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_a_kill_at_any_step_changes_nothing(world_in: Callable[..., World], after: bool, stride: int) -> None:
    undisturbed = world_in("undisturbed", trials=4, fates=KILL_FATES)
    fuse = Fuse(undisturbed, -1, after=after)
    undisturbed.run()
    expected = everything(undisturbed)
    assert fuse.count > 40
    for at in range(0, fuse.count, stride):
        killed = world_in(f"killed-{at}", trials=4, fates=KILL_FATES)
        Fuse(killed, at, after=after)
        with pytest.raises(Killed):
            killed.run()
        resumed = world_in(f"killed-{at}", trials=4, fates=KILL_FATES)
        resumed.run()
        assert everything(resumed) == expected, f"killed at step {at}"
        announced = [*killed.bests, *resumed.bests]
        assert announced, f"killed at step {at}"
        assert announced[-1] == undisturbed.bests[-1], f"killed at step {at}"
        for number, run in resumed.tracker.runs.items():
            assert run == undisturbed.tracker.runs[number], f"killed at step {at}"
