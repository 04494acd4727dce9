"""The final training's run in W&B: its epochs, test scores and figures, and the delivered model as an artifact."""

from __future__ import annotations

import hashlib
from typing import Any

import pandas as pd

from leukemia.base.errors import first_line
from leukemia.base.files import read_json
from leukemia.config.recipe import Recipe
from leukemia.study import layout
from leukemia.study.best import Best
from leukemia.study.folder import Study
from leukemia.tracking import client
from leukemia.tracking.client import Mode, RunSpec
from leukemia.tracking.trial_run import SERIES, provenance_of, remove_local, run_id


class FinalRun:
    """One run for what lies in ``final/``; another delivery of the same study is another run."""

    def __init__(self, study: Study) -> None:
        self._study = study
        self._folder = study.folder / layout.FINAL

    @property
    def id(self) -> str:
        """W&B's id of the run: that of the same recipe, trained to the same numbers."""
        content = b"".join((self._folder / name).read_bytes() for name in (layout.RECIPE, layout.EPOCHS))
        return run_id(self._study.info.study_uid, f"final-{hashlib.sha256(content).hexdigest()[:8]}")

    def write(self, mode: Mode) -> str:
        """Open the run, log everything, close it; returns what could not be done, in words, or nothing.

        Raises:
            Exception: W&B's own, of many kinds.
        """
        best, recipe = Best.of(self._study), Recipe.load(self._folder / layout.RECIPE)
        trial = run_id(self._study.info.study_uid, best.trial)
        remove_local(self._study, self.id)
        run = client.open_run(self._opening(recipe, trial), mode)
        first = int(run.starting_step)
        for row in pd.read_csv(self._folder / layout.EPOCHS).to_dict("records"):
            series = {name: row[name] for name in SERIES if pd.notna(row[name])}
            if row["epoch"] > first:
                run.log(series | {"epoch": row["epoch"]}, step=row["epoch"] - 1)
        figures = {f"report/{path.stem}": client.image(path) for path in sorted(self._folder.glob(layout.PICTURES))}
        if first <= recipe.train.epochs:
            run.log(figures, step=recipe.train.epochs)
        metrics = read_json(self._folder / layout.METRICS)
        run.summary.update(_flat("test", metrics["test"]) | _flat("out_of_fold", metrics["out_of_fold"]))
        run.summary.update({"caveats": metrics["caveats"]})
        note = self._use_trial(run, trial) if mode == "online" else ""
        model = client.artifact(f"model-{self._study.info.study_uid}", "model", [self._folder], {"trial": best.trial})
        run.log_artifact(model, aliases=["best", self._study.name])
        run.finish()
        return note

    def _use_trial(self, run: client.Run, trial: str) -> str:
        """Point the lineage to the winner's run, which the search has given an artifact."""
        try:
            run.use_artifact(f"trial-{trial}:latest")
        except Exception as error:
            # A search that was interrupted, or offline, has not logged it; publishing the study does both in order.
            return f"not linked to the run of its trial ({first_line(error)})"
        return ""

    def _opening(self, recipe: Recipe, trial: str) -> RunSpec:
        return RunSpec(
            id=self.id,
            name=f"{self._study.name}-final",
            group=self._study.name,
            job_type="final",
            folder=self._study.folder,
            config=recipe.flat() | provenance_of(self._study) | {"provenance.trial_run": trial},
            tags=(f"depth-{recipe.model.depth}", recipe.optimizer.name, recipe.model.shortcut),
        )


def _flat(prefix: str, scores: dict[str, Any] | None) -> dict[str, Any]:
    """``{"accuracy": {"value": ...}}`` as ``test/accuracy``, ``test/accuracy_low`` and so on."""
    flat: dict[str, Any] = {}
    for name, value in (scores or {}).items():
        if isinstance(value, dict):
            flat[f"{prefix}/{name}"] = value["value"]
            flat |= {f"{prefix}/{name}_{end}": value[end] for end in ("low", "high")}
        elif not isinstance(value, list):
            flat[f"{prefix}/{name}"] = value
    return flat
