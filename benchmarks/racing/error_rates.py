"""How often does the race stop an equally good trial, and how soon a worse one? Error rates by simulation.

    python -m benchmarks.racing.error_rates [--races N] [--json]

Each race draws the difficulty of every image, N complete trials with the same true accuracy, and a challenger that is
equally good or worse. The reference is the best of the N trials by its mean over all folds, as in a search; after each
fold the challenger is judged by ``search.policy.early_stopping``, which estimates the fold noise from one repeat.

With pausing, the N trials wait after fold 0, and only the best third or ninth become complete, so that the reference
was lucky there. The challenger is not chosen by fold 0, which is the harder case: one that runs on for being among the
best was lucky as well. It runs fold 0 first, and the others in any order.

Model. An image is classified correctly with a probability q from a beta distribution with mean 0.85, which is wider
the more two recipes agree. Challenger and reference disagree on 12 % of the images, before deviations. Deviations of a
recipe (overall, by subject, by fold) shift its accuracy by flipping answers at random, so that clipping loses nothing.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from leukemia.base.errors import SUCCESS, UserError, run_command
from leukemia.scoring.jackknife import Difference
from leukemia.scoring.paired import fold_noise
from search.policy.early_stopping import Verdict, judge_race

ACCURACY = 0.85
DISAGREEMENT = 0.12
NUM_FOLDS = 5

MIN_RACES = 100
"""Minimum races per cell; with fewer, an error rate of 5 % cannot be resolved."""


@dataclass(frozen=True, kw_only=True)
class Cell:
    """The parameters of one kind of race."""

    images_per_fold: int = 200
    groups_per_fold: int = 0
    """0: every image is a group of its own."""

    subject_points: float = 0.0
    """Standard deviation of a recipe's accuracy between subjects, beyond the difficulty of the images."""

    noise_points: float = 0.0
    """Standard deviation of a recipe's accuracy between folds."""

    rivals: int = 20
    one_in: int = 1
    """With pausing, the best of the rivals by fold 0, one in this many, are complete; 1: all are, without pausing."""

    worse_points: float = 0.0
    margin_points: float = 1.0


def difficulty_of(worse: float) -> tuple[float, float]:
    """Beta distribution of q for which a recipe worse by this much disagrees with the better one on 12 % of images."""
    kept = 1 - worse / ACCURACY  # of right answers
    square = (ACCURACY * (1 + kept) - DISAGREEMENT) / (2 * kept)  # E[q^2], from the disagreement m + km - 2k E[q^2]
    size = ACCURACY * (1 - ACCURACY) / (square - ACCURACY**2) - 1
    return ACCURACY * size, (1 - ACCURACY) * size


