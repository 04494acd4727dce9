"""Finished studies of given recipes, whose trials classify as many images correctly as asked, without training."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from helpers.studies import info_of, tta_scores
from helpers.worlds import epoch_of

from leukemia.config.protocol import Protocol
from leukemia.config.recipe import Recipe
from leukemia.config.results import FoldResult
from leukemia.data.catalog import Catalog
from leukemia.data.folds import Splits, make_splits
from leukemia.study.data_source import DataSource
from leukemia.study.folder import Study
from search.policy.rules import Rules
from search.trials.history import replay
from search.trials.outcome import write_best

EPOCHS = 3
RECIPE = Recipe().with_settings({"train.epochs": EPOCHS, "data.size_px": 32}).resolved([(32, 32)])


def recipes_of(*settings: Mapping[str, Any]) -> list[Recipe]:
    """One recipe for each of these settings."""
    return [RECIPE.with_settings(each).resolved([(32, 32)]) for each in settings]


def compared_study(
    folder: Path,
    catalog: Catalog,
    recipes: Sequence[Recipe],
    *,
    skills: Sequence[float] | None = None,
    ends: Mapping[int, tuple[str, int]] | None = None,
    repeats: Mapping[int, Sequence[int]] | None = None,
    folds: int = 2,
    seed: int = 0,
    protocol: Protocol = "grouped",
    objective: str = "tta_accuracy",
    **info: Any,
) -> Study:
    """A study with a trial for each recipe, and its winner if a trial is complete.

    Args:
        skills: by trial, the share of images that are classified correctly; of two trials, the better one classifies
            all images correctly that the other one does. By default they grow with the number.
        ends: by trial, how it ended and after how many folds; by default all are complete.
        repeats: by trial, further seeds.
        seed: of the split.
        info: further fields of ``study.json``.
    """
    splits = make_splits(catalog, folds, seed, protocol)
    study = Study.create(
        folder,
        info_of(
            folds=folds,
            seed=seed,
            protocol=protocol,
            objective=objective,
            data=DataSource(uri="cells", fingerprint=catalog.fingerprint),
            splits_sha256=splits.sha256(),
            **info,
        ),
    )
    splits.save(folder / "splits.json")
    for number, recipe in enumerate(recipes):
        study.begin_trial(number, recipe)
        state, done = (ends or {}).get(number, ("complete", folds))
        skill = 0.6 + 0.3 * number / len(recipes) if skills is None else skills[number]
        for each in (recipe.train.seed, *(repeats or {}).get(number, ())):
            _train(study, catalog, splits, number, each, skill, done)
        scores = [study.fold(number, recipe.train.seed, fold).scores[study.objective] for fold in range(done)]
        score = float(np.mean(scores)) if state == "complete" else None
        study.end_trial(number, state, "as asked", score)  # type: ignore[arg-type]
    progress = replay(study, catalog, Rules(num_folds=folds, objective=objective, racing=False, repeats=0))
    if progress.race.winner() is not None:
        write_best(study, catalog, splits, progress)
    return study


def _train(study: Study, catalog: Catalog, splits: Splits, number: int, seed: int, skill: float, done: int) -> None:
    for fold, (_, rows) in enumerate(list(splits.rows(catalog))[:done]):
        for epoch in range(1, EPOCHS + 1):
            accuracy = 0.5 + (skill - 0.5) * epoch / EPOCHS + 0.01 * fold
            study.write_epoch(
                number, dataclasses.replace(epoch_of(fold, epoch, seed=seed), validation_accuracy=accuracy)
            )
        labels = catalog.table["label"].to_numpy()[rows]
        is_correct = np.random.default_rng([fold, seed]).random(len(rows)) < skill
        probabilities = np.where(is_correct == (labels == 1), 0.8, 0.2)
        result = FoldResult(
            seed=seed,
            fold=fold,
            rows=rows,
            probabilities=probabilities,
            scores=tta_scores(labels, probabilities),
            seconds=60.0 + number,
            device="cpu (test)",
            precision="float32",
        )
        study.write_fold(number, result, catalog.table)
