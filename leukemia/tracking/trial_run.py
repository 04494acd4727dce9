"""The W&B run of a trial, logged from the study folder; no step is logged twice."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from leukemia.config.recipe import Recipe
from leukemia.config.results import Epoch
from leukemia.scoring.metrics import scores
from leukemia.study import layout
from leukemia.study.best import Best
from leukemia.study.folder import Study
from leukemia.study.schema import FoldRecord, State
from leukemia.tracking import client
from leukemia.tracking.client import Mode, RunSpec

SERIES = (
    "train_loss",
    "train_accuracy",
    "validation_loss",
    "validation_accuracy",
    "learning_rate",
    "images_per_second",
    "device_memory_mb",
)
"""Values logged per epoch, each as ``fold_K/...``."""


def run_id(study_uid: str, name: str) -> str:
    """W&B's id of a study's run; ``name`` is a trial such as ``0007``, ``search``, or ``final-`` and a hash."""
    return f"{study_uid}-{name}"


def remove_local_files(study: Study, identity: str) -> None:
    """Delete a run's local files left by an earlier process; the run is rewritten from the study folder."""
    for path in (study.folder / layout.WANDB).glob(f"*run-*-{identity}"):
        shutil.rmtree(path, ignore_errors=True)


def provenance_of(study: Study) -> dict[str, Any]:
    """Provenance of a run's scores, by dotted key."""
    info, written = study.info, study.info.to_dict()
    kept = ("commit", "command", "protocol", "folds", "seed", "objective", "hardware", "versions", "splits_sha256")
    return {f"provenance.{key}": written[key] for key in kept if key in written} | {
        "provenance.study": study.name,
        "provenance.study_uid": info.study_uid,
        "provenance.data": info.data.fingerprint,
    }