class Races:
    """Draws the answers of recipes for one race after another."""

    def __init__(self, cell: Cell, generator: np.random.Generator) -> None:
        self.cell, self.generator = cell, generator
        self.num_images = NUM_FOLDS * cell.images_per_fold
        self.folds = np.repeat(np.arange(NUM_FOLDS), cell.images_per_fold)
        if cell.groups_per_fold:
            per_fold = np.arange(cell.images_per_fold) % cell.groups_per_fold
            self.groups = self.folds * cell.groups_per_fold + np.tile(per_fold, NUM_FOLDS)
        else:
            self.groups = np.arange(self.num_images)
        self.num_groups = int(self.groups.max()) + 1

    def answers(self, difficulty: np.ndarray, count: int, worse: float = 0.0) -> np.ndarray:
        """Correct answers, bool (count, images), of recipes whose accuracy is 0.85 less ``worse``."""
        draw, cell = self.generator, self.cell
        right = draw.random((count, self.num_images), dtype=np.float32) < difficulty
        shift = np.full((count, 1), -worse)
        if cell.subject_points:
            shift = shift + draw.normal(0, cell.subject_points / 100, (count, self.num_groups))[:, self.groups]
        if cell.noise_points:
            shift = shift + draw.normal(0, cell.noise_points / 100, (count, NUM_FOLDS))[:, self.folds]
        if not np.any(shift):
            return right
        # Wrong answers become right with probability shift / (1 - accuracy), right ones wrong with -shift / accuracy.
        turn = draw.random((count, self.num_images), dtype=np.float32)
        up, down = shift / (1 - ACCURACY), -shift / ACCURACY
        return np.where(right, turn >= down, turn < up)

    def difference(self, a: np.ndarray, b: np.ndarray, images: slice) -> Difference:
        """``paired_jackknife`` on correct answers instead of probabilities."""
        right = a[images].astype(np.float64) - b[images]
        codes = self.groups[images] - self.groups[images][0]
        sums, sizes = np.bincount(codes, right), np.bincount(codes)
        rest = (sums.sum() - sums) / (len(right) - sizes)
        variance = (len(sums) - 1) / len(sums) * float(np.sum((rest - rest.mean()) ** 2))
        return Difference(float(right.mean()), variance, len(sums))

    def race(self) -> int:
        """Run one race; returns the number of folds after which the challenger was stopped, 0 if it was not."""
        cell, width = self.cell, self.cell.images_per_fold
        difficulty = self.generator.beta(*difficulty_of(cell.worse_points / 100), self.num_images).astype(np.float32)
        complete = self.answers(difficulty, cell.rivals)
        challenger = self.answers(difficulty, 1, cell.worse_points / 100)[0]
        # The first trial is the starting recipe, which is repeated with another seed.
        repeat = self.answers(difficulty, 1)[0]
        folds = [slice(fold * width, (fold + 1) * width) for fold in range(NUM_FOLDS)]
        noise = fold_noise([self.difference(complete[0], repeat, fold) for fold in folds])
        if cell.one_in > 1:
            complete = complete[np.argsort(-complete[:, folds[0]].mean(axis=1))[: cell.rivals // cell.one_in]]
            # All folds have the same groups, so other folds may take the places of the first ones.
            order = np.concatenate([[0], 1 + self.generator.permutation(NUM_FOLDS - 1)])
            rows = np.concatenate([np.arange(self.num_images)[folds[fold]] for fold in order])
            complete, challenger = complete[:, rows], challenger[rows]
        reference = complete[complete.mean(axis=1).argmax()]
        for seen in range(1, NUM_FOLDS):
            verdict = self.judge(challenger, reference, seen, noise)
            if not verdict.continues:
                return seen
        return 0

    def judge(self, challenger: np.ndarray, reference: np.ndarray, seen: int, noise: float) -> Verdict:
        """The verdict after ``seen`` folds."""
        pausing = self.cell.one_in > 1
        return judge_race(
            self.difference(challenger, reference, slice(0, seen * self.cell.images_per_fold)),
            folds_seen=seen,
            num_folds=NUM_FOLDS,
            noise=noise,
            # With pausing, all trials that have finished fold 0 count, the challenger among them.
            num_rivals=self.cell.rivals + pausing,
            first_look=1 + pausing,
            margin=self.cell.margin_points / 100,
        )


def stopped_after(cell: Cell, races: int, seed: int) -> np.ndarray:
    """Share of races stopped after fold 1, 2, 3 and 4, float64 (4,)."""
    drawn = Races(cell, np.random.default_rng(seed))
    ends = np.bincount([drawn.race() for _ in range(races)], minlength=NUM_FOLDS)
    return ends[1:] / races


def equal_cells(one_in: int = 1) -> Iterator[Cell]:
    """Races with an equally good challenger: every stop is an error."""
    for noise in (0.0, 1.0, 2.0):
        yield Cell(noise_points=noise, one_in=one_in)
        for subject in (3.0, 6.0, 10.0):
            yield Cell(noise_points=noise, one_in=one_in, groups_per_fold=15, subject_points=subject)


def worse_cells() -> Iterator[Cell]:
    """Races with a challenger that is worse by five points, without a margin."""
    for rivals in (1, 20):
        worse = {"worse_points": 5.0, "margin_points": 0.0, "rivals": rivals}
        yield Cell(**worse)  # type: ignore[arg-type]
        for subject in (3.0, 6.0, 10.0):
            yield Cell(groups_per_fold=15, subject_points=subject, **worse)  # type: ignore[arg-type]
        for subject in (3.0, 6.0, 10.0):
            yield Cell(images_per_fold=2130, groups_per_fold=13, subject_points=subject, **worse)  # type: ignore[arg-type]


def paused_cells() -> Iterator[Cell]:
    """Both kinds of races with pausing."""
    for one_in in (3, 9):
        yield from equal_cells(one_in)
    for cell in worse_cells():
        if cell.rivals > 1 and cell.images_per_fold == Cell.images_per_fold:
            yield replace(cell, one_in=3)


def main(argv: list[str] | None = None) -> int:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--races", type=int, default=2000, help="races per cell (default: 2000)")
    parser.add_argument("--json", action="store_true", help="print one JSON object as the last line")
    arguments = parser.parse_args(argv)
    if arguments.races < MIN_RACES:
        raise UserError(f"--races: expected at least {MIN_RACES}, got {arguments.races}")
    found: list[dict[str, Any]] = []
    start = time.perf_counter()
    print(
        "images  groups  subject  noise  rivals  one in  worse  margin"
        "   stopped after fold 1, 2, 3, 4    by fold 2    total"
    )
    for cell in [*equal_cells(), *worse_cells(), *paused_cells()]:
        ends = stopped_after(cell, arguments.races, seed=len(found))
        found.append({**asdict(cell), "stopped_after": ends.tolist()})
        print(
            f"{cell.images_per_fold:6d}  {cell.groups_per_fold or 'image':>6}  {cell.subject_points:7.0f}"
            f"  {cell.noise_points:5.0f}  {cell.rivals:6d}  {cell.one_in:6d}"
            f"  {cell.worse_points:5.0f}  {cell.margin_points:6.0f}"
            f"   {'  '.join(f'{100 * end:5.1f}' for end in ends)}           {100 * ends[:2].sum():6.1f}"
            f"   {100 * ends.sum():6.1f}",
            flush=True,
        )
    worst = max(sum(cell["stopped_after"]) for cell in found if not cell["worse_points"])
    seconds = time.perf_counter() - start
    print(f"{arguments.races} races per cell, {seconds:.0f} s; highest rate of false stops {100 * worst:.1f} %")
    if arguments.json:
        print(json.dumps({"races": arguments.races, "most_false_stops": worst, "cells": found}))
    return SUCCESS


if __name__ == "__main__":
    run_command(main)
