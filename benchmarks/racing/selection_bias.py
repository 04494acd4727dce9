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
import functools
import itertools
import json
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any, TypeAlias

import numpy as np

from leukemia.base.errors import SUCCESS, UserError, run_command
from leukemia.base.provenance import versions
from leukemia.scoring.jackknife import Difference, paired_jackknife
from leukemia.scoring.selection import Candidates, corrected
from search.policy.early_stopping import fold_noise, judge_race

DIFFICULTY = (0.756, 0.133)
TRUTH = DIFFICULTY[0] / sum(DIFFICULTY)
NUM_FOLDS, FOLD_IMAGES, FOLD_GROUPS = 5, 200, 15
PATIENT_SD = 0.03
NUM_RESAMPLES = 200

NUMBERS_OF_RECIPES = (20, 40)
ESTIMATES = ("raw", "on_all_folds", "bootstrap", "leave_fold_out", "headline")


@dataclass(frozen=True, kw_only=True)
class World:
    """The parameters of one kind of study."""

    num_recipes: int
    patients: bool
    """Whether a fold has 15 groups; otherwise every image is a group of its own."""

    recipe_sd: float
    fold_sd: float


@dataclass(frozen=True, kw_only=True)
class Study:
    """The results of a study of equal recipes."""

    correct: np.ndarray
    """bool (recipes, n)."""

    repeat: np.ndarray
    """bool (n,): recipe 0 repeated with another seed."""

    folds: np.ndarray
    """int64 (n,)."""

    groups: np.ndarray
    """int64 (n,)."""

    def difference(self, a: np.ndarray, b: np.ndarray, rows: np.ndarray) -> Difference:
        """Accuracy of answers a minus accuracy of answers b on some images, as computed by the search."""
        first, second = (each[None, rows].astype(float) for each in (a, b))
        return paired_jackknife(np.ones(first.size, dtype=np.int64), first, second, self.groups[rows], "accuracy")


Survivors: TypeAlias = Callable[[Study], list[int]]
"""Maps a study to the recipes that complete all folds, ascending."""


@dataclass(frozen=True, kw_only=True)
class Kind:
    """How a search decides which recipes complete all folds, and on which folds their corrections are scored."""

    survivors: Survivors
    scored_folds: Sequence[int] = range(NUM_FOLDS)
    fewest: int = 1
    """Only studies with at least so many recipes."""


def simulate(world: World, generator: np.random.Generator) -> Study:
    """Simulate a study.

    Noise turns wrong answers right, or right ones wrong, with the probability that shifts the mean over all
    difficulties by exactly its value. Clipped at 15 points on both sides, it has mean zero, so every recipe has the
    expectation TRUTH.
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


def unraced(study: Study) -> list[int]:
    """Without racing, every recipe completes."""
    return list(range(len(study.correct)))


def raced(study: Study) -> list[int]:
    """Recipes in order, each compared after every fold but the last with the best complete one on the same images."""
    first = study.correct[0]
    noise = fold_noise([study.difference(first, study.repeat, study.folds == fold) for fold in range(NUM_FOLDS)])
    complete = [0]
    for recipe in range(1, len(study.correct)):
        best = max(complete, key=lambda other: (study.correct[other].mean(), -other))
        if _completes(study, recipe, best, noise, len(complete)):
            complete.append(recipe)
    return complete


def _completes(study: Study, recipe: int, best: int, noise: float, num_rivals: int) -> bool:
    for seen in range(1, NUM_FOLDS):
        difference = study.difference(study.correct[recipe], study.correct[best], study.folds < seen)
        verdict = judge_race(difference, folds_seen=seen, num_folds=NUM_FOLDS, noise=noise, num_rivals=num_rivals)
        if not verdict.continues:
            return False
    return True


def held(share: int, study: Study) -> list[int]:
    """The best recipes by fold 0, one in ``share``."""
    first = study.correct[:, study.folds == 0].mean(axis=1)
    return sorted(np.argsort(-first, kind="stable")[: len(first) // share].tolist())


KINDS = {
    "unraced": Kind(survivors=unraced),
    "raced": Kind(survivors=raced),
    "third": Kind(survivors=functools.partial(held, 3), scored_folds=range(1, NUM_FOLDS), fewest=20),
    "ninth": Kind(survivors=functools.partial(held, 9), scored_folds=range(1, NUM_FOLDS), fewest=20),
}
"""By name in the printed table."""


def remaining_bias(study: Study, complete: list[int], scored_folds: Sequence[int], seed: int) -> dict[str, float]:
    """Excess of each estimate over the true accuracy, in points.

    The mean over all recipes of this study, complete or not, on the folds that an estimate is scored on serves as a
    control variate for the true accuracy: it has the same expectation and shares their easy and hard images, so that
    means over studies converge much faster.
    """
    correct = study.correct
    labels = np.random.default_rng(seed).integers(2, size=len(study.folds))
    probabilities = [np.where(correct[recipe], labels, 1 - labels)[None].astype(float) for recipe in complete]
    candidates = Candidates(labels=labels, groups=study.groups.tolist(), folds=study.folds, probabilities=probabilities)
    found = corrected(candidates, "accuracy", scored_folds=scored_folds, seed=seed, num_resamples=NUM_RESAMPLES)
    truth, scored_truth = correct.mean(), correct[:, np.isin(study.folds, scored_folds)].mean()
    return {
        "raw": 100 * float(found.raw.value - truth),
        "on_all_folds": 100 * float(_on_all_folds(correct[complete]) - truth),
        **{name: 100 * float(getattr(found, name).value - scored_truth) for name in ESTIMATES[2:]},
    }


def _on_all_folds(correct: np.ndarray) -> float:
    """The mean score, in each fold, of the recipe that is best on the others; ``correct`` are answers (recipes, n)."""
    right = correct.reshape(len(correct), NUM_FOLDS, FOLD_IMAGES).sum(axis=2)
    best = (right.sum(axis=1, keepdims=True) - right).argmax(axis=0)
    return float(right[best, np.arange(NUM_FOLDS)].mean() / FOLD_IMAGES)


def cell(world: World, num_studies: int) -> Iterator[dict[str, Any]]:
    """One row for each of ``KINDS``, on the same studies: means, and the standard error of the mean headline."""
    kinds = {name: kind for name, kind in KINDS.items() if world.num_recipes >= kind.fewest}
    rows: dict[str, list[dict[str, float]]] = {name: [] for name in kinds}
    for number in range(num_studies):
        study = simulate(world, np.random.default_rng(number))
        known: dict[tuple[tuple[int, ...], Sequence[int]], dict[str, float]] = {}
        for name, kind in kinds.items():
            complete = kind.survivors(study)
            key = tuple(complete), kind.scored_folds
            if key not in known:
                known[key] = remaining_bias(study, complete, kind.scored_folds, number)
            rows[name].append({"complete": len(complete), **known[key]})
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
