"""Record learning curves over a long schedule, fold by fold; interrupted and resumed at will."""

from __future__ import annotations

import json
import multiprocessing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from benchmarks.racing.replaying.recording import draw_recipes
from benchmarks.racing.rungs.curve import train_curve
from benchmarks.racing.rungs.jobs import Extent, Job, jobs_of
from benchmarks.racing.rungs.tables import ABOUT, IMAGES, PARTS, gather, save_part, scores_of
from leukemia.base import provenance
from leukemia.base.errors import UserError
from leukemia.base.files import atomic, read_json, write_json
from leukemia.config.presets import PRESETS
from leukemia.config.recipe import Recipe
from leukemia.data.catalog import read_catalog
from leukemia.data.folds import choose_protocol, make_splits
from leukemia.data.images import open_images
from leukemia.data.location import locate
from leukemia.data.view import view_of
from leukemia.training.train import Split
from search.policy.dimensions import without_reasons
from search.policy.space import Space, fixed_start, make_space


@dataclass(frozen=True, kw_only=True)
class RungSpec:
    """What is recorded."""

    data: str
    extent: Extent
    settings: dict[str, Any]
    """Recipe fields that all recipes share, ``train.epochs`` among them."""

    full: tuple[int, ...]
    """Epochs after which all forms are measured on all validation rows; the last epoch is one of them."""

    num_training: int
    """Training images of a fold, as many of each class as the data allow."""

    num_sample: int
    """Validation images of a fold that are measured after all other epochs."""

    def space(self) -> Space:
        """The search space from which recipes are drawn."""
        start = fixed_start(PRESETS["seed"](), self.settings).resolved(read_catalog(locate(self.data)).sizes)
        return make_space(start, self.settings)


@dataclass(frozen=True)
class Material:
    """What every job needs."""

    spec: RungSpec
    recipes: list[Recipe]
    splits: list[Split]
    samples: list[np.ndarray]


def material_of(spec: RungSpec) -> Material:
    """Read the data and draw recipes and images, always the same.

    Raises:
        UserError: the data cannot be read, or do not suffice.
    """
    catalog, space = read_catalog(locate(spec.data)), spec.space()
    images = open_images(catalog, view_of(space.start))
    labels = catalog.table["label"].to_numpy(dtype=np.int64)
    splits, samples = [], []
    folds = make_splits(catalog, spec.extent.num_folds, 0, choose_protocol(catalog, None)).rows(catalog)
    for fold, (training, validation) in enumerate(folds):
        generator = np.random.default_rng(fold)
        drawn = _drawn(generator, training, labels, spec.num_training)
        splits.append(Split(images=images, labels=labels, training=drawn, validation=validation))
        samples.append(np.sort(generator.permutation(validation)[: spec.num_sample]))
    return Material(spec, draw_recipes(space, spec.extent.num_recipes), splits, samples)


def _drawn(generator: np.random.Generator, rows: np.ndarray, labels: np.ndarray, count: int) -> np.ndarray:
    """At most half from the smaller class, the rest from the larger one."""
    if len(rows) < count:
        raise UserError(f"expected at least {count} training images in each fold, found {len(rows)}")
    by_class = sorted((generator.permutation(rows[labels[rows] == label]) for label in (0, 1)), key=len)
    few = by_class[0][: count // 2]
    return np.sort(np.concatenate([few, by_class[1][: count - len(few)]]))


def record(spec: RungSpec, folder: Path, num_workers: int) -> None:
    """Train what is missing. An interrupted record keeps what is finished, and goes on when called again.

    Raises:
        UserError: the data cannot be read, or the folder contains a record with other settings.
    """
    material = material_of(spec)
    about = _about(material)
    _require_same(folder / ABOUT, about)
    (folder / PARTS).mkdir(parents=True, exist_ok=True)
    write_json(folder / ABOUT, about)
    _write_images(folder, material)
    try:
        context = multiprocessing.get_context("spawn")
        with context.Pool(num_workers, _start_worker, (spec, folder)) as pool:
            while jobs := _ready(folder, spec.extent):
                for job in pool.imap_unordered(_record_job, jobs):
                    print(f"seed {job.seed}, recipe {job.recipe}, fold {job.fold}", flush=True)
    finally:
        gather(folder)


def _about(material: Material) -> dict[str, Any]:
    spec, space = material.spec, material.spec.space()
    asked = asdict(spec) | {"data": Path(spec.data).name}
    return {
        "spec": json.loads(json.dumps(asked)),
        "space": without_reasons(space.describe()),
        "recipes": [recipe.flat() for recipe in material.recipes],
        "versions": provenance.versions(),
        "commit": provenance.commit(),
        "hardware": provenance.hardware("cpu, one thread"),
    }


def _require_same(path: Path, about: dict[str, Any]) -> None:
    if path.is_file():
        before = read_json(path)
        other = [name for name in ("spec", "space", "recipes") if before[name] != json.loads(json.dumps(about[name]))]
        if other:
            raise UserError(f"{path}: the record there has a different {', '.join(other)}; choose another folder")


def _write_images(folder: Path, material: Material) -> None:
    table = read_catalog(locate(material.spec.data)).table
    parts = [
        table.loc[split.validation, ["image_id", "label"]].assign(
            row=split.validation, fold=fold, sample=np.isin(split.validation, sample)
        )
        for fold, (split, sample) in enumerate(zip(material.splits, material.samples, strict=True))
    ]
    with atomic(folder / IMAGES) as temporary:
        pd.concat(parts, ignore_index=True).to_parquet(temporary, index=False, compression="zstd")


def _ready(folder: Path, extent: Extent) -> list[Job]:
    """The unfinished jobs that no unfinished job precedes in choosing."""
    scores = scores_of(folder)
    ready: list[Job] = []

    def score(job: Job) -> float:
        if job not in scores:
            raise LookupError
        return scores[job]

    try:
        for job in jobs_of(extent, score):
            if job not in scores:
                ready.append(job)
    except LookupError:
        # The next recipes are chosen by jobs that are not finished.
        pass
    return ready


def _start_worker(spec: RungSpec, folder: Path) -> None:
    """Load what the jobs of this worker process need."""
    torch.set_num_threads(1)
    global _STATE  # set once in each worker process
    _STATE = folder, material_of(spec)


_STATE: tuple[Path, Material]


def _record_job(job: Job) -> Job:
    folder, material = _STATE
    recipe = material.recipes[job.recipe].with_settings({"train.seed": job.seed})
    curve = train_curve(
        recipe, material.splits[job.fold], job.fold, full=material.spec.full, sample=material.samples[job.fold]
    )
    save_part(folder, job, curve)
    return job
