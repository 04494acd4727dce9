"""Recorded searches: every recipe of a list trained in full, so that strategies can be replayed on the results.

A record is a folder with

    curves.parquet       recipe_id, recipe (JSON), seed, fold, epoch, seconds, accuracy: validation without TTA
    predictions.parquet  recipe_id, seed, fold, image_id, group, label, probability_leukemic: under TTA, at a fold's end
    rungs.parquet        as predictions.parquet, with ``epochs``, ``seconds``: fold 0 under a shorter, complete schedule
    record.json          what was recorded, and on what

``seconds`` of a fold's last epoch include its end: precise BatchNorm over all images and prediction under TTA.
"""

from __future__ import annotations

import itertools
import json
import multiprocessing
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from leukemia.base import provenance
from leukemia.base.errors import UserError
from leukemia.base.files import atomic, read_json, read_record, write_json
from leukemia.config.presets import PRESETS
from leukemia.config.recipe import Recipe
from leukemia.config.results import FoldResult
from leukemia.data.catalog import Catalog, read_catalog
from leukemia.data.folds import choose_protocol, make_splits
from leukemia.data.images import View, open_images
from leukemia.data.location import locate
from leukemia.training.crossval import cross_validate
from leukemia.training.device import choose_device, describe_device
from search.policy.space import Space, fixed_start, make_space

PARTS = "parts"
"""Folder of a record in the making: one file per recipe, seed and fold, so that it can be interrupted."""


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What a record holds."""

    data: str
    settings: dict[str, Any]
    """Recipe fields that are fixed."""

    num_recipes: int
    num_folds: int
    num_seeds: int
    num_images: int | None
    """A draw of so many images, its classes as even as the data allow; None: all."""

    def space(self) -> Space:
        """The search space that the recipes are drawn from."""
        catalog = read_catalog(locate(self.data))
        start = fixed_start(PRESETS["debug"](), self.settings).resolved(catalog.smallest_side_px)
        return make_space(start, self.settings)


class Draw:
    """Proposes values at random, as Optuna's random sampler would."""

    def __init__(self, generator: np.random.Generator) -> None:
        self._generator = generator

    def real(self, key: str, low: float, high: float, log: bool) -> float:
        if log:
            return float(np.exp(self._generator.uniform(np.log(low), np.log(high))))
        return float(self._generator.uniform(low, high))

    def choice(self, key: str, choices: tuple[Any, ...]) -> Any:
        return choices[int(self._generator.integers(len(choices)))]


def draw_recipes(space: Space, count: int) -> list[Recipe]:
    """The starting recipe, then random ones, the same each time."""
    generator = np.random.default_rng(0)
    return [space.start, *(space.propose(Draw(generator)) for _ in range(count - 1))]


def record(wanted: Wanted, folder: Path, num_workers: int) -> None:
    """Train what is missing, then write the two tables.

    Raises:
        UserError: the data cannot be read, or the folder holds a record of something else.
    """
    plan = folder / "wanted.json"
    asked = json.loads(json.dumps(vars(wanted)))
    begun = read_record(plan, {}) if plan.is_file() else asked
    other = sorted(key for key in {*asked, *begun} if asked.get(key) != begun.get(key))
    if other:
        raise UserError(f"{plan}: the record in the making has another {', '.join(other)}; choose another folder")
    # A pool replaces a worker that dies at its start, without end: what cannot be read is refused here.
    _material(wanted)
    (folder / PARTS).mkdir(parents=True, exist_ok=True)
    write_json(plan, asked)
    jobs = list(itertools.product(range(wanted.num_seeds), range(wanted.num_recipes), range(wanted.num_folds)))
    missing = [job for job in jobs if not _part(folder, job).is_file()]
    print(f"{len(jobs) - len(missing)} of {len(jobs)} folds are recorded", flush=True)
    context = multiprocessing.get_context("spawn")
    with context.Pool(num_workers, _begin, (wanted, folder)) as pool:
        for done, job in enumerate(pool.imap_unordered(_record_fold, missing), start=len(jobs) - len(missing) + 1):
            print(f"{done}/{len(jobs)}: seed {job[0]}, recipe {job[1]}, fold {job[2]}", flush=True)
    _gather(wanted, folder, jobs)


