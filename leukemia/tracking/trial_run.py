"""The W&B run of a trial, logged from the study folder; no step is logged twice."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np

from leukemia.config.fields import nested
from leukemia.config.recipe import Recipe
from leukemia.config.results import COST, Epoch
from leukemia.scoring.selection import corrected
from leukemia.study import layout
from leukemia.study.best import Best
from leukemia.study.candidate import candidate_of
from leukemia.study.epochs import epochs_of
from leukemia.study.folder import Study
from leukemia.study.given_recipes import names_of
from leukemia.study.schema import FoldRecord, State
from leukemia.study.table import finished_seeds
from leukemia.study.times import epochs_ended, fold_ended, iso, trial_ended
from leukemia.tracking import charts, client, names
from leukemia.tracking.client import Mode, RunSpec
from leukemia.tracking.upload import remove_older
from leukemia.tracking.winner import WINNER, run_id

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


RunState = State | Literal["waiting", "interrupted"]
"""The state of a trial in the summary of its run; interrupted: the search ended before the trial."""


def recipe_tags(recipe: Recipe) -> tuple[str, ...]:
    """Tags of a run: its network and optimizer.

    >>> recipe_tags(Recipe())
    ('depth-18', 'ranger21', 'add')
    """
    if not recipe.model.is_resnet:
        return recipe.model.network, recipe.optimizer.name
    return f"depth-{recipe.model.depth}", recipe.optimizer.name, recipe.model.shortcut


def provenance_of(study: Study) -> dict[str, Any]:
    """Provenance of a run's scores, for its config."""
    info, written = study.info, study.info.to_dict()
    kept = ("commit", "command", "protocol", "folds", "seed", "objective", "hardware", "versions", "splits_sha256")
    return {key: written[key] for key in kept if key in written} | {
        "study": study.name,
        "study_uid": info.study_uid,
        "data": info.data.fingerprint,
    }


def cost_of(study: Study, number: int) -> dict[str, float]:
    """A trial's second objective by name, as Optuna gets it; empty if the study has only one objective."""
    if not study.info.objective.endswith(f",{COST}"):
        return {}
    seed = study.recipe(number).train.seed
    return {COST: sum(study.fold(number, seed, fold).seconds for fold in study.folds_done(number, seed))}


