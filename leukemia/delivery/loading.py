"""Load a delivered model from its folder."""

from __future__ import annotations

from pathlib import Path

from leukemia.base.errors import MissingFile, UserError
from leukemia.base.record import RESTORE
from leukemia.config.recipe import Recipe
from leukemia.study import layout
from leukemia.training.model import ResNet, load_model


def load_delivered(folder: Path) -> tuple[ResNet, Recipe]:
    """Model and recipe from a folder written by ``leukemia.final``, without unpickling.

    Raises:
        MissingFile: the folder lacks the recipe or the weights.
        UserError: one of them is invalid.
    """
    path = folder / layout.RECIPE
    if not path.is_file():
        raise MissingFile(f"--model {folder}: no {layout.RECIPE} found; give the folder {layout.FINAL!r} of a study")
    recipe = Recipe.load(path)
    if recipe.data.crop_px is None or recipe.data.size_px is None:
        raise UserError(f"{path}: expected data.crop_px and data.size_px; {RESTORE}")
    return load_model(folder / layout.WEIGHTS, recipe), recipe
