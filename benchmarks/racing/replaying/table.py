"""Results of recipes that were trained in full, recorded or resampled: what a search may see, and the hidden truth."""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from leukemia.base.errors import UserError
from leukemia.base.files import atomic, read_json, write_json
from leukemia.scoring.metrics import THRESHOLD

CURVES, PREDICTIONS, ABOUT = "curves.parquet", "predictions.parquet", "record.json"
"""Files of a recorded table, as ``recording`` writes them."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Table:
    """What a search may see. Images are ordered by fold: those of fold 0 first, then those of fold 1, and so on."""

    recipes: tuple[Mapping[str, Any], ...]
    """Flat keys; recipe 0 is the starting recipe."""

    space: Mapping[str, Any]
    """As returned by ``search.policy.space.Space.describe``."""

    labels: np.ndarray
    """int64 (images,), 0 or 1."""

    groups: np.ndarray
    """int64 (images,)."""

    folds: np.ndarray
    """int64 (images,), ascending."""

    probabilities: np.ndarray
    """float32 (seeds, recipes, images), of class 1; seed 0 is for the trial itself, the other seeds for its repeats."""

    accuracy: np.ndarray
    """float64 (seeds, recipes, folds, epochs): validation accuracy without TTA."""

    seconds: np.ndarray
    """float64 (seeds, recipes, folds, epochs): device seconds."""

    @property
    def num_folds(self) -> int:
        """Folds of the cross-validation."""
        return int(self.accuracy.shape[2])

    @cached_property
    def fold_rows(self) -> list[slice]:
        """The images of each fold, as slices of the image axis."""
        ends = np.searchsorted(self.folds, np.arange(self.num_folds + 1))
        return [slice(int(start), int(end)) for start, end in itertools.pairwise(ends)]

    @cached_property
    def right(self) -> np.ndarray:
        """Whether an image is classified correctly, bool (seeds, recipes, images)."""
        return (self.probabilities >= THRESHOLD) == self.labels

    @cached_property
    def scores(self) -> np.ndarray:
        """Accuracy of each fold under TTA, float64 (seeds, recipes, folds)."""
        return np.stack([self.right[:, :, rows].mean(axis=2) for rows in self.fold_rows], axis=2)

    @cached_property
    def fold_seconds(self) -> np.ndarray:
        """Device seconds of each fold, float64 (seeds, recipes, folds)."""
        return self.seconds.sum(axis=3)

    def of_seed(self, seed: int) -> Table:
        """The table restricted to one seed."""
        one = slice(seed, seed + 1)
        return replace(
            self,
            probabilities=self.probabilities[one],
            accuracy=self.accuracy[one],
            seconds=self.seconds[one],
        )


@dataclass(frozen=True, kw_only=True, eq=False)
class View:
    """The part of a table that one search may see, and the true accuracy of its recipes."""

    seen: Table

    truth: np.ndarray
    """float64 (recipes,): accuracy on data that the search never sees."""

    @property
    def best(self) -> float:
        """True accuracy of the best recipe."""
        return float(self.truth.max())

    @property
    def found_by_all(self) -> float:
        """True accuracy of the recipe that a search picks after training every recipe in full."""
        return float(self.truth[self.seen.scores[0].mean(axis=1).argmax()])


def read_table(folder: Path) -> Table:
    """Read all seeds of a recorded table.

    Raises:
        FileNotFoundError: the folder contains no table.
        UserError: recipes, seeds or folds are missing.
    """
    missing = [name for name in (CURVES, PREDICTIONS, ABOUT) if not (folder / name).is_file()]
    if missing:
        raise FileNotFoundError(f"{folder}: expected a recorded table, but found no {', '.join(missing)}")
    curves, predictions = pd.read_parquet(folder / CURVES), pd.read_parquet(folder / PREDICTIONS)
    key = ["seed", "recipe_id", "fold"]
    curves, predictions = curves.sort_values([*key, "epoch"]), predictions.sort_values([*key, "image_id"])
    shape = (*(int(curves[name].max()) + 1 for name in key), int(curves["epoch"].max()))
    if len(curves) != np.prod(shape) or len(predictions) % (shape[0] * shape[1]):
        raise UserError(f"{folder}: expected every epoch of (seeds, recipes, folds, epochs) = {shape}; record it again")
    images = predictions[(predictions["seed"] == 0) & (predictions["recipe_id"] == 0)]
    recipes = curves[curves["seed"] == 0].drop_duplicates("recipe_id")["recipe"]
    return Table(
        recipes=tuple(json.loads(recipe) for recipe in recipes),
        space=read_json(folder / ABOUT)["space"],
        labels=images["label"].to_numpy(dtype=np.int64),
        groups=pd.factorize(images["group"])[0].astype(np.int64),
        folds=images["fold"].to_numpy(dtype=np.int64),
        probabilities=predictions["probability_leukemic"].to_numpy(dtype=np.float32).reshape(shape[0], shape[1], -1),
        accuracy=curves["accuracy"].to_numpy(dtype=np.float64).reshape(shape),
        seconds=curves["seconds"].to_numpy(dtype=np.float64).reshape(shape),
    )


def views_by_seed(recorded: Table) -> tuple[View, ...]:
    """One view per seed: the search sees that seed and is scored on the others.

    Raises:
        UserError: the table has only one seed.
    """
    seeds = range(len(recorded.scores))
    if len(seeds) < 2:
        raise UserError("a table with one seed has no held-out results to score a search on; record it with --seeds 2")
    means = recorded.scores.mean(axis=2)
    return tuple(View(seen=recorded.of_seed(seed), truth=np.delete(means, seed, axis=0).mean(axis=0)) for seed in seeds)


IDLE_QUANTILE = 0.1
"""Quantile of the times of equal work on a busy machine that approximates the time on an idle one."""


def even_seconds(curves: pd.DataFrame) -> pd.DataFrame:
    """Replace the seconds of the curves by estimates for an idle machine.

    Times recorded while other programs ran reflect those programs. If recipes differ in cost only by their optimizer,
    an epoch is assigned the 10 % quantile of the times of its kind (same optimizer, same epoch number).
    """
    optimizer = curves["recipe"].map(lambda recipe: json.loads(recipe)["optimizer.name"])
    even = curves.groupby([optimizer, "epoch"])["seconds"].transform(lambda seconds: seconds.quantile(IDLE_QUANTILE))
    return curves.assign(seconds=even)


def reduce_table(folder: Path, to: Path, *, even: bool) -> None:
    """Copy a recorded table in a form small enough to ship: compressed, with numbers as float32.

    Args:
        even: replace the seconds, see ``even_seconds``.
    """
    read_table(folder)
    to.mkdir(parents=True, exist_ok=True)
    for name in (CURVES, PREDICTIONS):
        frame = pd.read_parquet(folder / name)
        if even and name == CURVES:
            frame = even_seconds(frame)
        wide = frame.select_dtypes("float64").columns
        with atomic(to / name) as temporary:
            frame.astype(dict.fromkeys(wide, "float32")).to_parquet(temporary, index=False, compression="zstd")
    changes = "numbers as float32, nothing left out"
    if even:
        changes += "; seconds replaced by the 10 % quantile of each optimizer and epoch number"
    write_json(to / ABOUT, read_json(folder / ABOUT) | {"reduced": changes})
