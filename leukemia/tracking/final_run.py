"""The W&B run of the final training: epochs, test scores, figures, and the delivered model as an artifact."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from leukemia.base.errors import first_line
from leukemia.base.record import read_record
from leukemia.config.fields import nested
from leukemia.config.recipe import Recipe
from leukemia.study import layout
from leukemia.study.best import Best
from leukemia.study.ensemble import EnsembleRecord
from leukemia.study.epochs import EPOCH_COLUMNS, read_epochs
from leukemia.study.folder import Study
from leukemia.study.model_metrics import MetricsRecord
from leukemia.study.models import ModelRecord
from leukemia.study.times import counted_back
from leukemia.tracking import charts, client, names
from leukemia.tracking.client import Mode, RunSpec
from leukemia.tracking.trial_run import SERIES, provenance_of, recipe_tags
from leukemia.tracking.upload import remove_older
from leukemia.tracking.winner import run_id


class FinalRun:
    """The run of a delivered model; another model of the same study has another run."""

    def __init__(self, study: Study, name: str) -> None:
        """Nothing is opened yet.

        Args:
            name: the model's folder in the study.
        """
        self._study, self._name = study, name
        self._folder = study.folder / name
        self._run: client.Run = None

    @property
    def id(self) -> str:
        """W&B's id of the run, derived from the recipe and the logged epochs."""
        content = b"".join((self._folder / name).read_bytes() for name in (layout.RECIPE, layout.EPOCHS))
        return run_id(self._study.info.study_uid, f"final-{hashlib.sha256(content).hexdigest()[:8]}")

    @property
    def is_deleted(self) -> bool:
        """Whether the run that was written was deleted on the server, and so left out."""
        return client.is_deleted(self._run)

    def write(self, mode: Mode) -> str:
        """Open the run, log everything, close it; returns a warning, or an empty string.

        Raises:
            TimeoutError: the upload did not finish in time.
            NotStoredError: the server has not stored the model.
            Exception: any error of W&B.
        """
        record, recipe = ModelRecord.read(self._folder), Recipe.load(self._folder / layout.RECIPE)
        if record is not None:
            record.check_study(self._folder, self._study)
            record.check_files(self._folder)
        number = Best.of(self._study).trial if record is None else record.trial
        files = names.files(self._study, [self._folder])
        trial = run_id(self._study.info.study_uid, number)
        ensemble = None if record is None else record.ensemble
        run = self._run = client.open_run(self._spec(recipe, ensemble, trial, _size(files)), mode)
        run.define_metric("epoch", hidden=True)
        for name in SERIES:
            run.define_metric(name, step_metric="epoch")
        first = int(run.starting_step)
        epochs = read_epochs(self._folder / layout.EPOCHS, EPOCH_COLUMNS)
        trained = (self._folder / layout.EPOCHS).stat().st_mtime
        # The networks of an ensemble are one run: of each epoch, their mean.
        epochs = epochs.groupby("epoch", as_index=False).agg(dict.fromkeys(SERIES, "mean") | {"seconds": "sum"})
        times = counted_back(epochs["seconds"].tolist(), trained)
        for row, time in zip(epochs.to_dict("records"), times, strict=True):
            series = {name: row[name] for name in SERIES if pd.notna(row[name])}
            if row["epoch"] > first:
                run.log(series | {"epoch": row["epoch"], "_timestamp": time}, step=row["epoch"] - 1)
        # Another test replaces scores and pictures, and may have fewer of them.
        client.clear_summary(run, "test/", "out_of_fold/", "report/")
        pictures = charts.pictures(self._folder)
        run.log(pictures | {"_timestamp": trained}, step=max(first, recipe.train.epochs))
        metrics = read_record(MetricsRecord, self._folder / layout.METRICS)
        patients = None if metrics.test is None else metrics.test.get("patients")
        run.summary.update(_flat("test/patients", patients))
        run.summary.update(_flat("test", metrics.test) | _flat("out_of_fold", metrics.out_of_fold))
        run.summary.update({"verdict": metrics.verdict, "quote": metrics.quote, "caveats": metrics.caveats})
        note = self._link_trial(run, trial) if not run.offline else ""
        model = client.artifact(f"model-{self._study.info.study_uid}", "model", files, {"trial": number})
        aliases = ["best", self._study.name] if self._name == layout.FINAL else [self._name]
        client.close_run(run, logged=run.log_artifact(model, aliases=aliases))
        if run.offline:
            remove_older(self._study, self.id, newest=Path(run.settings.sync_dir))
        return note

    def _link_trial(self, run: client.Run, trial: str) -> str:
        """Link the run to the artifact of the winner's run, for the lineage; returns a warning, or an empty string."""
        try:
            run.use_artifact(f"trial-{trial}:latest")
        except Exception as error:
            # An interrupted or offline search has not logged it; publishing the study uploads both in order.
            return f"not linked to the trial's run ({first_line(error)})"
        return ""

    def _spec(self, recipe: Recipe, ensemble: EnsembleRecord | None, trial: str, upload_bytes: int) -> RunSpec:
        members = {} if ensemble is None else {"ensemble": dataclasses.asdict(ensemble)}
        return RunSpec(
            id=self.id,
            name=f"{self._study.name}-{self._name}",
            group=self._study.name,
            job_type="final",
            folder=self._study.folder,
            config=nested(recipe.flat()) | members | {"provenance": provenance_of(self._study) | {"trial_run": trial}},
            tags=recipe_tags(recipe),
            upload_bytes=upload_bytes,
        )


def _size(files: Mapping[str, Path | str]) -> int:
    """Bytes of files, given as paths or as text."""
    return sum(each.stat().st_size if isinstance(each, Path) else len(each) for each in files.values())


def _flat(prefix: str, scores: dict[str, Any] | None) -> dict[str, Any]:
    """Flatten ``{"accuracy": {"value": ...}}`` to ``test/accuracy``, ``test/accuracy_low`` and so on."""
    flat: dict[str, Any] = {}
    for name, value in (scores or {}).items():
        if isinstance(value, dict):
            # Others, such as those of the calibration, are on the page.
            if "value" not in value:
                continue
            flat[f"{prefix}/{name}"] = value["value"]
            flat |= {f"{prefix}/{name}_{end}": value[end] for end in ("low", "high")}
        elif not isinstance(value, list):
            flat[f"{prefix}/{name}"] = value
    return flat
