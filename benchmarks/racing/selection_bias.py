"""How much selection bias remains in the score of the best of N equal trials, raw and corrected?

    python -m benchmarks.racing.selection_bias [--studies R] [--json]

Simulates studies whose recipes all have a true accuracy of 85 %, so that any excess of the winner's score is selection
bias. Prints the remaining bias for each kind of study, in percentage points, as means over R studies.

The difficulty q ~ Beta(0.756, 0.133) of an image is the probability that a recipe classifies it correctly: two recipes
disagree on about 12 % of images. There are 5 folds of 200 images. Noise is added to the accuracy (standard deviations,
in points): ``recipe`` of one recipe in one fold, ``fold`` of one fold for all recipes, and, with 15 groups (patients)
per fold, 3 points of one recipe on one patient. In a raced study the real judge compares each recipe after each fold
with the best complete one; it estimates the fold noise from one repeat of the first recipe, as a search does.

With pausing, only the best third or ninth by fold 0 complete, and the corrections are scored on folds 1 to 4. The
column ``on_all_folds`` is what leaving folds out would give if fold 0 were scored as well.

Results are the same on every machine; ``error`` is the standard error of the mean headline score.
"""

from __future__ import annotations

import argparse
import itertools
import json
from collections.abc import Iterator
from typing import Any

from benchmarks.racing.selecting.bias import ESTIMATES, cell
from benchmarks.racing.selecting.studies import World
from leukemia.base.errors import SUCCESS, UserError, run_command
from leukemia.base.provenance import versions

NUMBERS_OF_RECIPES = (20, 40)


def worlds() -> Iterator[World]:
    """All kinds of study."""
    for patients, fold_sd, recipe_sd, num_recipes in itertools.product(
        (False, True), (0.0, 0.02), (0.0, 0.01, 0.02), NUMBERS_OF_RECIPES
    ):
        yield World(num_recipes=num_recipes, patients=patients, recipe_sd=recipe_sd, fold_sd=fold_sd)


def line(row: dict[str, Any]) -> str:
    """Format a row of the printed table."""
    kind = (
        f"{'15 / fold' if row['patients'] else 'images':>9} {100 * row['fold_sd']:>4.0f} {100 * row['recipe_sd']:>6.0f}"
    )
    values = "".join(f"{row[name]:>+16.2f}" for name in ESTIMATES)
    return f"{kind} {row['num_recipes']:>3} {row['race']:>7} {row['complete']:>8.1f}{values}{row['error']:>7.2f}"


def main(argv: list[str] | None = None) -> int:
    """Simulate all kinds of study and print the remaining bias."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--studies", type=int, default=120, help="simulated studies of each kind, at least 2 (default: 120)"
    )
    parser.add_argument("--json", action="store_true", help="print a JSON object instead of a table")
    options = parser.parse_args(argv)
    if options.studies < 2:
        raise UserError(f"--studies: expected 2 or more, got {options.studies}")
    if not options.json:
        print(f"points above the true accuracy, means over {options.studies} studies")
        columns = "".join(f"{name:>16}" for name in ESTIMATES)
        print(f"{'groups':>9} {'fold':>4} {'recipe':>6} {'N':>3} {'race':>7} {'complete':>8}{columns}  error")
    rows = []
    for world in worlds():
        for row in cell(world, options.studies):
            rows.append(row)
            if not options.json:
                print(line(row), flush=True)
    if options.json:
        print(json.dumps({"studies": options.studies, "versions": versions(), "rows": rows}, indent=2))
    return SUCCESS


if __name__ == "__main__":
    run_command(main)
