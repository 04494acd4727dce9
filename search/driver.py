"""The driver: begins trials, hears their reports, judges, ends them; the only writer of the study folder."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from leukemia.catalog import Catalog
from leukemia.config import Recipe
from leukemia.crossval import FoldResult
from leukemia.study import State, Study
from leukemia.train import Epoch
from search.judge import Contender, best_of, judge_fold
from search.searcher import Journal


class Tracker(Protocol):
    """Who else wants to know: Weights & Biases, or nobody."""

    def begin(self, number: int, recipe: Recipe) -> None: ...

    def epoch(self, number: int, epoch: Epoch) -> None: ...

    def fold(self, number: int, fold: dict[str, Any]) -> None: ...

    def end(self, number: int, state: State, reason: str, score: float | None) -> None: ...


class Display(Protocol):
    """What a person sees while the search runs."""

    def recall(self, number: int, recipe: Recipe, state: State, scores: list[float]) -> None: ...

    def begin(self, number: int, recipe: Recipe, scores: list[float]) -> None: ...

    def epoch(self, number: int, epoch: Epoch) -> None: ...

    def fold(self, number: int, fold: int, score: float) -> None: ...

    def end(self, number: int, state: State, reason: str, score: float | None) -> None: ...


@dataclass(frozen=True, kw_only=True)
class Limits:
    """When a search has done enough."""

    num_trials: int
    budget_hours: float = math.inf
    """Device hours; no trial begins once they are spent."""


class Driver:
    """One search over one study. It knows nothing of Ray, so that it can be driven by a loop in a test."""

    def __init__(
        self,
        study: Study,
        journal: Journal,
        catalog: Catalog,
        *,
        limits: Limits,
        objective: str,
        tracker: Tracker,
        display: Display,
        on_best: Callable[[Contender], None],
    ) -> None:
        """
        Args:
            on_best: called when the best complete trial changes, before anything says that this trial has ended.
        """
        self._study, self._journal, self._catalog = study, journal, catalog
        self._limits, self._objective = limits, objective
        self._tracker, self._display, self._on_best = tracker, display, on_best
        self._num_folds: int = study.info["folds"]
        self._seeds: dict[int, int] = {}
        self._stopped: dict[int, str] = {}
        self._failures: dict[int, str] = {}
        self._best: Contender | None = None
        self._device_seconds = self._spent_before()
        self._adopted = self._settle()
        self._best = best_of(self._contenders())
        self._recall()

    @property
    def best(self) -> Contender | None:
        """The best complete trial so far."""
        return self._best

    def begin(self) -> dict[str, Any] | None:
        """The next trial as its worker needs it (number, recipe as flat keys, finished folds), or None at the end."""
        if self._adopted:
            number, recipe = self._adopted.pop(0)
        elif self._journal.num_trials() < self._limits.num_trials and not self._budget_spent():
            number, recipe = self._journal.ask()
        else:
            return None
        if number not in self._study.trials():
            self._study.begin_trial(number, recipe)
        self._seeds[number] = recipe.train.seed
        self._tracker.begin(number, recipe)
        self._display.begin(number, recipe, self._scores(number))
        skip = self.folds_done(number)
        if skip and not self._judge(number):
            # Decided before the last driver died: a worker that skips all folds ends the trial at once.
            skip = list(range(self._num_folds))
        return {"number": number, "recipe": recipe.flat(), "skip": skip}

    def folds_done(self, number: int) -> list[int]:
        """Numbers of a begun trial's committed folds, ascending."""
        return self._study.folds_done(number, self._seeds[number])

    def hear(self, number: int, report: Epoch | FoldResult | str) -> bool:
        """Take in what a trial reports; returns whether it goes on.

        Args:
            report: an epoch; a finished fold; or why the trial failed, in words.
        """
        if number in self._stopped or number in self._failures:
            return False
        if isinstance(report, str):
            self._failures[number] = report
            return False
        if isinstance(report, Epoch):
            if self._study.write_epoch(number, report):
                self._device_seconds += report.seconds
                self._tracker.epoch(number, report)
                self._display.epoch(number, report)
            return True
        if self._study.write_fold(number, report, self._catalog.table):
            fold = self._study.fold(number, report.seed, report.fold)
            self._tracker.fold(number, fold)
            score = fold["scores"][self._objective]
            if score is not None:
                self._display.fold(number, report.fold, score)
        return self._judge(number)

    def _judge(self, number: int) -> bool:
        """Tell Optuna the folds so far and ask the judge whether the trial goes on."""
        seed = self._seeds[number]
        for done in self.folds_done(number):
            score = self._study.fold(number, seed, done)["scores"][self._objective]
            if score is None:
                self._failures[number] = f"{self._objective} is undefined in fold {done}"
                return False
            self._journal.report(number, done, score)
        seen = self._study.out_of_fold(number, seed)
        verdict = judge_fold(
            seen["label"].to_numpy(),
            seen["probability_leukemic"].to_numpy(),
            seen["group"].to_numpy(),
            seen["fold"].to_numpy(),
        )
        if not verdict.go_on:
            num_seen = seen["fold"].nunique()
            self._stopped[number] = f"{verdict.reason} after {num_seen} of {self._num_folds} folds"
        return verdict.go_on

    def end(self, number: int, process_failed: bool) -> None:
        """A trial is over: decide what it was, write it down, tell the tracker, then Optuna."""
        folds = self.folds_done(number)
        score: float | None = None
        state: State
        if number in self._failures:
            state, reason = "failed", self._failures[number]
        elif number in self._stopped:
            state, reason = "stopped", self._stopped[number]
        elif len(folds) == self._num_folds:
            state, reason = "complete", f"all {self._num_folds} folds"
            score = self._contender(number).score
        else:
            state = "failed"
            reason = "its process died again and again" if process_failed else "it ended before its last fold"
        self._close(number, state, reason, score)
        self._display.end(number, state, reason, score)

    def _close(self, number: int, state: State, reason: str, score: float | None) -> None:
        # The journal comes last: a trial that it holds as ended is complete everywhere else.
        self._study.end_trial(number, state, reason, score)
        self._tracker.end(number, state, reason, score)
        best = best_of(self._contenders())
        if best is not None and best != self._best:
            self._best = best
            self._on_best(best)
        self._journal.tell(number, state, score)

    def _settle(self) -> list[tuple[int, Recipe]]:
        """Trials that a dead driver left running: those whose end is written are closed, the rest go on."""
        going_on = []
        for number, recipe in self._journal.adopt():
            end = self._study.end(number)
            if end is None:
                going_on.append((number, recipe))
                continue
            self._seeds[number] = recipe.train.seed
            self._tracker.begin(number, recipe)
            for fold, score in enumerate(self._scores(number)):
                self._journal.report(number, fold, score)
            self._close(number, end["state"], end["reason"], end["score"])
        return going_on

    def _recall(self) -> None:
        for number in self._study.trials():
            end = self._study.end(number)
            if end is not None:
                recipe = self._study.recipe(number)
                self._seeds[number] = recipe.train.seed
                self._display.recall(number, recipe, end["state"], self._scores(number))

    def _scores(self, number: int) -> list[float]:
        """The objective of each committed fold, up to the first where it is undefined."""
        scores: list[float] = []
        for fold in self.folds_done(number):
            score = self._study.fold(number, self._seeds[number], fold)["scores"][self._objective]
            if score is None:
                break
            scores.append(score)
        return scores

    def _contenders(self) -> list[Contender]:
        ends = {number: self._study.end(number) for number in self._study.trials()}
        return [self._contender(number) for number, end in ends.items() if end and end["state"] == "complete"]

    def _contender(self, number: int) -> Contender:
        seed = self._study.recipe(number).train.seed
        scores = [
            self._study.fold(number, seed, fold)["scores"][self._objective]
            for fold in self._study.folds_done(number, seed)
        ]
        return Contender(number=number, fold_scores=tuple(scores))

    def _spent_before(self) -> float:
        return float(np.sum([self._study.epochs(number)["seconds"].sum() for number in self._study.trials()]))

    def _budget_spent(self) -> bool:
        return self._device_seconds / 3600.0 >= self._limits.budget_hours
