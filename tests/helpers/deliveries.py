"""A finished study, and ``leukemia.final`` run on it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from helpers.studies import info_of, tta_scores
from helpers.worlds import epoch_of

from leukemia.config.protocol import Protocol
from leukemia.config.recipe import Recipe
from leukemia.config.results import FoldResult
from leukemia.data.catalog import Catalog
from leukemia.data.folds import make_splits
from leukemia.final import main
from leukemia.scoring.metrics import majority_rate, scores
from leukemia.scoring.selection import Correction
from leukemia.study.best import Best, Noise
from leukemia.study.best_score import BestScore, IntervalRecord
from leukemia.study.data_source import DataSource
from leukemia.study.folder import Study

RECIPE = Recipe.from_flat(
    {
        "data.size_px": 32,
        "optimizer.name": "adamw",
        "train.epochs": 1,
        "train.batch_size": 16,
        "train.precision": "float32",
        "evaluate.tta": "flips",
    }
).resolved([(32, 32)])


def searched(
    runs: Path,
    catalog: Catalog,
    uri: str,
    protocol: Protocol = "grouped",
    name: str = "one",
    recipe: Recipe = RECIPE,
) -> Study:
    """A finished study: trial 0 with two folds, and ``best.json``; the probabilities are synthetic."""
    splits = make_splits(catalog, 2, 0, protocol)
    info = info_of(trials=1, protocol=protocol, data=DataSource(uri=uri, fingerprint=catalog.fingerprint))
    study = Study.create(runs / name, info)
    splits.save(study.folder / "splits.json")
    study.begin_trial(0, recipe)
    labels, generator = catalog.table["label"].to_numpy(), np.random.default_rng(0)
    for fold, (_, rows) in enumerate(splits.rows(catalog)):
        probabilities = np.clip(labels[rows] + generator.normal(0, 0.4, len(rows)), 0, 1)
        result = FoldResult(
            seed=0,
            fold=fold,
            rows=rows,
            probabilities=probabilities,
            scores=tta_scores(labels[rows], probabilities),
            seconds=1.0,
            device="cpu",
            precision="float32",
        )
        study.write_epoch(0, epoch_of(fold, 1))
        study.write_fold(0, result, catalog.table)
    score = float(np.mean([study.fold(0, 0, fold).scores["tta_accuracy"] for fold in range(2)]))
    study.end_trial(0, "complete", "all 2 folds", score)
    seen = study.out_of_fold(0, 0)
    found = scores(seen["label"], seen["probability_leukemic"], seen["group"])
    accuracy = found["accuracy"]
    Best(
        study=name,
        study_uid="abcd1234",
        trial="0000",
        recipe=recipe,
        objective="tta_accuracy",
        score=BestScore.of(
            score,
            Correction(winner=0, raw=accuracy, scored=accuracy, bootstrap=accuracy, leave_fold_out=accuracy),
            [0, 1],
        ),
        noise=Noise(),
        num_complete=1,
        scores={metric: IntervalRecord.of(interval) for metric, interval in found.items()},
        majority_rate=majority_rate(seen["label"]),
        folds=2,
        folds_done=2,
        seeds=[0],
        n=len(seen),
        protocol=protocol,
        data=study.info.data,
        splits_sha256=splits.sha256(),
        versions={},
        commit="unknown",
        hardware={},
        command="python -m search.run",
    ).save(study.folder / "best.json")
    return study


def model_record(fingerprint: str) -> dict[str, Any]:
    """``model.json`` of a model that was trained on the data of this fingerprint."""
    texts = ("device", "commit", "command", "created")
    return {
        "study": "earlier",
        "study_uid": "abcd1234",
        "trial": "0000",
        "num_training_images": 48,
        "fingerprint": fingerprint,
        "splits_sha256": "0" * 64,
        "versions": {},
        **dict.fromkeys(texts, ""),
    }


def deliver(study: Study, *arguments: str | Path) -> int:
    return main(["--best", study.name, "--runs", str(study.folder.parent), "--device", "cpu", *map(str, arguments)])


def metrics_of(study: Study) -> dict:
    return json.loads((study.folder / "final" / "metrics.json").read_text())


def hidden(study: Study) -> list[str]:
    """Temporary files, which must not remain after a delivery."""
    return [path.name for path in study.folder.glob(".*") if path.name != ".final.lock"]


def copy_into(folder: Path, source: Path, pattern: str, rename: Callable[[str], str]) -> None:
    """Copy files below ``source`` into the same folders below ``folder``, under other names."""
    for path in sorted(source.glob(pattern)):
        target = folder / path.parent.relative_to(source) / rename(path.name)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, target)
