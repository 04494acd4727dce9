"""How much of the luck of the best of N trials is left in its score, raw and corrected?

    python benchmarks/selection.py [--studies R] [--json]

Simulates studies whose recipes are all right on 85 % of images in the long run, so that whatever the winner's score
has above that is luck. Prints per kind of study, in percentage points and as means over R studies, what is left of it.

An image's difficulty q ~ Beta(0.756, 0.133) is the chance that any recipe is right on it: two recipes disagree on about
12 % of images. There are 5 folds of 200 images. Luck comes on top, in points of accuracy (standard deviations):
``recipe`` is one recipe's in one fold, ``fold`` one fold's for all recipes, and with 15 groups (patients) in a fold 3
points are one recipe's on one patient. A raced study judges each recipe after each fold by the real judge against the
best complete one; the judge estimates the noise of a fold from one repeat of the first recipe, as a search does.

The same numbers come out on every machine; ``error`` is the standard error of the headline's mean.
"""

from __future__ import annotations

import argparse
import itertools
import json
import math
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import Any, TypeAlias

import numpy as np

from leukemia.base.provenance import versions
from leukemia.scoring.jackknife import Difference, paired_jackknife
from leukemia.scoring.selection import Candidates, corrected
from search.policy.judge import fold_noise, judge_race

DIFFICULTY = (0.756, 0.133)
TRUTH = DIFFICULTY[0] / sum(DIFFICULTY)
NUM_FOLDS, FOLD_IMAGES, FOLD_GROUPS = 5, 200, 15
PATIENT_SD = 0.03
NUM_RESAMPLES = 200

NUMBERS_OF_RECIPES = (1, 5, 20, 40)
ESTIMATES = ("raw", "bootstrap", "leave_fold_out", "headline")


@dataclass(frozen=True, kw_only=True)
class World:
    """A kind of study."""

    num_recipes: int
    patients: bool
    """15 groups in a fold; else each image is its own."""

    recipe_sd: float
    fold_sd: float


@dataclass(frozen=True, kw_only=True)
class Study:
    """What a study of equal recipes has seen."""

    correct: np.ndarray
    """bool (recipes, n)."""

    repeat: np.ndarray
    """bool (n,): recipe 0 again, with another seed."""

    folds: np.ndarray
    """int64 (n,)."""

    groups: np.ndarray
    """int64 (n,)."""

    def difference(self, a: np.ndarray, b: np.ndarray, rows: np.ndarray) -> Difference:
        """Accuracy of answers a minus accuracy of answers b on some images, as the search works it out."""
        first, second = (each[None, rows].astype(float) for each in (a, b))
        return paired_jackknife(np.ones(first.size, dtype=np.int64), first, second, self.groups[rows], "accuracy")


Survivors: TypeAlias = Callable[[Study], list[int]]
"""From a study to the recipes that complete all folds, ascending."""


def simulate(world: World, generator: np.random.Generator) -> Study:
    """A study.

    Luck turns wrong answers right, or right ones wrong, with the probability that shifts the mean over all difficulties
    by just so much; cut off at 15 points on both sides it has mean zero. So each recipe's expectation is TRUTH.
    """
    num_images, num_rows = NUM_FOLDS * FOLD_IMAGES, world.num_recipes + 1
    folds = np.repeat(np.arange(NUM_FOLDS), FOLD_IMAGES)
    groups = folds * FOLD_GROUPS + np.arange(num_images) % FOLD_GROUPS if world.patients else np.arange(num_images)
    difficulty = generator.beta(*DIFFICULTY, size=num_images)
    luck = world.recipe_sd * generator.normal(size=(num_rows, NUM_FOLDS))
    luck = (luck + world.fold_sd * generator.normal(size=NUM_FOLDS))[:, folds]
    if world.patients:
        luck = luck + PATIENT_SD * generator.normal(size=(num_rows, NUM_FOLDS * FOLD_GROUPS))[:, groups]
    luck = np.clip(luck, TRUTH - 1, 1 - TRUTH)
    turned = np.where(luck > 0, (1 - difficulty) * luck / (1 - TRUTH), difficulty * luck / TRUTH)
    *correct, repeat = generator.random(luck.shape) < difficulty + turned
    return Study(correct=np.stack(correct), repeat=repeat, folds=folds, groups=groups)


def all_of_them(study: Study) -> list[int]:
    """No race."""
    return list(range(len(study.correct)))


