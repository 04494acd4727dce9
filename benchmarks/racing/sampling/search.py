"""A simulated search on a surface: the product's samplers and ladder, with training that costs nothing.

Only the quality of proposals counts: there is no race, so that every trial completes in the end.
"""

from __future__ import annotations

import dataclasses
import functools
import heapq
import math
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import optuna
from scipy.stats import spearmanr

from benchmarks.racing.sampling.by_optimizer import by_optimizer
from benchmarks.racing.sampling.surface import BEST_RATES, Surface
from leukemia.config.presets import PRESETS
from leukemia.config.recipe import Recipe
from leukemia.config.results import Epoch
from leukemia.study.schema import SamplerName
from search.policy.ladder import Ladder
from search.policy.portfolio import starts_of
from search.policy.rules import Rules
from search.policy.rungs import SHARES
from search.policy.space import Space, make_space
from search.sampling.samplers import METHODS, Method, Samplers
from search.sampling.suggestions import recipe_of

NUM_FOLDS = 5
NUM_TRIALS = 100
BUDGETS = (25, 50, 100)
"""Training after which the choice is compared with the best recipe, in complete trials."""

NUM_PLACES = 8
FOLD_NOISE, EARLY_NOISE, EPOCH_NOISE = 1.5, 2.0, 0.7
"""Standard deviations in points: of a fold, of a trial at the beginning of fold 0, and of an epoch."""

NUM_CORRELATED = 300
"""Random recipes for the rank correlation between rungs and accuracy."""

PACE = 0.4
"""Standard deviation of the logarithm of a trial's speed."""


Variant = Literal["", "expected results", "shared parameters only", "one process per optimizer"]
"""With pausing, TPE may learn from expected results instead of pruned trials. The others are of a Gaussian process: how
it models parameters that only some trials have; the first of them is Optuna's own."""


@dataclass(frozen=True, kw_only=True)
class Arm:
    """A way to propose recipes."""

    sampler: SamplerName
    pausing: bool
    learns: bool = True
    """With pausing, whether the sampler learns from rungs; otherwise trials that wait run, as in the journal."""

    num_starts: int = 1
    variant: Variant = ""

    @property
    def name(self) -> str:
        """The sampler and what differs from the search's defaults, for tables."""
        words = [
            self.sampler,
            "" if self.learns else "from complete trials only",
            self.variant,
            f"{self.num_starts} starts" if self.num_starts > 1 else "",
        ]
        return ", ".join(filter(None, words))

    def method(self, space: Space) -> Method:
        """How recipes are proposed."""
        match self.variant:
            case "expected results":
                return dataclasses.replace(METHODS[self.sampler], expects=True)
            case "shared parameters only":
                return dataclasses.replace(METHODS[self.sampler], fills=False)
            case "one process per optimizer":
                return Method(make=functools.partial(by_optimizer, space))
            case _:
                return METHODS[self.sampler]


@dataclass(kw_only=True)
class _Trial:
    recipe: Recipe
    asked: optuna.Trial
    noise: np.ndarray
    """Of each fold, in points."""

    early: float
    pace: float
    generator: np.random.Generator
    epochs: int = 0
    """Epochs of fold 0 so far."""

    finished: set[int] = field(default_factory=set)
    """Folds."""


@dataclass(frozen=True, kw_only=True)
class _Task:
    number: int
    folds: tuple[int, ...]
    """Trained one after the other."""

    epochs: int
    """Number of epochs to train in each."""


def searched_space() -> Space:
    """The default space of a search."""
    return make_space(PRESETS["seed"]().resolved([(450, 450)]), {})