def record_rungs(wanted: Wanted, folder: Path, num_workers: int, epochs: int) -> None:
    """Beside a record: fold 0 of every recipe and seed under a schedule of so many epochs, as a cheap first look."""
    jobs = list(itertools.product(range(wanted.num_seeds), range(wanted.num_recipes), [0]))
    _material(wanted)
    missing = [(*job, epochs) for job in jobs if not _rung(folder, job, epochs).is_file()]
    context = multiprocessing.get_context("spawn")
    with context.Pool(num_workers, _begin, (wanted, folder)) as pool:
        for seed, recipe in pool.imap_unordered(_record_rung, missing):
            print(f"rung of {epochs} epochs: seed {seed}, recipe {recipe}", flush=True)
    table, rungs = read_catalog(locate(wanted.data)).table, []
    for job in jobs:
        part = read_json(_rung(folder, job, epochs))
        seen = table.loc[part["rows"], ["image_id", "group", "label"]]
        key = {"recipe_id": job[1], "seed": job[0], "fold": 0, "epochs": epochs, "seconds": part["seconds"]}
        rungs.append(seen.assign(**key, probability_leukemic=part["probabilities"]))
    with atomic(folder / "rungs.parquet") as temporary:
        pd.concat(rungs, ignore_index=True).to_parquet(temporary, index=False)


def _rung(folder: Path, job: tuple[int, int, int], epochs: int) -> Path:
    return folder / PARTS / f"rung_{job[0]}_{job[1]:03d}_{epochs}.json"


def _record_rung(job: tuple[int, int, int, int]) -> tuple[int, int]:
    folder, catalog, images, folds, recipes = _STATE
    seed, number, fold, epochs = job
    recipe = recipes[number].with_settings({"train.seed": seed, "train.epochs": epochs})
    if recipe.optimizer.restart_epochs is not None:
        # A schedule cut off at a high rate says little.
        recipe = recipe.with_settings({"optimizer.restart_epochs": epochs})
    labels = catalog.table["label"].to_numpy(dtype=np.int64)
    others = [other for other in range(len(folds)) if other != fold]
    for report in cross_validate(recipe, images, labels, folds, device=choose_device("auto"), skip=others):
        if isinstance(report, FoldResult):
            content = {
                "rows": report.rows.tolist(),
                "probabilities": report.probabilities.tolist(),
                "seconds": report.seconds,
            }
            with atomic(_rung(folder, (seed, number, fold), epochs)) as temporary:
                temporary.write_text(json.dumps(content))
    return seed, number


def _part(folder: Path, job: tuple[int, int, int]) -> Path:
    seed, recipe, fold = job
    return folder / PARTS / f"{seed}_{recipe:03d}_{fold}.json"


Material = tuple[Catalog, np.ndarray, list[tuple[np.ndarray, np.ndarray]], list[Recipe]]
"""What every job needs: catalogue, images, folds and recipes."""


def _material(wanted: Wanted) -> Material:
    space = wanted.space()
    assert space.start.data.crop_px is not None
    assert space.start.data.size_px is not None
    catalog = read_catalog(locate(wanted.data))
    folds, recipes = _folds(wanted, catalog), draw_recipes(space, wanted.num_recipes)
    images = open_images(catalog, View(crop_px=space.start.data.crop_px, size_px=space.start.data.size_px))
    return catalog, images, folds, recipes


def _begin(wanted: Wanted, folder: Path) -> None:
    """Once per worker."""
    torch.set_num_threads(max(1, int(os.environ.get("OMP_NUM_THREADS", "1"))))
    global _STATE  # a worker process has one life and one job
    _STATE = (folder, *_material(wanted))


