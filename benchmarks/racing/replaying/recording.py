"""Record a table: train every recipe of a list in full, so that searches can be replayed on the results.

A record is a folder with

    curves.parquet       recipe_id, recipe (JSON), seed, fold, epoch, seconds, accuracy (validation, without TTA)
    predictions.parquet  recipe_id, seed, fold, image_id, group, label, probability_leukemic (with TTA, final epoch)
    record.json          what was recorded, with which versions and hardware

``seconds`` of the last epoch of a fold include precise BatchNorm over all images and prediction with TTA.
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
from leukemia.base.files import atomic, read_json, write_json
from leukemia.config.presets import PRESETS
from leukemia.config.recipe import Recipe
from leukemia.config.results import FoldResult
from leukemia.data.catalog import Catalog, read_catalog
from leukemia.data.folds import choose_protocol, make_splits
from leukemia.data.images import open_images
from leukemia.data.location import locate
from leukemia.data.view import view_of
from leukemia.training.crossval import cross_validate
from leukemia.training.device import choose_device, describe_device
from search.policy.dimensions import without_reasons
from search.policy.space import Space, fixed_start, make_space

PARTS = "parts"
"""Subfolder with one file per recipe, seed and fold, so that recording can be interrupted and resumed."""


@dataclass(frozen=True, kw_only=True)
class RecordSpec:
    """What to record."""

    data: str
    settings: dict[str, Any]
    """Fixed recipe fields."""

    num_recipes: int
    num_folds: int
    num_seeds: int
    num_images: int | None
    """Size of a random subset with classes as balanced as the data allow; None: all images."""

    def space(self) -> Space:
        """The search space from which recipes are drawn."""
        catalog = read_catalog(locate(self.data))
        start = fixed_start(PRESETS["debug"](), self.settings).resolved(catalog.sizes)
        return make_space(start, self.settings)


class RandomSampler:
    """Draws values at random, as Optuna's random sampler does."""

    def __init__(self, generator: np.random.Generator) -> None:
        self._generator = generator

    def real(self, key: str, low: float, high: float, log: bool) -> float:
        if log:
            return float(np.exp(self._generator.uniform(np.log(low), np.log(high))))
        return float(self._generator.uniform(low, high))

    def integer(self, key: str, low: int, high: int, log: bool, step: int) -> int:
        raise AssertionError("the built-in space has no integers")

    def choice(self, key: str, choices: tuple[Any, ...]) -> Any:
        return choices[int(self._generator.integers(len(choices)))]


def draw_recipes(space: Space, count: int) -> list[Recipe]:
    """The starting recipe followed by random ones, always the same."""
    generator = np.random.default_rng(0)
    return [space.start, *(space.propose(RandomSampler(generator)) for _ in range(count - 1))]


def record(spec: RecordSpec, folder: Path, num_workers: int) -> None:
    """Train the missing folds, then write the tables.

    Raises:
        UserError: the data cannot be read, or the folder contains a record with other settings.
    """
    plan = folder / "wanted.json"
    requested = json.loads(json.dumps(vars(spec)))
    started = read_json(plan) if plan.is_file() else requested
    other = sorted(key for key in {*requested, *started} if requested.get(key) != started.get(key))
    if other:
        raise UserError(f"{plan}: the unfinished record has a different {', '.join(other)}; choose another folder")
    # A pool restarts a worker that fails during start-up forever, so unreadable data must be refused here.
    _material(spec)
    (folder / PARTS).mkdir(parents=True, exist_ok=True)
    write_json(plan, requested)
    jobs = list(itertools.product(range(spec.num_seeds), range(spec.num_recipes), range(spec.num_folds)))
    missing = [job for job in jobs if not _part(folder, job).is_file()]
    print(f"{len(jobs) - len(missing)} of {len(jobs)} folds already recorded", flush=True)
    context = multiprocessing.get_context("spawn")
    with context.Pool(num_workers, _start_worker, (spec, folder)) as pool:
        for done, job in enumerate(pool.imap_unordered(_record_fold, missing), start=len(jobs) - len(missing) + 1):
            print(f"{done}/{len(jobs)}: seed {job[0]}, recipe {job[1]}, fold {job[2]}", flush=True)
    _gather(spec, folder, jobs)


def _part(folder: Path, job: tuple[int, int, int]) -> Path:
    seed, recipe, fold = job
    return folder / PARTS / f"{seed}_{recipe:03d}_{fold}.json"


Material = tuple[Catalog, np.ndarray, list[tuple[np.ndarray, np.ndarray]], list[Recipe]]
"""What every job needs: catalog, images, folds and recipes."""


def _material(spec: RecordSpec) -> Material:
    space = spec.space()
    catalog = read_catalog(locate(spec.data))
    folds, recipes = _folds(spec, catalog), draw_recipes(space, spec.num_recipes)
    images = open_images(catalog, view_of(space.start))
    return catalog, images, folds, recipes


def _start_worker(spec: RecordSpec, folder: Path) -> None:
    """Load what the jobs of this worker process need."""
    torch.set_num_threads(max(1, int(os.environ.get("OMP_NUM_THREADS", "1"))))
    global _STATE  # set once in each worker process
    _STATE = (folder, *_material(spec))


_STATE: tuple[Path, Catalog, np.ndarray, list[tuple[np.ndarray, np.ndarray]], list[Recipe]]


def _folds(spec: RecordSpec, catalog: Catalog) -> list[tuple[np.ndarray, np.ndarray]]:
    """Training and validation rows of each fold, restricted to the chosen images."""
    chosen = _chosen(spec, catalog.table["label"].to_numpy())
    splits = make_splits(catalog, spec.num_folds, 0, choose_protocol(catalog, None))
    return [tuple(np.intersect1d(rows, chosen) for rows in pair) for pair in splits.rows(catalog)]  # type: ignore[misc]


def _chosen(spec: RecordSpec, labels: np.ndarray) -> np.ndarray:
    """Rows of the subset: up to half from the smaller class, the rest from the larger one."""
    if spec.num_images is None:
        return np.arange(len(labels))
    generator = np.random.default_rng(0)
    by_class = sorted((generator.permutation(np.flatnonzero(labels == label)) for label in (0, 1)), key=len)
    few = by_class[0][: spec.num_images // 2]
    return np.concatenate([few, by_class[1][: spec.num_images - len(few)]])


def _record_fold(job: tuple[int, int, int]) -> tuple[int, int, int]:
    folder, catalog, images, folds, recipes = _STATE
    seed, number, fold = job
    recipe = recipes[number].with_settings({"train.seed": seed})
    labels = catalog.table["label"].to_numpy(dtype=np.int64)
    curve = []
    for report in cross_validate(recipe, images, labels, folds, device=choose_device("auto"), only=[fold]):
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


def _gather(spec: RecordSpec, folder: Path, jobs: list[tuple[int, int, int]]) -> None:
    """Write the tables and their description."""
    table = read_catalog(locate(spec.data)).table
    curves: list[dict[str, Any]] = []
    predictions, devices = [], set()
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
            "wanted": vars(spec) | {"data": Path(spec.data).name},
            "space": without_reasons(spec.space().describe()),
            "devices": sorted(devices),
            "threads": int(os.environ.get("OMP_NUM_THREADS", "1")),
            "versions": provenance.versions(),
            "commit": provenance.commit(),
            "hardware": provenance.hardware(describe_device(choose_device("auto"))),
        },
    )
