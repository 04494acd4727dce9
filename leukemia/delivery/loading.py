"""Load a delivered model from its folder, and compare it with the model that is to be delivered there."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pandas as pd
from torch import nn

from leukemia.base.errors import MissingFile, UserError
from leukemia.base.record import RESTORE
from leukemia.config.recipe import Recipe
from leukemia.plugins.registry import copy_of, require_loaded
from leukemia.study import layout
from leukemia.study.epochs import EPOCH_COLUMNS, read_epochs
from leukemia.study.models import TRAINED, ModelRecord, is_model
from leukemia.training.model import load_ensemble, load_model


def load_delivered(folder: Path) -> tuple[nn.Module, Recipe]:
    """Model and recipe from a folder written by ``leukemia.final``, without unpickling.

    Raises:
        MissingFile: the folder lacks the recipe or the weights.
        UserError: one of them is invalid, or another than the one delivered; or the network is that of a plug-in that
            has not been named: a copy in the folder is not run.
    """
    path = folder / layout.RECIPE
    if not path.is_file():
        raise MissingFile(f"--model {folder}: no {layout.RECIPE} found; give the folder {layout.FINAL!r} of a study")
    ensemble = None
    if record := ModelRecord.read(folder):
        record.check_files(folder, TRAINED)
        ensemble = record.ensemble
    recipe = Recipe.load(path)
    if not recipe.data.is_resolved:
        raise UserError(
            f"{path}: expected data.size_px and either data.crop_px or data.fit=resize, as in training; {RESTORE}"
        )
    if not recipe.model.is_resnet:
        require_loaded(recipe, [recipe.model.network], copies=folder / layout.PLUGINS)
    weights = folder / layout.WEIGHTS
    if ensemble is None:
        return load_model(weights, recipe), recipe
    return load_ensemble(weights, recipe, ensemble.members), recipe


def network_plugin(folder: Path, recipe: Recipe) -> Path | None:
    """The copy of the plug-in that a delivered model cannot be used without; None if it needs none."""
    if recipe.model.is_resnet:
        return None
    return copy_of(dict(recipe.plugins)[recipe.model.network], folder / layout.PLUGINS)


@dataclass(frozen=True, kw_only=True)
class Existing:
    """The model in a folder, which is the one asked for."""

    folder: Path
    model: nn.Module
    """On the CPU."""

    record: ModelRecord

    def epochs(self) -> pd.DataFrame:
        """The epochs of its training, as of ``read_epochs``; at least one.

        Raises:
            UserError: the file is missing or damaged.
        """
        self.record.check_files(self.folder, [layout.EPOCHS])
        path = self.folder / layout.EPOCHS
        epochs = read_epochs(path, EPOCH_COLUMNS)
        if epochs.empty:
            raise UserError(f"{path}: expected the epochs of the training, found none; {RESTORE}")
        return epochs


def find_existing(folder: Path, recipe: Recipe, wanted: ModelRecord) -> tuple[Existing | None, list[str]]:
    """The model in ``folder`` if it has this recipe, data and versions; else None, and what differs.

    Both are empty if nothing is there.

    Raises:
        UserError: the folder has something else than a model.
    """
    if not folder.is_symlink() and (not folder.exists() or (folder.is_dir() and not any(folder.iterdir()))):
        return None, []
    if folder.is_symlink() or not is_model(folder):
        raise UserError(f"{folder} exists and is no delivered model; move it away, or choose another --out")
    try:
        model, found = load_delivered(folder)
        record = ModelRecord.read(folder)
    except UserError as error:
        return None, [str(error)]
    fields, wanted_fields = found.flat(), recipe.flat()
    differences = [
        f"{key}: {fields.get(key)}, not {wanted_fields.get(key)}"
        for key in dict.fromkeys([*wanted_fields, *fields])
        if fields.get(key) != wanted_fields.get(key)
    ]
    if record is None:
        return None, [*differences, f"data and versions: unknown, an earlier version wrote no {layout.MODEL}"]
    differences += record.differences(wanted)
    return (None, differences) if differences else (Existing(folder=folder, model=model, record=record), [])