def raced(study: Study) -> list[int]:
    """Recipes in order, each judged after each fold but the last against the best complete one on the same images."""
    first = study.correct[0]
    noise = fold_noise([study.difference(first, study.repeat, study.folds == fold) for fold in range(NUM_FOLDS)])
    complete = [0]
    for recipe in range(1, len(study.correct)):
        best = max(complete, key=lambda other: (study.correct[other].mean(), -other))
        if _runs_to_its_end(study, recipe, best, noise, len(complete)):
            complete.append(recipe)
    return complete


def _runs_to_its_end(study: Study, recipe: int, best: int, noise: float, num_rivals: int) -> bool:
    for seen in range(1, NUM_FOLDS):
        difference = study.difference(study.correct[recipe], study.correct[best], study.folds < seen)
        verdict = judge_race(difference, folds_seen=seen, num_folds=NUM_FOLDS, noise=noise, num_rivals=num_rivals)
        if not verdict.go_on:
            return False
    return True


def left_over(study: Study, complete: list[int], seed: int) -> dict[str, float]:
    """What each estimate has above the truth, in points.

    The truth is replaced by this study's mean over all its recipes, raced or not. That has the truth as expectation and
    shares the study's easy and hard images, so that the means over studies are the same and settle much sooner.
    """
    correct = study.correct
    labels = np.random.default_rng(seed).integers(2, size=len(study.folds))
    probabilities = [np.where(correct[recipe], labels, 1 - labels)[None].astype(float) for recipe in complete]
    candidates = Candidates(labels=labels, groups=study.groups.tolist(), folds=study.folds, probabilities=probabilities)
    found = corrected(candidates, "accuracy", seed=seed, num_resamples=NUM_RESAMPLES)
    return {name: 100 * (getattr(found, name).value - float(correct.mean())) for name in ESTIMATES}


def cell(world: World, race: dict[str, Survivors], num_studies: int) -> Iterator[dict[str, Any]]:
    """One row per way to race, all on the same studies: means, and the standard error of the headline's."""
    rows: dict[str, list[dict[str, float]]] = {name: [] for name in race}
    for number in range(num_studies):
        study = simulate(world, np.random.default_rng(number))
        known: dict[tuple[int, ...], dict[str, float]] = {}
        for name, survivors in race.items():
            complete = survivors(study)
            if tuple(complete) not in known:
                known[tuple(complete)] = left_over(study, complete, number)
            rows[name].append({"complete": len(complete), **known[tuple(complete)]})
    for name, found in rows.items():
        means = {key: float(np.mean([row[key] for row in found])) for key in found[0]}
        error = float(np.std([row["headline"] for row in found], ddof=1)) / math.sqrt(num_studies)
        yield {**asdict(world), "race": name, **means, "error": error}


def worlds() -> Iterator[World]:
    """All kinds of study."""
    for patients, fold_sd, recipe_sd, num_recipes in itertools.product(
        (False, True), (0.0, 0.02), (0.0, 0.01, 0.02), NUMBERS_OF_RECIPES
    ):
        yield World(num_recipes=num_recipes, patients=patients, recipe_sd=recipe_sd, fold_sd=fold_sd)


def line(row: dict[str, Any]) -> str:
    """A row of the printed table."""
    kind = (
        f"{'15 a fold' if row['patients'] else 'images':>9} {100 * row['fold_sd']:>4.0f} {100 * row['recipe_sd']:>6.0f}"
    )
    values = "".join(f"{row[name]:>+16.2f}" for name in ESTIMATES)
    return f"{kind} {row['num_recipes']:>3} {row['race']:>7} {row['complete']:>8.1f}{values}{row['error']:>7.2f}"


def main(argv: list[str] | None = None) -> int:
    """Simulate all kinds of study and print what is left."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--studies", type=int, default=200, help="simulated studies of each kind, from 2 on")
    parser.add_argument("--json", action="store_true", help="print a JSON object instead of a table")
    options = parser.parse_args(argv)
    if options.studies < 2:
        parser.error(f"--studies: expected 2 or more, got {options.studies}")
    race: dict[str, Survivors] = {"unraced": all_of_them, "raced": raced}
    if not options.json:
        print(f"points above the truth, means over {options.studies} studies")
        columns = "".join(f"{name:>16}" for name in ESTIMATES)
        print(f"{'groups':>9} {'fold':>4} {'recipe':>6} {'N':>3} {'race':>7} {'complete':>8}{columns}  error")
    rows = []
    for world in worlds():
        for row in cell(world, race, options.studies):
            rows.append(row)
            if not options.json:
                print(line(row), flush=True)
    if options.json:
        print(json.dumps({"studies": options.studies, "versions": versions(), "rows": rows}, indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main())
