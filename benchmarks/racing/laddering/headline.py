"""How far the headline score of a search with pausing lies above the truth."""

from __future__ import annotations

import itertools

from benchmarks.racing.selecting.bias import cell
from benchmarks.racing.selecting.studies import World

NUMBERS_OF_RECIPES = (20, 40, 200)
PAUSING = ("third", "ninth")


def headline_bias(num_studies: int) -> dict[str, float]:
    """By number of equally good recipes, the largest mean bias in points: the best third or ninth by fold 0 complete.

    Over studies with images or with patients as groups, and with 0 or 2 points of a recipe's own noise in a fold.

    Args:
        num_studies: of each kind.
    """
    found = {}
    for num_recipes in NUMBERS_OF_RECIPES:
        worlds = [
            World(num_recipes=num_recipes, patients=patients, recipe_sd=recipe_sd, fold_sd=0.02)
            for patients, recipe_sd in itertools.product((False, True), (0.0, 0.02))
        ]
        rows = [row for world in worlds for row in cell(world, num_studies, PAUSING)]
        found[str(num_recipes)] = max(row["headline"] for row in rows)
    return found