class TrialRun:
    """The run of a trial: recipe as config, series per epoch and per fold, predictions and summary.

    The steps of a fold are its epochs, then the fold itself; folds follow each other. W&B drops steps that are not
    above the last, so what arrives of a fold is held back until those before it are finished. Steps that were logged
    before are skipped, so the run can be reopened at any time and continued from the study folder. Rows have the times
    of their events, except ``_runtime``, which W&B's client measures itself.
    """

    def __init__(
        self, study: Study, number: int, recipe: Recipe, on_stop: Callable[[], None], best: Best | None = None
    ) -> None:
        """
        Args:
            on_stop: called from another thread when a user stops the run in W&B.
            best: the winner of the study, if known.
        """
        self._study, self._number, self._recipe, self._on_stop = study, number, recipe, on_stop
        self._winner = best if best is not None and int(best.trial) == number else None
        self._info = study.info
        self._run: client.Run = None
        self._last = -1
        self._epochs: dict[int, list[Epoch]] = {}
        self._fold = 0
        self._held: dict[int, list[Callable[[], None]]] = {}
        self._scores: list[float] = []
        self._started: float | None = None

    @property
    def id(self) -> str:
        """W&B's id of the run."""
        return run_id(self._info.study_uid, f"{self._number:04d}")

    @property
    def folder(self) -> Path:
        """Folder of the run's local files."""
        return Path(self._run.settings.sync_dir)

    @property
    def is_deleted(self) -> bool:
        """Whether the open run was deleted on the server, and so is left out."""
        return client.is_deleted(self._run)

    def open(self, mode: Mode, sweep: str | None) -> None:
        """Open the run, and log the trial's epochs and folds in the study folder."""
        self._run = client.open_run(self._spec(sweep), mode)
        self._last, self._epochs, self._scores = int(self._run.starting_step) - 1, {}, []
        self._started, self._fold, self._held = None, 0, {}
        self._run.define_metric("epoch", hidden=True)
        self._run.define_metric("fold/number", hidden=True)
        if self._info.wandb_ids:
            self._run.define_metric(names.WITH_NAMES, hidden=True)
        self._run.define_metric("fold/*", step_metric="fold/number")
        seed = self._recipe.train.seed
        epochs = epochs_of(self._study.epochs(self._number), seed)
        done = self._study.folds_done(self._number, seed)
        for fold in range(self._info.folds):
            self._define(fold, hidden=False)
            record = self._study.fold(self._number, seed, fold) if fold in done else None
            if known := [epoch for epoch in epochs if epoch.fold == fold]:
                seconds = [epoch.seconds for epoch in known]
                for epoch, ended in zip(known, epochs_ended(self._study, self._number, seconds, record), strict=True):
                    self.epoch(epoch, ended)
            if record is not None:
                self.fold(record)

    def _define(self, fold: int, *, hidden: bool) -> None:
        """Define a fold's series. W&B draws a panel for each that is not hidden; those of a finished fold are hidden,
        since its lines are in the charts of all folds."""
        for name in SERIES:
            self._run.define_metric(f"fold_{fold}/{name}", step_metric="epoch", hidden=hidden, overwrite=True)

    def _spec(self, sweep: str | None) -> RunSpec:
        recipe, named = self._recipe, names_of(self._info).get(self._number)
        provenance = provenance_of(self._study) | ({} if named is None else {"recipe": named})
        return RunSpec(
            id=self.id,
            name=f"{self._study.name}-{self._number:04d}{'' if named is None else f' {named}'}",
            group=self._study.name,
            job_type="trial",
            folder=self._study.folder,
            config=nested(recipe.flat()) | {"provenance": provenance},
            tags=(
                *recipe_tags(recipe),
                self._info.protocol,
                *([WINNER] if self._winner else []),
            ),
            sweep=sweep,
            on_stop=self._on_stop,
        )

    def epoch(self, epoch: Epoch, ended: float) -> None:
        """Log an epoch as ``fold_K/...``.

        Args:
            ended: when, in seconds since 1970.
        """
        if epoch.fold > self._fold:
            self._held.setdefault(epoch.fold, []).append(partial(self.epoch, epoch, ended))
            return
        if self._started is None:
            self._started = ended - epoch.seconds
        known = self._epochs.setdefault(epoch.fold, [])
        if all(each.epoch != epoch.epoch for each in known):
            known.append(epoch)
        series = {f"fold_{epoch.fold}/{name}": getattr(epoch, name) for name in SERIES}
        self._log(epoch.fold * self._steps_per_fold + epoch.epoch - 1, series | {"epoch": epoch.epoch}, ended)

    def fold(self, fold: FoldRecord) -> None:
        """Log a committed fold as ``fold/...``, with the mean of the objective and the curves of all folds so far."""
        if fold.fold > self._fold:
            self._held.setdefault(fold.fold, []).append(partial(self.fold, fold))
            return
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
        values = series | {"fold/number": number, "fold/seconds": fold.seconds}
        if step > self._last:
            values |= charts.curves(self._epochs)
        self._log(step, values, fold_ended(self._study, self._number, fold))
        self._define(number, hidden=True)
        self._begin_fold(number + 1)

    def _begin_fold(self, number: int) -> None:
        """Log a fold from now on, and what has been held back of it."""
        self._fold = max(self._fold, number)
        for log in self._held.pop(number, []):
            log()

    def _log(self, step: int, values: dict[str, Any], time: float) -> None:
        # An event may already have been logged from the study folder when the run was opened.
        if step > self._last:
            self._run.log(values | {"_timestamp": time}, step=step)
            self._last = step

    @property
    def _steps_per_fold(self) -> int:
        return self._recipe.train.epochs + 1

    def close(self, state: RunState, reason: str, score: float | None) -> None:
        """Write predictions and summary and close the run. A failed trial has exit code 1, an interrupted one 130.

        Raises:
            TimeoutError: the upload did not finish in time.
            NotStoredError: the server has not stored the artifact.
        """
        if state not in ("waiting", "interrupted"):
            # Of a trial that is stopped, earlier folds may be unfinished.
            for fold in sorted(self._held):
                self._begin_fold(fold)
        seed = self._recipe.train.seed
        predictions = self._study.out_of_fold(self._number, seed)
        ended = trial_ended(self._study, self._number)
        if ended is not None and len(predictions):
            found = charts.predictions(names.table(self._study, predictions))
            self._log(self._info.folds * self._steps_per_fold, names.marked(self._study, found), ended)
        times = {"started": self._started, "ended": ended}
        # A former winner had them.
        client.clear_summary(self._run, f"{self._study.objective}_corrected_")
        self._run.summary.update(
            {
                "state": state,
                "reason": names.reason(self._study, state, reason),
                "folds_done": len(self._study.folds_done(self._number, seed)),
                "cost_seconds": sum(epoch.seconds for epochs in self._epochs.values() for epoch in epochs),
            }
            | cost_of(self._study, self._number)
            | {name: iso(time) for name, time in times.items() if time is not None}
            | (self._score(score) if score is not None else {})
        )
        logged = None
        if self._winner is not None:
            folder = self._study.trial_folder(self._number)
            files = [folder / layout.RECIPE, folder / layout.seed(seed)]
            artifact = client.artifact(f"trial-{self.id}", "trial", names.files(self._study, files), {"score": score})
            logged = self._run.log_artifact(artifact)
        client.close_run(self._run, {"failed": 1, "interrupted": 130}.get(state, 0), logged)
        if self._run.offline:
            remove_older(self._study, self.id, newest=self.folder)

    def _score(self, score: float) -> dict[str, Any]:
        """The mean over all seeds, as the search ranks trials and as in ``best.json``, with its interval."""
        study, number, objective = self._study, self._number, self._study.objective
        seeds = finished_seeds(study, number)
        interval = corrected(candidate_of(study, number), objective.removeprefix("tta_")).raw.to_dict()
        folds = [study.fold(number, seed, fold) for seed in seeds for fold in study.folds_done(number, seed)]
        summary = {
            objective: float(np.mean([fold.scores[objective] for fold in folds])),
            f"{objective}_low": interval["low"],
            f"{objective}_high": interval["high"],
            f"{objective}_first_seed": score,
            "seeds": len(seeds),
        }
        if self._winner is not None:
            headline = dataclasses.asdict(self._winner.score.headline)
            if self._winner.scored_on is not None and self._winner.score.scored is not None:
                # On the same folds, for comparison; the score of all trials is over all folds.
                headline["from"] = self._winner.score.scored.value
            summary |= {f"{objective}_corrected_{key}": value for key, value in headline.items()}
        return summary
