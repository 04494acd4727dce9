"""Whole studies on the ladder, against a slow and obvious implementation; nobody is lost, and nothing depends on order.

A step trains one epoch of every running trial. Recipes have two lengths and three schedules; some trials fail on the
way, some values are undefined, and epochs arrive again.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest
from helpers.ladders import epoch_of, recipe_of

from leukemia.config.recipe import Recipe
from leukemia.config.results import Epoch
from search.policy.ladder import Ladder
from search.policy.rules import Rules
from search.policy.rungs import Rungs

NUM_TRIALS = 30
NUM_FOLDS = 3
RESUMED = 0.02
"""Share of the epochs after which the ladder is rebuilt."""

EPOCHS_AT = {
    40: {0.05: 2, 0.15: 6, 0.45: 18, 1.0: 40},
    8: {0.15: 2, 0.45: 4, 1.0: 8},
}
"""By the length of training, as worked out by hand."""

SCHEDULES = {
    "ranger21": {"optimizer.name": "ranger21"},
    "one cycle": {"optimizer.name": "adamw", "optimizer.restart_epochs": "all", "optimizer.restart_factor": 2},
    "two cycles": {"optimizer.name": "adamw", "optimizer.restart_epochs": "half"},
}


@dataclass
class Trial:
    """A trial as the test sees it."""

    number: int
    length: int
    schedule: str
    values: list[float]
    losses: list[float]
    seconds: list[float]
    score: float
    fails_after: int | None
    """Epochs of fold 0 after which it fails."""

    trained: int = 0
    """Epochs of fold 0."""

    other_folds: int = 0
    ended: bool = False

    def recipe(self) -> Recipe:
        lengths = {"all": self.length, "half": self.length // 2}
        settings = {key: lengths.get(str(value), value) for key, value in SCHEDULES[self.schedule].items()}
        return recipe_of(self.length).with_settings({**settings, "train.epochs": self.length})

    def reached(self, share: float) -> bool:
        return share in EPOCHS_AT[self.length] and self.trained >= EPOCHS_AT[self.length][share]

    def waits_at(self) -> float | None:
        if self.number == 0 or self.ended or self.other_folds:
            return None
        return {epoch: share for share, epoch in EPOCHS_AT[self.length].items()}.get(self.trained)


@dataclass
class Slow:
    """The rule, written down without regard to time."""

    trials: list[Trial]
    by_cost: bool
    busy: set[int] = field(default_factory=set)

    def rank(self, trial: Trial, share: float) -> int:
        here = [each for each in self.trials if each.reached(share)]
        points = {each.number: (self.value(each, share, here), self.seconds(each, share)) for each in here}
        fronts: dict[int, int] = {}
        while self.by_cost and len(fronts) < len(here):
            left = [number for number in points if number not in fronts]
            undominated = [number for number in left if not any(dominates(points[o], points[number]) for o in left)]
            fronts |= dict.fromkeys(undominated, max(fronts.values(), default=-1) + 1)

        def key(each: Trial) -> tuple[float, float, float, int]:
            loss = each.losses[EPOCHS_AT[each.length][share] - 1]
            return fronts.get(each.number, 0), -points[each.number][0], loss, each.number

        return 1 + sum(key(other) < key(trial) for other in here)

    def value(self, trial: Trial, share: float, here: list[Trial]) -> float:
        if share == 1.0:
            return trial.score

        def raw(each: Trial) -> float:
            return each.values[EPOCHS_AT[each.length][share] - 1]

        if math.isnan(raw(trial)):
            return -math.inf
        everyone = [raw(each) for each in here if not math.isnan(raw(each))]
        own = [raw(each) for each in here if each.schedule == trial.schedule and not math.isnan(raw(each))]
        return raw(trial) - (math.fsum(own) + 4 * math.fsum(everyone) / len(everyone)) / (len(own) + 4)

    def seconds(self, trial: Trial, share: float) -> float:
        epochs = EPOCHS_AT[trial.length][share]
        return math.fsum(trial.seconds[:epochs]) / epochs

    def num_reached(self, share: float) -> int:
        return sum(each.reached(share) for each in self.trials)

    def promotable(self) -> int | None:
        for share in (1.0, 0.45, 0.15, 0.05):
            here = [each for each in self.trials if each.waits_at() == share and each.number not in self.busy]
            ranks = {self.rank(each, share): each.number for each in here}
            if ranks and min(ranks) <= self.num_reached(share) // 3:
                return ranks[min(ranks)]
        return None

    def waiting(self) -> list[int]:
        def key(trial: Trial) -> tuple[float, float, int]:
            share = trial.waits_at()
            assert share is not None
            return (self.rank(trial, share) - 0.5) / self.num_reached(share), -share, trial.number

        here = [each for each in self.trials if each.waits_at() is not None and each.number not in self.busy]
        return [each.number for each in sorted(here, key=key)]


def dominates(a: tuple[float, float], b: tuple[float, float]) -> bool:
    return a != b and a[0] >= b[0] and a[1] <= b[1]


def trial_of(number: int, rng: random.Random) -> Trial:
    length = rng.choice([8, 40, 40])
    schedule = rng.choice(list(SCHEDULES))
    start = {"ranger21": 0.5, "one cycle": 0.6, "two cycles": 0.7}[schedule]
    # Few distinct values, so that there are ties.
    values = [start + rng.randrange(10) / 50 if rng.random() > 0.05 else math.nan for _ in range(length)]
    fails_after = rng.randrange(1, 40) if number and rng.random() < 0.2 else None
    return Trial(
        number=number,
        length=length,
        schedule=schedule,
        values=values,
        losses=[rng.randrange(5) / 10 for _ in range(length)],
        seconds=[rng.choice([1.0, 2.0, 4.0]) for _ in range(length)],
        score=rng.randrange(20) / 20,
        fails_after=fails_after,
    )


def records_of(trial: Trial) -> Iterator[tuple[str, int, Epoch | float | None]]:
    """What a study folder contains of a trial."""
    for epoch in range(1, trial.trained + 1):
        yield "add_epoch", trial.number, fold_epoch(trial, epoch)
    if trial.trained == trial.length:
        yield "add_score", trial.number, trial.score
    for fold in range(1, trial.other_folds + 1):
        yield "add_epoch", trial.number, epoch_of(1, 0.5, fold=fold)
    if trial.ended:
        yield "end", trial.number, None


def fold_epoch(trial: Trial, epoch: int) -> Epoch:
    index = epoch - 1
    return epoch_of(epoch, trial.values[index], trial.losses[index], seconds=trial.seconds[index])


def rebuilt(trials: list[Trial], rules: Rules, rng: random.Random) -> Ladder:
    """The ladder after a resume, its records in any order; some arrive twice."""
    ladder = Ladder(rules, Rungs())
    for trial in rng.sample(trials, len(trials)):
        ladder.begin(trial.number, trial.recipe())
    records = [record for trial in trials for record in records_of(trial)]
    for method, number, content in rng.sample(records, len(records)) + rng.sample(records, len(records) // 10):
        getattr(ladder, method)(*((number,) if content is None else (number, content)))
    return ladder


class Study:
    """Runs a study with some places, asking the ladder and the slow implementation for each free one."""

    def __init__(self, seed: int, slots: int, *, by_cost: bool) -> None:
        self.rng, self.slots = random.Random(seed), slots
        self.rules = Rules(num_folds=NUM_FOLDS, objective="tta_accuracy", by_cost=by_cost, pausing=True)
        self.ladder = Ladder(self.rules, Rungs())
        self.slow = Slow([], by_cost)
        self.fallbacks = self.resumes = 0

    def take(self) -> int | None:
        """The next job, in the order of work; both implementations agree on it."""
        busy = self.slow.busy
        promotable, waiting = self.ladder.promotable(busy), self.ladder.waiting(busy)
        assert promotable == self.slow.promotable()
        assert waiting == self.slow.waiting()
        if promotable is not None:
            return promotable
        if len(self.slow.trials) < NUM_TRIALS:
            trial = trial_of(len(self.slow.trials), self.rng)
            self.slow.trials.append(trial)
            self.ladder.begin(trial.number, trial.recipe())
            return trial.number
        if waiting:
            self.fallbacks += 1
            return waiting[0]
        return None

    def run(self) -> None:
        while True:
            while len(self.slow.busy) < self.slots and (number := self.take()) is not None:
                self.slow.busy.add(number)
            if not self.slow.busy:
                return
            for number in sorted(self.slow.busy):
                self.step(self.slow.trials[number])
            if self.rng.random() < RESUMED * len(self.slow.busy):
                self.resume()

    def resume(self) -> None:
        """Go on with a ladder rebuilt from the records, which must be the same."""
        before, self.ladder = self.ladder, rebuilt(self.slow.trials, self.rules, self.rng)
        numbers = [trial.number for trial in self.slow.trials]
        assert [self.ladder.place(number) for number in numbers] == [before.place(number) for number in numbers]
        assert self.ladder.promotable(self.slow.busy) == before.promotable(self.slow.busy)
        self.resumes += 1

    def step(self, trial: Trial) -> None:
        number = trial.number
        if trial.trained == trial.fails_after:
            trial.ended = True
            self.ladder.end(number)
        elif trial.trained < trial.length:
            trial.trained += 1
            self.ladder.add_epoch(number, fold_epoch(trial, trial.trained))
            if trial.trained == trial.length:
                self.ladder.add_score(number, trial.score)
        elif trial.other_folds < NUM_FOLDS - 1:
            trial.other_folds += 1
            self.ladder.add_epoch(number, epoch_of(1, 0.5, fold=trial.other_folds))
        else:
            trial.ended = True
            self.ladder.end(number)
        place = self.ladder.place(number)
        assert (None if place is None else place.share) == trial.waits_at()
        if trial.ended or place is not None:
            self.slow.busy.discard(number)


@pytest.mark.parametrize("by_cost", [False, True], ids=["score", "score and cost"])
@pytest.mark.parametrize(("seed", "slots"), [(0, 1), (1, 3), (2, 8)])
def test_a_study_runs_as_the_slow_implementation_says_and_nobody_is_lost(seed: int, slots: int, by_cost: bool) -> None:
    study = Study(seed, slots, by_cost=by_cost)
    study.run()
    trials = study.slow.trials
    assert len(trials) == NUM_TRIALS
    assert all(trial.ended for trial in trials)
    assert sum(trial.other_folds == NUM_FOLDS - 1 for trial in trials) > NUM_TRIALS // 2
    # The test would be vacuous if the ladder never had to fall back on those that wait.
    assert study.fallbacks > NUM_TRIALS // 2
    assert study.resumes > 5