class SimulatedSearch:
    """A search of ``NUM_TRIALS`` trials."""

    def __init__(self, arm: Arm, surface: Surface, space: Space, seed: int) -> None:
        self._arm, self._surface, self._space, self._seed = arm, surface, space, seed
        self._study = optuna.create_study(direction="maximize")
        for start in starts_of(space, arm.num_starts):
            self._study.enqueue_trial(space.parameters(start))
        self._samplers = Samplers(arm.method(space), space, seed=seed)
        rules = Rules(num_folds=NUM_FOLDS, objective="tta_accuracy", pausing=arm.pausing)
        self._ladder = Ladder(rules, rules.rungs)
        self._trials: list[_Trial] = []
        self._going: list[_Task] = []
        self._running: list[tuple[float, int, _Task]] = []
        self._trained = 0.0
        self._best = -1.0

    def regrets(self, best: float) -> list[float]:
        """What the choice lacks to the best recipe after each of ``BUDGETS``, in points.

        Args:
            best: accuracy of the best recipe.
        """
        chosen: list[tuple[float, float]] = [(0.0, self._surface.accuracy(self._space.start.flat()))]
        now, num_begun = 0.0, 0
        while True:
            while len(self._running) < NUM_PLACES and (task := self._next()) is not None:
                ends = now + task.epochs * len(task.folds) * self._trials[task.number].pace
                heapq.heappush(self._running, (ends, num_begun, task))
                num_begun += 1
            if not self._running:
                break
            now, _, task = heapq.heappop(self._running)
            if self._finish(task):
                chosen.append((self._trained, self._surface.accuracy(self._trials[task.number].recipe.flat())))
        # A sum of shares: the last epoch may end a rounding error after the budget.
        return [best - [each for trained, each in chosen if trained <= budget + 1e-6][-1] for budget in BUDGETS]

    def _next(self) -> _Task | None:
        """As in ``search.trials.schedule``: what goes on, the best that wait, a new trial, others that wait."""
        if self._going:
            return self._going.pop(0)
        busy = {task.number for _, _, task in self._running}
        number = self._ladder.promotable(busy)
        if number is None and len(self._trials) < NUM_TRIALS:
            number = self._ask()
        if number is None:
            number = next(iter(self._ladder.waiting(busy)), None)
        if number is None:
            return None
        self._going += self._tasks(number)
        return self._going.pop(0)

    def _ask(self) -> int:
        number = len(self._trials)
        self._study.sampler = self._samplers.of(number, self._ladder.shown() if self._arm.learns else {})
        asked = self._study.ask()
        generator = np.random.default_rng([self._seed, 3, number])
        trial = _Trial(
            recipe=recipe_of(asked, self._space),
            asked=asked,
            noise=generator.normal(0, FOLD_NOISE, NUM_FOLDS),
            early=float(generator.normal(0, EARLY_NOISE)),
            pace=float(np.exp(generator.normal(0, PACE))),
            generator=generator,
        )
        self._trials.append(trial)
        self._ladder.begin(number, trial.recipe)
        return number

    def _tasks(self, number: int) -> list[_Task]:
        """What a trial trains next: as far as the next rung, or all folds that are left."""
        trial, all_folds = self._trials[number], tuple(range(NUM_FOLDS))
        length = trial.recipe.train.epochs
        if not self._arm.pausing:
            return [_Task(number=number, folds=all_folds, epochs=length)]
        others = [_Task(number=number, folds=(fold,), epochs=length) for fold in all_folds[1:]]
        if 0 in trial.finished:
            return others
        stop = min((stop for stop in self._ladder.stops(number) if stop > trial.epochs), default=length)
        first = _Task(number=number, folds=(0,), epochs=stop - trial.epochs)
        # The starting recipe does not wait after fold 0.
        return [first] if number > 0 else [first, *others]

    def _finish(self, task: _Task) -> bool:
        """Record what has been trained; returns whether the trial is complete and the best so far."""
        trial = self._trials[task.number]
        length = trial.recipe.train.epochs
        self._trained += task.epochs * len(task.folds) / (NUM_FOLDS * length)
        scores = self._surface.accuracy(trial.recipe.flat()) + trial.noise
        for fold in task.folds:
            trial.epochs += task.epochs if fold == 0 else 0
            epochs = trial.epochs if fold == 0 else length
            self._ladder.add_epoch(task.number, self._epoch(trial, fold, epochs))
            if epochs == length:
                trial.finished.add(fold)
                if fold == 0:
                    self._ladder.add_score(task.number, float(scores[0]) / 100)
        if len(trial.finished) < NUM_FOLDS:
            return False
        score = float(scores.mean()) / 100
        self._study.tell(trial.asked, score)
        self._ladder.end(task.number)
        is_best, self._best = score > self._best, max(score, self._best)
        return is_best

    def _epoch(self, trial: _Trial, fold: int, epochs: int) -> Epoch:
        share = epochs / trial.recipe.train.epochs
        noise = trial.noise[fold] + (1 - share) * trial.early + trial.generator.normal(0, EPOCH_NOISE)
        accuracy = (self._surface.early(trial.recipe, share) + noise) / 100
        return Epoch(
            seed=0,
            fold=fold,
            epoch=epochs,
            train_loss=1.0,
            train_accuracy=0.5,
            validation_loss=1.0,
            validation_accuracy=float(accuracy),
            learning_rate=trial.recipe.optimizer.learning_rate,
            seconds=1.0,
            images_per_second=1.0,
            device_memory_mb=0.0,
        )


def regrets(arm: Arm, seed: int) -> list[float]:
    """Regrets of one search in the world of a seed."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    surface, best = _world(seed)
    return SimulatedSearch(arm, surface, searched_space(), seed).regrets(best)


@functools.cache
def _world(seed: int) -> tuple[Surface, float]:
    """The surface of a seed, and its best accuracy, which takes a second to find."""
    surface = Surface(searched_space(), seed)
    return surface, surface.best()


def rung_correlations(seed: int) -> list[float]:
    """Rank correlation between what random recipes show at each rung before the end of fold 0 and their accuracy."""
    space, generator = searched_space(), np.random.default_rng([seed, 4])
    surface = Surface(space, seed)
    names = [str(generator.choice(list(BEST_RATES))) for _ in range(NUM_CORRELATED)]
    recipes = [space.recipe(surface.draw(name, generator)) for name in names]
    accuracies = [surface.accuracy(recipe.flat()) for recipe in recipes]
    found = []
    for share in SHARES:
        spread = math.hypot(FOLD_NOISE, (1 - share) * EARLY_NOISE, EPOCH_NOISE)
        seen = [surface.early(recipe, share) + generator.normal(0, spread) for recipe in recipes]
        found.append(float(spearmanr(seen, accuracies).statistic))
    return found
