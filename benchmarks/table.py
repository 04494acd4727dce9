"""Tables of recipes trained in full, recorded or resampled: what a search may see of them, and what it never sees."""

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
from rungs import RUNGS, Rungs, read_rungs

from leukemia.base.errors import UserError
from leukemia.base.files import atomic, read_json, write_json
from leukemia.scoring.metrics import THRESHOLD

CURVES, PREDICTIONS, ABOUT = "curves.parquet", "predictions.parquet", "record.json"
"""Files of a recorded table, as ``recording`` writes them."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Seen:
    """What a search may see. Images are those of fold 0, then of fold 1, and so on."""

    recipes: tuple[Mapping[str, Any], ...]
    """Flat keys; recipe 0 is the starting recipe."""

    space: Mapping[str, Any]
    """As ``search.policy.space.Space.describe`` tells it."""

    labels: np.ndarray
    """int64 (images,), 0 or 1."""

    groups: np.ndarray
    """int64 (images,)."""

    folds: np.ndarray
    """int64 (images,), ascending."""

    probabilities: np.ndarray
    """float32 (seeds, recipes, images), of class 1; seed 0 is a trial's own, the others are for its repeats."""

    accuracy: np.ndarray
    """float64 (seeds, recipes, folds, epochs): validation without TTA."""

    seconds: np.ndarray
    """float64 (seeds, recipes, folds, epochs), of a device."""

    rungs: Rungs | None = None

    @property
    def num_folds(self) -> int:
        """K."""
        return int(self.accuracy.shape[2])

    @cached_property
    def fold_rows(self) -> list[slice]:
        """The images of each fold."""
        ends = np.searchsorted(self.folds, np.arange(self.num_folds + 1))
        return [slice(int(start), int(end)) for start, end in itertools.pairwise(ends)]

    @cached_property
    def right(self) -> np.ndarray:
        """Whether an image is answered correctly, bool (seeds, recipes, images)."""
        return (self.probabilities >= THRESHOLD) == self.labels

    @cached_property
    def scores(self) -> np.ndarray:
        """Accuracy of each fold under TTA, float64 (seeds, recipes, folds)."""
        return np.stack([self.right[:, :, rows].mean(axis=2) for rows in self.fold_rows], axis=2)

    @cached_property
    def rung_right(self) -> np.ndarray:
        """As ``right`` of the first rungs, bool (seeds, recipes, images of fold 0)."""
        assert self.rungs is not None
        return (self.rungs.probabilities >= THRESHOLD) == self.labels[self.fold_rows[0]]

    @cached_property
    def rung_scores(self) -> np.ndarray:
        """As ``scores`` of the first rungs, float64 (seeds, recipes)."""
        return self.rung_right.mean(axis=2)

    @cached_property
    def fold_seconds(self) -> np.ndarray:
        """Device seconds of each fold, float64 (seeds, recipes, folds)."""
        return self.seconds.sum(axis=3)

    def of_seed(self, seed: int) -> Seen:
        """The same of one seed."""
        one = slice(seed, seed + 1)
        return replace(
            self,
            probabilities=self.probabilities[one],
            accuracy=self.accuracy[one],
            seconds=self.seconds[one],
            rungs=None if self.rungs is None else self.rungs.of_seed(seed),
        )


@dataclass(frozen=True, kw_only=True, eq=False)
class View:
    """One search's share of a table, and the truth about its recipes."""

    seen: Seen

    truth: np.ndarray
    """float64 (recipes,): accuracy in what is not seen."""

    @property
    def best(self) -> float:
        """Truth of the best recipe."""
        return float(self.truth.max())

    @property
    def found_by_all(self) -> float:
        """Truth of the recipe that a search picks once it has seen every recipe in full."""
        return float(self.truth[self.seen.scores[0].mean(axis=1).argmax()])


