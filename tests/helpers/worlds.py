"""A study with its driver, listeners and simulated workers, without Ray."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import optuna
from helpers.studies import info_of
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import FrozenTrial

from leukemia.config.recipe import Recipe
from leukemia.config.results import Epoch, FoldResult
from leukemia.config.sections import COLOR
from leukemia.data.catalog import Catalog
from leukemia.data.folds import Splits, make_splits
from leukemia.scoring.metrics import point_scores
from leukemia.study.data_source import DataSource
from leukemia.study.folder import Study
from leukemia.study.job import Job
from leukemia.study.listener import Listener
from leukemia.study.schema import FoldRecord, State, StudyInfo
from leukemia.study.table import trial_table
from search.policy.comparison import Comparison
from search.policy.early_stopping import Contender
from search.policy.rules import Rules
from search.policy.space import Space, make_space
from search.sampling.journal import Journal
from search.trials.assignment import Assignment, Failure, Report
from search.trials.driver import Driver
from search.trials.evidence import validation_of
from search.trials.progress import Progress
from search.trials.schedule import Limits
from search.trials.warmstart import copy_priors, find_priors, priors_of

NUM_FOLDS = 2


EPOCHS = 2
LATER = (
    "data.fit",
    "data.small",
    "train.pipeline",
    *(f"augment.{name}" for name in ("rotate_limit", "border", *COLOR)),
    "optimizer.warmup_epochs",
    "train.label_smoothing",
    "model.network",
)
"""Recipe fields that did not exist when the fates of the trials were chosen."""


def space_of(epochs: int) -> Space:
    settings: dict[str, Any] = {"train.epochs": epochs, "data.size_px": 32}
    return make_space(Recipe().with_settings(settings).resolved([(32, 32)]), settings)


SPACE = space_of(EPOCHS)

RECIPES = tuple(
    SPACE.start.with_settings(settings).resolved([(32, 32)])
    for settings in ({}, {"augment.blur": 0.0}, {"optimizer.name": "adamw", "model.depth": 50})
)
"""To be compared."""


class Killed(BaseException):
    """Simulates SIGKILL: nothing catches it."""


class RecordingTracker(Listener):
    """What W&B would contain: one run per trial, rebuilt from the study folder when the trial resumes."""

    def __init__(self, study: Study) -> None:
        self.study = study
        self.runs: dict[int, dict[str, Any]] = {}
        self.stopped: set[int] = set()

    def is_stopped(self, job: Job) -> bool:
        return job.number in self.stopped

    def begin(self, job: Job, recipe: Recipe, scores: Sequence[float]) -> None:
        if job.is_repeat:
            return
        number, seed, epochs = job.number, job.seed, self.study.epochs(job.number)
        epochs = epochs[epochs["seed"] == seed]
        self.runs[number] = {
            "epochs": list(zip(epochs["fold"], epochs["epoch"], epochs["train_loss"], strict=True)),
            "folds": [self.study.fold(number, seed, fold) for fold in self.study.folds_done(number, seed)],
            "end": None,
        }

    def epoch(self, job: Job, epoch: Epoch) -> None:
        if not job.is_repeat:
            self.runs[job.number]["epochs"].append((epoch.fold, epoch.epoch, epoch.train_loss))

    def fold(self, job: Job, fold: FoldRecord) -> None:
        if not job.is_repeat:
            self.runs[job.number]["folds"].append(fold)

    def end(self, job: Job, state: State, reason: str, score: float | None) -> None:
        if not job.is_repeat:
            self.runs[job.number]["end"] = (state, reason, score)


class RecordingDisplay(Listener):
    """Records everything shown to the user, in order."""

    def __init__(self) -> None:
        self.seen: list[tuple[Any, ...]] = []

    def recall(self, job: Job, recipe: Recipe, state: State, scores: Sequence[float]) -> None:
        self.seen.append(("recall", job.label, state, scores))

    def begin(self, job: Job, recipe: Recipe, scores: Sequence[float]) -> None:
        self.seen.append(("begin", job.label, scores))

    def wait(self, job: Job, recipe: Recipe, scores: Sequence[float], where: str) -> None:
        self.seen.append(("wait", job.label, scores, where))

    def epoch(self, job: Job, epoch: Epoch) -> None:
        self.seen.append(("epoch", job.label, epoch.fold, epoch.epoch))

    def fold(self, job: Job, fold: FoldRecord) -> None:
        self.seen.append(("fold", job.label, fold.fold, fold.scores))

    def end(self, job: Job, state: State, reason: str, score: float | None) -> None:
        self.seen.append(("end", job.label, state))

    def recorded(self, job: Job) -> None:
        self.seen.append(("recorded", job.label))

    def note(self, message: str) -> None:
        self.seen.append(("note", message))


FAILURE = Failure(message="NonFiniteLoss: at fold 1", traceback="Traceback (most recent call last):\n  at fold 1\n")
"""The report of a trial with the fate ``failed``."""


class World:
    """A study with its driver and listeners; a second world with the same folder simulates a new process."""

    def __init__(
        self,
        folder: Path,
        catalog: Catalog,
        *,
        trials: int = 3,
        fates: Mapping[int | Job, str] | None = None,
        objective: str = "tta_accuracy",
        budget_hours: float = math.inf,
        warm_start: Sequence[Study] = (),
        journal_name: str = "study",
        folds: int = NUM_FOLDS,
        epochs: int = EPOCHS,
        recipes: Sequence[Recipe] = (),
        **rules: Any,
    ) -> None:
        """
        Args:
            fates: how a trial, by number, or a repeat, by job, ends.
            recipes: of a comparison, as many as trials.
            rules: fields of ``Rules``; by default there is neither racing nor repeats.
        """
        self.catalog, self.fates = catalog, fates or {}
        self.splits: Splits = make_splits(catalog, folds, 0, "grouped")
        self.space = SPACE if epochs == EPOCHS else space_of(epochs)
        if recipes:
            self.space = Comparison(recipes=tuple(recipes)).space(self.space.settings)
        self.rows = list(self.splits.rows(catalog))
        if not folder.exists():
            info = info_of(
                folds=folds,
                objective=objective,
                sampler="grid" if recipes else "tpe",
                trials=len(recipes) or StudyInfo.trials,
                space=self.space.describe() if recipes else {},
                start=self.space.start.flat() if recipes else {},
                data=DataSource(uri="cells", fingerprint=catalog.fingerprint),
                splits_sha256=self.splits.sha256(),
            )
            validation = validation_of(self.splits, catalog)
            priors = find_priors([study.folder for study in warm_start], info, self.space, validation)
            copy_priors(priors, Study.create(folder, info))
            self.splits.save(folder / "splits.json")
        self.study = Study(folder)
        self.tracker, self.display = RecordingTracker(self.study), RecordingDisplay()
        self.listeners: list[Listener] = [self.tracker, self.display]
        self.bests: list[Contender] = []
        score, *cost = objective.split(",")
        defaults: dict[str, Any] = {"racing": False, "repeats": 0, "by_cost": bool(cost), "compares": bool(recipes)}
        self.rules = Rules(num_folds=folds, objective=score, **{**defaults, **rules})
        self.journal = Journal(
            folder / "optuna.journal",
            self.space,
            seed=0,
            name=journal_name,
            by_cost=self.rules.by_cost,
            recipes=recipes,
            priors=[reused.prior for reused in priors_of(self.study)],
        )
        self.limits = Limits(num_trials=trials, budget_hours=budget_hours)

    def driver(self) -> Driver:
        return Driver(
            self.study,
            self.journal,
            self.catalog,
            limits=self.limits,
            rules=self.rules,
            listeners=self.listeners,
            on_best=self.announce,
        )

    def announce(self, progress: Progress) -> None:
        winner = progress.race.winner()
        assert winner is not None
        self.bests.append(winner)

    def run(self) -> Driver:
        """Run all jobs, one after another."""
        driver = self.driver()
        while (assignment := driver.begin()) is not None:
            self.train(driver, assignment)
        assert driver.idle()
        return driver

    def work(self, driver: Driver, assignment: Assignment) -> None:
        """Train all folds of a job, which has the only free place."""
        while not self.train(driver, assignment):
            following = driver.begin()
            assert following is not None
            assert following.task.job == assignment.task.job
            assignment = following

    def train(self, driver: Driver, assignment: Assignment) -> bool:
        """Train a fold; returns whether its job is finished."""
        for report in self.reports(assignment):
            if not driver.receive(assignment.task, report):
                break
        return driver.end(assignment.task, self.fate(assignment.task.job) == "crashed")

    def fate(self, job: Job) -> str:
        is_trial = job.seed == SPACE.start.train.seed
        return self.fates.get(job.number if is_trial else job, "complete")

    def reports(self, assignment: Assignment) -> Iterator[Report]:
        """The reports of a worker; they depend only on the recipe."""
        fate, recipe, fold = self.fate(assignment.task.job), assignment.recipe, assignment.task.fold
        _, validation = self.rows[fold]
        if fate in ("crashed", "failed") and fold == 1:
            yield from () if fate == "crashed" else (FAILURE,)
            return
        for epoch in range(1, recipe.train.epochs + 1):
            value = float(generator_of(recipe, fold, epoch).random())
            yield dataclasses.replace(epoch_of(fold, epoch, seed=recipe.train.seed), validation_accuracy=value)
        yield fold_of(recipe, fold, validation, self.catalog, "chance" if fate == "stopped" else fate)


def waiting_world(folder: Path, catalog: Catalog) -> tuple[World, Study]:
    """A search of three folds in which all trials but the first, which is complete, wait inside of their first fold."""
    world = World(folder, catalog, trials=8, folds=3, epochs=8, pausing=True)
    driver = world.driver()
    while world.study.trials() != [0, 1, 2, 3] or not world.study.end(0):
        assignment = driver.begin()
        assert assignment is not None
        world.train(driver, assignment)
    return world, Study(folder)


def epoch_of(fold: int, epoch: int, *, seed: int = 0) -> Epoch:
    return Epoch(
        seed=seed,
        fold=fold,
        epoch=epoch,
        train_loss=1 / (seed + fold + epoch + 2),
        train_accuracy=0.5,
        validation_loss=0.7,
        validation_accuracy=0.5,
        learning_rate=1e-3,
        seconds=36.0,
        images_per_second=10.0,
        device_memory_mb=0.0,
    )


def generator_of(recipe: Recipe, *numbers: int) -> np.random.Generator:
    """Random numbers that depend on these numbers and the recipe, without later fields, which would draw others."""
    known = {name: value for name, value in recipe.flat().items() if name not in LATER}
    text = json.dumps(known, indent=2, sort_keys=True) + "\n"
    return np.random.default_rng([*numbers, *text.encode()])


def fold_of(recipe: Recipe, fold: int, rows: np.ndarray, catalog: Catalog, fate: str) -> FoldResult:
    labels = catalog.table["label"].to_numpy()[rows]
    generator = generator_of(recipe, fold)
    correct = generator.random(len(rows)) < 0.85
    if fate == "worse":
        # Much worse, and equally in every group: every other image is misclassified.
        correct = np.arange(len(rows)) % 2 == 0
    probabilities = np.where(correct == (labels == 1), 0.8, 0.2) + generator.uniform(-0.1, 0.1, len(rows))
    if fate == "chance":
        probabilities = np.full(len(rows), 0.9)
    scores = {f"tta_{name}": value for name, value in point_scores(labels, probabilities).items()}
    if fate == "undefined":
        scores["tta_accuracy"] = math.nan
    return FoldResult(
        seed=recipe.train.seed,
        fold=fold,
        rows=rows,
        probabilities=probabilities,
        scores=scores,
        seconds={"cheap": 40.0, "expensive": 800.0}.get(fate, 80.0),
        device="cpu (test)",
        precision="float32",
    )


STEPS = {
    "study": ("begin_trial", "begin_repeat", "write_epoch", "write_fold", "fail_repeat", "end_trial"),
    "journal": ("ask", "report", "tell"),
    "tracker": ("begin", "epoch", "fold", "end"),
    "bests": ("append",),
}


KILLED: dict[str, dict[str, Any]] = {
    "trials": {"trials": 4, "fates": {1: "stopped", 2: "undefined"}},
    # The first repeat of the start fails; then leader and runner-up are repeated.
    "race": {"trials": 4, "racing": True, "repeats": 2, "fates": {1: "worse", 2: "undefined", Job(0, 1): "failed"}},
    # All but trial 0 wait; trial 2 fails once it has gone on.
    "pausing": {"trials": 4, "folds": 3, "epochs": 8, "pausing": True, "fates": {1: "stopped", 2: "failed"}},
    # Trial 1 is no better than chance, and complete all the same; trial 2 fails, and so does a repeat.
    "comparison": {
        "trials": 3,
        "recipes": RECIPES,
        "repeats": 1,
        "fates": {1: "stopped", 2: "failed", Job(0, 1): "failed"},
    },
}


def frozen(world: World) -> list[FrozenTrial]:
    storage = JournalStorage(JournalFileBackend(str(world.study.folder / "optuna.journal")))
    return optuna.load_study(study_name="study", storage=storage).trials


def everything(world: World) -> dict[str, Any]:
    """All results of a search, to compare it with another one."""
    study = world.study
    jobs = [(number, seed) for number in study.trials() for seed in study.seeds(number)]
    return {
        "table": trial_table(study).astype(str).to_dict("records"),
        "epochs": {number: study.epochs(number).to_dict("records") for number in study.trials()},
        "predictions": {job: study.out_of_fold(*job).to_dict("records") for job in jobs},
        "failures": {job: study.repeat_failure(*job) for job in jobs},
        "tracebacks": {
            str(path.relative_to(study.folder)): path.read_text() for path in study.folder.rglob("traceback.txt")
        },
        "journal": [
            (trial.number, trial.state, trial.values, trial.params, trial.intermediate_values, trial.user_attrs)
            for trial in frozen(world)
        ],
    }
