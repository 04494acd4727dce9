"""A small study and the events of its driver, for tests of tracking."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from helpers.studies import info_of, tta_scores

from leukemia.config.recipe import Recipe
from leukemia.config.results import Epoch, FoldResult
from leukemia.config.sections import Train
from leukemia.study.folder import Study
from leukemia.study.job import Job
from leukemia.study.schema import State
from leukemia.tracking.tracker import NoTracker, WandbTracker

RECIPE = Recipe(train=Train(epochs=2))
TABLE = pd.DataFrame(
    {"image_id": ["a", "b"], "subject": ["1", "H2"], "group": ["1", "H2"], "label": np.array([1, 0], dtype=np.int64)}
)
INFO = info_of(
    study_uid="c0ffee00",
    trials=1,
    commit="0" * 40,
    hardware={"device": "cpu (test)"},
    versions={"torch": "2.13.0"},
    splits_sha256="5" * 64,
    space={
        "model.depth": {"choices": [18, 50]},
        "optimizer.learning_rate": {"low": 1e-4, "high": 1e-2, "log": True},
        "augment.blur": {"low": 0.0, "high": 0.5, "log": False},
    },
)


def make_study(folder: Path) -> Study:
    """A study without trials."""
    return Study.create(folder, INFO)


def epoch_of(fold: int, epoch: int, *, seed: int = 0) -> Epoch:
    """An epoch with distinct values."""
    return Epoch(
        seed=seed,
        fold=fold,
        epoch=epoch,
        train_loss=1 / (fold + 3 * epoch),
        train_accuracy=0.5,
        validation_loss=0.1 + 0.2,
        validation_accuracy=2 / 3,
        learning_rate=1e-3 / epoch,
        seconds=1.5,
        images_per_second=10 / 3,
        device_memory_mb=0.0,
    )


def fold_of(fold: int) -> FoldResult:
    """A finished fold: in fold 1, one of two images is classified wrongly; one score is undefined."""
    probabilities = np.array([0.9, 0.2 + fold / 2])
    return FoldResult(
        seed=0,
        fold=fold,
        rows=np.array([0, 1]),
        probabilities=probabilities,
        scores=tta_scores(TABLE["label"], probabilities) | {"tta_auroc": float("nan")},
        seconds=12.5,
        device="cpu (test)",
        precision="float32",
    )


REPORTS: tuple[Epoch | FoldResult, ...] = (
    epoch_of(0, 1),
    epoch_of(0, 2),
    fold_of(0),
    epoch_of(1, 1),
    epoch_of(1, 2),
    fold_of(1),
)
"""The reports of a complete trial."""

Tracker = WandbTracker | NoTracker


def begin(study: Study, tracker: Tracker, number: int) -> None:
    """Start a trial as the driver does."""
    study.begin_trial(number, RECIPE)
    tracker.begin(Job(number, 0), RECIPE, [])


def write(study: Study, tracker: Tracker, number: int, report: Epoch | FoldResult) -> None:
    """Handle a report as the driver does: write it to the study folder, then notify the tracker."""
    if isinstance(report, Epoch):
        study.write_epoch(number, report)
        tracker.epoch(Job(number, 0), report)
    else:
        fold = study.write_fold(number, report, TABLE)
        assert fold is not None
        tracker.fold(Job(number, 0), fold)


def end(study: Study, tracker: Tracker, number: int, state: State, reason: str, score: float | None) -> None:
    """End a trial as the driver does."""
    study.end_trial(number, state, reason, score)
    tracker.end(Job(number, 0), state, reason, score)


def run_trial(study: Study, tracker: Tracker, number: int) -> None:
    """Run a complete trial."""
    begin(study, tracker, number)
    for report in REPORTS:
        write(study, tracker, number, report)
    end(study, tracker, number, "complete", "all 2 folds", 0.75)


def folders(study: Study, name: str = "[0-9]") -> list[Path]:
    """Local folders of runs, by default those of all trials."""
    # W&B numbers the folders of one second.
    return sorted((study.folder / "wandb").glob(f"*run-*-{INFO.study_uid}-{name}*"))


def records(run: Path) -> list[dict[str, Any]]:
    """The records of a run's transaction log, as printed by W&B's reader."""
    (log,) = run.glob("*.wandb")
    command = [sys.executable, "-m", "wandb", "leet", "inspect", "--json", str(log)]
    ended = subprocess.run(command, capture_output=True, text=True, check=True)
    return [json.loads(line) for line in ended.stdout.splitlines()]


def of_kind(found: list[dict[str, Any]], kind: str) -> list[Any]:
    """The content of all records of one type."""
    return [record[kind] for record in found if record["type"] == kind]


def history(run: Path) -> list[dict[str, Any]]:
    """Rows logged by an offline run, without timestamps."""
    rows = []
    for record in of_kind(records(run), "history"):
        rows.append({key: value for key, value in record["item"].items() if key not in ("_runtime", "_timestamp")})
    return rows


def series(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The rows of epochs and folds, without their charts."""
    found = [row for row in rows if "epoch" in row or "fold/number" in row]
    return [{key: value for key, value in row.items() if not key.startswith("Custom Chart Tables/")} for row in found]


def summary(run: Path) -> dict[str, Any]:
    """The summary of an offline run."""
    found: dict[str, Any] = {}
    for record in of_kind(records(run), "summary"):
        update = record.get("update", {})
        found |= update if isinstance(update, dict) else {item["key"]: item["value"] for item in update}
    return found


def expected_rows(study: Study, number: int = 0) -> list[dict[str, Any]]:
    """The rows expected in a trial's run, by step: every epoch and fold of the study folder, with exact values."""
    names = (
        "train_loss",
        "train_accuracy",
        "validation_loss",
        "validation_accuracy",
        "learning_rate",
        "images_per_second",
        "device_memory_mb",
    )
    rows: list[dict[str, Any]] = []
    epochs, accuracy = study.epochs(number), []
    epochs = epochs[epochs["seed"] == 0]
    for fold in range(INFO.folds):
        of_fold = epochs[epochs["fold"] == fold]
        for row in of_fold.to_dict("records"):
            series = {f"fold_{fold}/{name}": row[name] for name in names}
            rows.append(series | {"epoch": row["epoch"], "_step": 3 * fold + row["epoch"] - 1})
        if fold in study.folds_done(number, 0):
            content = study.fold(number, 0, fold)
            accuracy.append(content.scores["tta_accuracy"])
            rows.append(
                {f"fold/{name}": value for name, value in content.scores.items() if value is not None}
                | {
                    "fold/number": fold,
                    "fold/seconds": content.seconds,
                    "fold/mean_tta_accuracy": float(np.mean(accuracy)),
                    "fold/images_per_second": float(of_fold["images_per_second"].mean()),
                    "fold/device_memory_mb": float(of_fold["device_memory_mb"].max()),
                    "_step": 3 * fold + 2,
                }
            )
    return rows
