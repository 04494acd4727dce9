"""Worlds of the table in ``recorded/``: 40 recipes of 4 epochs, or as many as one wants resampled from it."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.racing.laddering.pairs import ByImage
from benchmarks.racing.laddering.world import World, scheduled_recipe
from benchmarks.racing.replaying.cached_race import TableCache
from benchmarks.racing.replaying.proposals import coordinates
from benchmarks.racing.replaying.replays import FIRST_TUNING_SEED
from benchmarks.racing.replaying.resampling import Components, Landscape, fit, resample
from benchmarks.racing.replaying.table import CURVES, Table, read_table


@dataclass(frozen=True, kw_only=True)
class Recorded:
    """Where worlds of a recorded table come from. Settings of other methods are tuned on resampled tables."""

    folder: Path
    workers: tuple[int, ...]
    num_recipes: int | None = None
    """Of tables that are resampled, another one for each seed; None: the recorded table itself."""

    family: str = "recorded"
    own_workers: int | None = 8

    @property
    def name(self) -> str:
        """As it appears in tables and in ``--only``."""
        return "recorded 40, 4 epochs" if self.num_recipes is None else f"resampled {self.num_recipes}, 4 epochs"

    def missing(self) -> str | None:
        """Why there are no worlds here; None if there are."""
        return None if (self.folder / CURVES).is_file() else f"{self.folder} contains no recorded table"

    def world(self, seed: int) -> World:
        """The recorded table as one of its seeds, or a resampled table."""
        table = _read(self.folder)
        if self.num_recipes is None and seed < FIRST_TUNING_SEED:
            return _recorded_world(self.folder, seed % len(table.scores))
        components, landscape = _model(self.folder)
        count = self.num_recipes or len(table.recipes)
        return world_of(resample(table, components, landscape, count, seed).seen)


@functools.cache
def _read(folder: Path) -> Table:
    return read_table(folder)


@functools.cache
def _recorded_world(folder: Path, seed: int) -> World:
    return world_of(_read(folder).of_seed(seed))


@functools.cache
def _model(folder: Path) -> tuple[Components, Landscape]:
    table = _read(folder)
    components = fit(table)
    return components, Landscape(table.space, table.recipes, components.level)


def world_of(table: Table) -> World:
    """The first seed of a table in which every image is a group."""
    num_recipes, num_epochs = len(table.recipes), table.accuracy.shape[3]
    assert len(np.unique(table.groups)) == len(table.groups)
    return World(
        recipes=tuple(
            scheduled_recipe(
                num_epochs,
                recipe["optimizer.name"],
                recipe.get("optimizer.restart_epochs"),
                recipe.get("optimizer.restart_factor"),
            )
            for recipe in table.recipes
        ),
        accuracy=table.accuracy[0],
        losses=np.full((num_recipes, num_epochs), np.nan),
        scores=table.scores[0],
        seconds=table.seconds[0],
        pairs=ByImage(table.right[0], table.fold_rows),
        alone=TableCache(table),
        parameters=coordinates(table.space, table.recipes),
    )