class TrialRun:
    """The run of a trial: recipe as config, series per epoch and per fold, predictions and summary.

    The steps of a fold are its epochs, then the fold itself; folds follow each other. Steps that were logged before are
    skipped, so the run can be reopened at any time and continued from the study folder.
    """

    def __init__(self, study: Study, number: int, recipe: Recipe, on_stop: Callable[[], None]) -> None:
        """
        Args:
            on_stop: called from another thread when a user stops the run in W&B.
        """
        self._study, self._number, self._recipe, self._on_stop = study, number, recipe, on_stop
        self._info = study.info
        self._run: client.Run = None
        self._last = -1
        self._epochs: dict[int, list[Epoch]] = {}
        self._scores: list[float] = []

    @property
    def id(self) -> str:
        """W&B's id of the run."""
        return run_id(self._info.study_uid, f"{self._number:04d}")

    @property
    def folder(self) -> Path:
        """Folder of the run's local files."""
        return Path(self._run.settings.sync_dir)

    def open(self, mode: Mode, sweep: str | None) -> None:
        """Open the run, and log the trial's epochs and folds in the study folder."""
        remove_local_files(self._study, self.id)
        self._run = client.open_run(self._spec(sweep), mode)
        self._last, self._epochs, self._scores = int(self._run.starting_step) - 1, {}, []
        self._run.define_metric("epoch")
        for fold in range(self._info.folds):
            self._run.define_metric(f"fold_{fold}/*", step_metric="epoch")
        self._run.define_metric("fold/number")
        self._run.define_metric("fold/*", step_metric="fold/number")
        seed = self._recipe.train.seed
        table = self._study.epochs(self._number)
        rows = table[table["seed"] == seed].to_dict("records")
        epochs = [Epoch(**{str(key): value for key, value in row.items()}) for row in rows]
        done = self._study.folds_done(self._number, seed)
        for fold in range(self._info.folds):
            for epoch in epochs:
                if epoch.fold == fold:
                    self.epoch(epoch)
            if fold in done:
                self.fold(self._study.fold(self._number, seed, fold))

    def _spec(self, sweep: str | None) -> RunSpec:
        recipe = self._recipe
        return RunSpec(
            id=self.id,
            name=f"{self._study.name}-{self._number:04d}",
            group=self._study.name,
            job_type="trial",
            folder=self._study.folder,
            config=recipe.flat() | provenance_of(self._study),
            tags=(
                f"depth-{recipe.model.depth}",
                recipe.optimizer.name,
                recipe.model.shortcut,
                self._info.protocol,
            ),
            sweep=sweep,
            on_stop=self._on_stop,
        )

    def epoch(self, epoch: Epoch) -> None:
        """Log an epoch as ``fold_K/...``."""
        known = self._epochs.setdefault(epoch.fold, [])
        if all(each.epoch != epoch.epoch for each in known):
            known.append(epoch)
        series = {f"fold_{epoch.fold}/{name}": getattr(epoch, name) for name in SERIES}
        self._log(epoch.fold * self._steps_per_fold + epoch.epoch - 1, series | {"epoch": epoch.epoch})

    def fold(self, fold: FoldRecord) -> None:
        """Log a committed fold as ``fold/...``, with the mean of the objective over the folds so far."""
        objective = self._study.objective
        number, score = fold.fold, fold.scores.get(objective)
        if score is not None and len(self._scores) == number:
            self._scores.append(score)
        series = {f"fold/{name}": value for name, value in fold.scores.items() if value is not None}
        if self._scores and len(self._scores) == number + 1:
            series[f"fold/mean_{objective}"] = float(np.mean(self._scores))
        if epochs := self._epochs.get(number):
            series["fold/images_per_second"] = float(np.mean([epoch.images_per_second for epoch in epochs]))
            series["fold/device_memory_mb"] = max(epoch.device_memory_mb for epoch in epochs)
        step = (number + 1) * self._steps_per_fold - 1
        self._log(step, series | {"fold/number": number, "fold/seconds": fold.seconds})

    def _log(self, step: int, values: dict[str, Any]) -> None:
        # An event may already have been logged from the study folder when the run was opened.
        if step > self._last:
            self._run.log(values, step=step)
            self._last = step

    @property
    def _steps_per_fold(self) -> int:
        return self._recipe.train.epochs + 1

    def close(self, state: State | None, reason: str, score: float | None, best: Best | None = None) -> None:
        """Write predictions and summary and close the run. A failed trial has exit code 1.

        Args:
            state: None if the search ended before the trial.
            best: given if this trial is the winner.

        Raises:
            TimeoutError: the upload did not finish in time.
        """
        seed = self._recipe.train.seed
        predictions = self._study.out_of_fold(self._number, seed)
        if state is not None and len(predictions):
            self._log(self._info.folds * self._steps_per_fold, client.prediction_charts(predictions))
        self._run.summary.update(
            {
                "state": state or "interrupted",
                "reason": reason,
                "folds_done": len(self._study.folds_done(self._number, seed)),
                "cost_seconds": sum(epoch.seconds for epochs in self._epochs.values() for epoch in epochs),
            }
            | self._score(predictions, score, best)
        )
        if best is not None:
            folder = self._study.trial_folder(self._number)
            files = [folder / layout.RECIPE, folder / layout.seed(seed)]
            self._run.log_artifact(client.artifact(f"trial-{self.id}", "trial", files, {"score": score}))
        self._run.finish(exit_code=1 if state == "failed" else 0 if state else 130)

    def _score(self, predictions: pd.DataFrame, score: float | None, best: Best | None) -> dict[str, Any]:
        if score is None:
            return {}
        objective = self._study.objective
        groups = predictions["image_id" if self._info.protocol == "random-cell" else "group"]
        labels, probabilities = predictions["label"].to_numpy(), predictions["probability_leukemic"].to_numpy()
        found = scores(labels, probabilities, groups.to_numpy())
        interval = found[objective.removeprefix("tta_")].to_dict()
        summary = {objective: score, f"{objective}_low": interval["low"], f"{objective}_high": interval["high"]}
        if best is not None:
            summary |= {
                f"{objective}_corrected_{key}": value for key, value in dataclasses.asdict(best.score.headline).items()
            }
            summary |= {f"{objective}_all_seeds": best.score.raw, "seeds": len(best.seeds)}
        return summary
