"""Generated worlds in which early epochs predict the end as well as one says.

Deficits of recipes below 92 points are gamma-distributed (mean 6 points). The value after a share f of the schedule is

    92 - 14 (1 - f)^2.5 - 4 gap(f) - (0.6 + 0.4 f) deficit_f + fold + sqrt(f) own + noise

points. ``gap`` is 1 where the learning rate is high and 0 where it is annealed; there are three schedules. The noise
has a standard deviation of 0.3 points, plus 1.7 where ``gap`` is 1. ``deficit_f`` is what the recipe's rank at f would
have at the end: ranks at a tenth of the schedule have a correlation of ``rho`` with the final ones, and later ones a
higher one. ``fold`` (1.5 points) is shared by all recipes; ``own`` consists of sampling of images
(1.15 points) and noise of the training (1 point). One recipe in 20 is no better than chance. Costs are log-normal.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy.special import ndtr, ndtri

from benchmarks.racing.laddering.pairs import ByVariance
from benchmarks.racing.laddering.world import Hopeless, World, scheduled_recipe
from leukemia.config.recipe import Recipe

NUM_FOLDS, FOLD_GROUPS = 5, 15
TOP, HOPELESS = 0.92, 0.58
SAMPLING, NOISE, FOLD = 0.0115, 0.01, 0.015
"""Standard deviations of a fold's score: of its images, of its training, and of all recipes together."""

GAP = 0.04
SHARE_HOPELESS = 0.05


@dataclass(frozen=True, kw_only=True)
class Generated:
    """Where generated worlds come from."""

    num_recipes: int
    rho: float
    """Rank correlation of a tenth of the schedule with its end, -1..1."""

    num_epochs: int
    workers: tuple[int, ...]
    family: str = "generated"
    own_workers: int | None = None
    """There are no parameters from which a sampler could learn."""

    @property
    def name(self) -> str:
        """As it appears in tables and in ``--only``."""
        return f"generated {self.num_recipes}, {self.num_epochs} epochs, rho {self.rho:g}"

    def missing(self) -> str | None:
        """Nothing: all is generated."""
        return None

    def world(self, seed: int) -> World:
        """The world of a seed; equal seeds give equal worlds."""
        generator = np.random.default_rng([seed, self.num_recipes, self.num_epochs])
        num, last = self.num_recipes, self.num_epochs
        shares = np.arange(1, last + 1) / last
        deficits = 0.01 * generator.gamma(1.5, 4.0, size=num)
        kinds = generator.integers(3, size=num)
        hopeless = generator.random(num) < SHARE_HOPELESS
        means = np.where(hopeless, HOPELESS + 0.03 * generator.standard_normal(num), TOP - deficits)
        folds = FOLD * generator.standard_normal(NUM_FOLDS)
        own = math.hypot(SAMPLING, NOISE) * generator.standard_normal((num, NUM_FOLDS))
        scores = means[:, None] + folds + own
        gaps = np.stack([_gap(kind, shares) for kind in range(3)])[kinds]
        then = _deficits_on_the_way(deficits, self.rho, shares, generator)
        steady = TOP - 0.14 * (1 - shares) ** 2.5 - GAP * gaps - (0.6 + 0.4 * shares) * then
        noise = (0.003 + 0.017 * gaps)[:, None] * generator.standard_normal((num, NUM_FOLDS, last))
        curves = steady[:, None] + folds[:, None] + own[..., None] * np.sqrt(shares) + noise
        flat = scores[..., None] + 0.005 * generator.standard_normal((num, NUM_FOLDS, last))
        accuracy = np.where(hopeless[:, None, None], flat, curves)
        accuracy[..., -1] = scores
        costs = np.exp(0.3 * generator.standard_normal(num))
        return World(
            recipes=tuple(_recipe(kind, last) for kind in kinds.tolist()),
            accuracy=accuracy,
            losses=np.full((num, last), np.nan),
            scores=scores,
            seconds=np.broadcast_to(costs[:, None, None], accuracy.shape),
            pairs=ByVariance(scores, 2 * SAMPLING**2, FOLD_GROUPS),
            alone=Hopeless(hopeless.tolist()),
            noise=NOISE,
        )


def _recipe(kind: int, epochs: int) -> Recipe:
    """Ranger21's own schedule, one cosine cycle, or three cycles of doubling length."""
    if kind == 0:
        return scheduled_recipe(epochs, "ranger21", None, None)
    return scheduled_recipe(epochs, "adamw", *((None, None) if kind == 1 else (max(1, round(epochs / 7)), 2)))


def _gap(kind: int, shares: np.ndarray) -> np.ndarray:
    """How far a schedule is from annealed, 1..0, at shares of the training: float64 (epochs,)."""
    if kind == 0:
        return np.minimum(1.0, (1 - shares) / 0.28)
    starts, lengths = (np.zeros(1), np.ones(1)) if kind == 1 else (np.array([0, 1, 3]) / 7, np.array([1, 2, 4]) / 7)
    cycle = np.searchsorted(starts + lengths, shares - 1e-9)
    return 0.5 * (1 + np.cos(math.pi * np.minimum(1.0, (shares - starts[cycle]) / lengths[cycle])))


def _deficits_on_the_way(
    deficits: np.ndarray, rho: float, shares: np.ndarray, generator: np.random.Generator
) -> np.ndarray:
    """For each recipe and epoch the final deficit of its present rank, float64 (recipes, epochs)."""
    num, ascending = len(deficits), np.sort(deficits)
    final = ndtri((deficits.argsort().argsort() + 0.5) / num)
    later = rho + (1 - rho) * (1 + np.log10(shares))
    agreement = np.where(shares < 0.1, rho * np.sqrt(shares / 0.1), later)
    wandering = np.empty((num, len(shares)))
    wandering[:, 0] = generator.standard_normal(num)
    for epoch in range(1, len(shares)):
        kept = (shares[epoch - 1] / shares[epoch]) ** (1 / 1.2)
        fresh = generator.standard_normal(num)
        wandering[:, epoch] = kept * wandering[:, epoch - 1] + math.sqrt(1 - kept**2) * fresh
    ranks = ndtr(agreement * final[:, None] + np.sqrt(1 - agreement**2) * wandering)
    return np.interp(ranks * (num - 1), np.arange(num), ascending)
