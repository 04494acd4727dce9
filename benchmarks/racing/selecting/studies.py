"""Simulated studies of recipes that are all equally good."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from leukemia.scoring.jackknife import Difference, paired_jackknife

DIFFICULTY = (0.756, 0.133)
TRUTH = DIFFICULTY[0] / sum(DIFFICULTY)
NUM_FOLDS, FOLD_IMAGES, FOLD_GROUPS = 5, 200, 15
PATIENT_SD = 0.03


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