def read_table(folder: Path) -> Seen:
    """All seeds of a recorded table.

    Raises:
        FileNotFoundError: the folder holds no table.
        UserError: recipes, seeds or folds are missing in it.
    """
    missing = [name for name in (CURVES, PREDICTIONS, ABOUT) if not (folder / name).is_file()]
    if missing:
        raise FileNotFoundError(f"{folder}: expected a recorded table, but found no {', '.join(missing)}")
    curves, predictions = pd.read_parquet(folder / CURVES), pd.read_parquet(folder / PREDICTIONS)
    key = ["seed", "recipe_id", "fold"]
    curves, predictions = curves.sort_values([*key, "epoch"]), predictions.sort_values([*key, "image_id"])
    shape = (*(int(curves[name].max()) + 1 for name in key), int(curves["epoch"].max()))
    if len(curves) != np.prod(shape) or len(predictions) % (shape[0] * shape[1]):
        raise UserError(f"{folder}: expected every epoch of (seeds, recipes, folds, epochs) = {shape}; record it anew")
    images = predictions[(predictions["seed"] == 0) & (predictions["recipe_id"] == 0)]
    recipes = curves[curves["seed"] == 0].drop_duplicates("recipe_id")["recipe"]
    num_images = int((images["fold"] == 0).sum())
    return Seen(
        recipes=tuple(json.loads(recipe) for recipe in recipes),
        space=read_json(folder / ABOUT)["space"],
        labels=images["label"].to_numpy(dtype=np.int64),
        groups=pd.factorize(images["group"])[0].astype(np.int64),
        folds=images["fold"].to_numpy(dtype=np.int64),
        probabilities=predictions["probability_leukemic"].to_numpy(dtype=np.float32).reshape(shape[0], shape[1], -1),
        accuracy=curves["accuracy"].to_numpy(dtype=np.float64).reshape(shape),
        seconds=curves["seconds"].to_numpy(dtype=np.float64).reshape(shape),
        rungs=read_rungs(folder, (shape[0], shape[1], num_images), shape[3]),
    )


def take_turns(recorded: Seen) -> tuple[View, ...]:
    """A search sees one seed and is measured on the others: a view for each seed.

    Raises:
        UserError: there is one seed only.
    """
    seeds = range(len(recorded.scores))
    if len(seeds) < 2:
        raise UserError("a table of one seed has nothing that a search does not see; record it with --seeds 2")
    means = recorded.scores.mean(axis=2)
    return tuple(View(seen=recorded.of_seed(seed), truth=np.delete(means, seed, axis=0).mean(axis=0)) for seed in seeds)


IDLE_QUANTILE = 0.1
"""Of the seconds of equal work on a busy machine: about what it takes on an idle one."""


def even_seconds(curves: pd.DataFrame) -> pd.DataFrame:
    """The curves with the seconds that their work takes on an idle machine.

    A record made beside other work has times that tell of that work. Where recipes differ in nothing that costs time
    but the optimizer, an epoch takes what the quickest tenth of its kind took (optimizer, number of the epoch).
    """
    optimizer = curves["recipe"].map(lambda recipe: json.loads(recipe)["optimizer.name"])
    even = curves.groupby([optimizer, "epoch"])["seconds"].transform(lambda seconds: seconds.quantile(IDLE_QUANTILE))
    return curves.assign(seconds=even)


def reduce_table(folder: Path, to: Path, *, even: bool) -> None:
    """Copy a recorded table in a form small enough to ship: numbers as float32, and compressed.

    Args:
        even: replace the seconds, see ``even_seconds``.
    """
    read_table(folder)
    to.mkdir(parents=True, exist_ok=True)
    for name in (name for name in (CURVES, PREDICTIONS, RUNGS) if (folder / name).is_file()):
        frame = pd.read_parquet(folder / name)
        if even and name == CURVES:
            frame = even_seconds(frame)
        if even and name == RUNGS:
            frame = frame.drop(columns="seconds")
        wide = frame.select_dtypes("float64").columns
        with atomic(to / name) as temporary:
            frame.astype(dict.fromkeys(wide, "float32")).to_parquet(temporary, index=False, compression="zstd")
    words = "numbers as float32, nothing left out"
    if even:
        words += "; seconds made even: an epoch takes what the quickest tenth of its optimizer's took"
    write_json(to / ABOUT, read_json(folder / ABOUT) | {"reduced": words})