_STATE: tuple[Path, Catalog, np.ndarray, list[tuple[np.ndarray, np.ndarray]], list[Recipe]]


def _folds(wanted: Wanted, catalog: Catalog) -> list[tuple[np.ndarray, np.ndarray]]:
    """Training and validation rows of each fold, within the images drawn."""
    chosen = _chosen(wanted, catalog.table["label"].to_numpy())
    splits = make_splits(catalog, wanted.num_folds, 0, choose_protocol(catalog, None))
    return [tuple(np.intersect1d(rows, chosen) for rows in pair) for pair in splits.rows(catalog)]  # type: ignore[misc]


def _chosen(wanted: Wanted, labels: np.ndarray) -> np.ndarray:
    """Rows of the draw: the smaller class as far as half of it, the rest from the larger one."""
    if wanted.num_images is None:
        return np.arange(len(labels))
    generator = np.random.default_rng(0)
    by_class = sorted((generator.permutation(np.flatnonzero(labels == label)) for label in (0, 1)), key=len)
    few = by_class[0][: wanted.num_images // 2]
    return np.concatenate([few, by_class[1][: wanted.num_images - len(few)]])


def _record_fold(job: tuple[int, int, int]) -> tuple[int, int, int]:
    folder, catalog, images, folds, recipes = _STATE
    seed, number, fold = job
    recipe = recipes[number].with_settings({"train.seed": seed})
    labels = catalog.table["label"].to_numpy(dtype=np.int64)
    curve = []
    others = [other for other in range(len(folds)) if other != fold]
    for report in cross_validate(recipe, images, labels, folds, device=choose_device("auto"), skip=others):
        if not isinstance(report, FoldResult):
            curve.append({"epoch": report.epoch, "seconds": report.seconds, "accuracy": report.validation_accuracy})
            continue
        curve[-1]["seconds"] += report.seconds - sum(epoch["seconds"] for epoch in curve)
        content = {
            "recipe": recipes[number].flat(),
            "curve": curve,
            "rows": report.rows.tolist(),
            "probabilities": report.probabilities.tolist(),
            "device": report.device,
            "precision": report.precision,
        }
        with atomic(_part(folder, job)) as temporary:
            temporary.write_text(json.dumps(content))
    return job


def _gather(wanted: Wanted, folder: Path, jobs: list[tuple[int, int, int]]) -> None:
    """Write the tables and what they are."""
    table = read_catalog(locate(wanted.data)).table
    curves, predictions, devices = [], [], set()
    for job in jobs:
        part = read_json(_part(folder, job))
        seed, number, fold = job
        key = {"recipe_id": number, "seed": seed, "fold": fold}
        recipe = json.dumps(part["recipe"], sort_keys=True)
        curves.extend({**key, "recipe": recipe, **epoch} for epoch in part["curve"])
        devices.add(f"{part['device']}, {part['precision']}")
        seen = table.loc[part["rows"], ["image_id", "group", "label"]]
        predictions.append(seen.assign(**key, probability_leukemic=part["probabilities"]))
    columns = ["recipe_id", "recipe", "seed", "fold", "epoch", "seconds", "accuracy"]
    with atomic(folder / "curves.parquet") as temporary:
        pd.DataFrame(curves)[columns].to_parquet(temporary, index=False)
    columns = ["recipe_id", "seed", "fold", "image_id", "group", "label", "probability_leukemic"]
    with atomic(folder / "predictions.parquet") as temporary:
        pd.concat(predictions, ignore_index=True)[columns].to_parquet(temporary, index=False)
    write_json(
        folder / "record.json",
        {
            "wanted": vars(wanted) | {"data": Path(wanted.data).name},
            "space": wanted.space().describe(),
            "devices": sorted(devices),
            "threads": int(os.environ.get("OMP_NUM_THREADS", "1")),
            "versions": provenance.versions(),
            "commit": provenance.commit(),
            "hardware": provenance.hardware(describe_device(choose_device("auto"))),
        },
    )
