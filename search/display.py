"""What a person sees: a live table on a terminal, plain lines elsewhere, nothing when told to be quiet."""

from __future__ import annotations

import contextlib
import logging
import math
import time
from collections.abc import Iterator
from dataclasses import dataclass

import pandas as pd
from rich import box
from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from leukemia.config import Recipe
from leukemia.study import State
from leukemia.train import Epoch

log = logging.getLogger("search")

_STYLES: dict[str, str] = {"complete": "green", "stopped": "yellow", "failed": "red", "running": "cyan"}


@dataclass
class _Line:
    """A trial as the table shows it."""

    recipe: Recipe
    state: str = "running"
    fold: int = 0
    epoch: int = 0
    total: float = 0.0
    num_folds: int = 0
    note: str = ""

    @property
    def mean(self) -> float | None:
        return self.total / self.num_folds if self.num_folds else None


class TerminalDisplay:
    """The search as it runs. On a terminal a table is redrawn; elsewhere each event is a line."""

    def __init__(self, console: Console, *, num_trials: int, num_folds: int, objective: str) -> None:
        self._console, self._num_trials, self._num_folds = console, num_trials, num_folds
        self._objective = objective
        self._lines: dict[int, _Line] = {}
        self._start = time.monotonic()

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        """Show the table while the search runs."""
        if not self._console.is_terminal:
            yield
            return
        with Live(get_renderable=self._render, console=self._console, refresh_per_second=2, transient=True):
            yield

    def begin(self, number: int, recipe: Recipe) -> None:
        """A trial begins."""
        self._lines[number] = _Line(recipe=recipe)
        self._say(f"trial {number:04d} begins: {recipe.describe()}")

    def epoch(self, number: int, epoch: Epoch) -> None:
        """An epoch has ended."""
        line = self._lines[number]
        line.fold, line.epoch = epoch.fold, epoch.epoch
        log.info("trial %04d fold %d epoch %d: loss %.4f", number, epoch.fold, epoch.epoch, epoch.train_loss)

    def fold(self, number: int, fold: int, score: float) -> None:
        """A fold has ended."""
        line = self._lines[number]
        line.total += score
        line.num_folds += 1
        self._say(f"trial {number:04d} fold {fold + 1}/{self._num_folds}: {self._objective} {score:.4f}")

    def end(self, number: int, state: State, reason: str, score: float | None) -> None:
        """A trial has ended."""
        line = self._lines.setdefault(number, _Line(recipe=Recipe()))
        line.state, line.note = state, "" if state == "complete" else reason
        words = f"{self._objective} {score:.4f}" if score is not None else reason
        self._say(f"trial {number:04d} {state}: {words}")

    def _say(self, words: str) -> None:
        log.info(words)
        if not self._console.is_terminal:
            self._console.print(words, markup=False, highlight=False, soft_wrap=True)

    def _render(self) -> Group:
        table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
        for name in ("trial", "state", "recipe", "fold", "epoch", self._objective):
            table.add_column(name, justify="right" if name in ("fold", "epoch", self._objective) else "left")
        for number, line in sorted(self._lines.items())[-max(8, self._console.height - 8) :]:
            running = line.state == "running"
            table.add_row(
                f"{number:04d}",
                Text(line.state, style=_STYLES[line.state]),
                line.recipe.describe(),
                f"{line.fold + 1}/{self._num_folds}" if running else f"{line.num_folds}/{self._num_folds}",
                f"{line.epoch}/{line.recipe.train.epochs}" if running else "",
                "" if line.mean is None else f"{line.mean:.4f}",
            )
        ended = sum(line.state != "running" for line in self._lines.values())
        minutes, seconds = divmod(int(time.monotonic() - self._start), 60)
        foot = Text(f"{ended} of {self._num_trials} trials, {minutes}:{seconds:02d}, Ctrl-C keeps all finished folds")
        return Group(table, foot)


class QuietDisplay:
    """No display; the log still hears everything that matters."""

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        """Show nothing."""
        yield

    def begin(self, number: int, recipe: Recipe) -> None:
        """A trial begins."""
        log.info("trial %04d begins: %s", number, recipe.describe())

    def epoch(self, number: int, epoch: Epoch) -> None:
        """An epoch has ended."""

    def fold(self, number: int, fold: int, score: float) -> None:
        """A fold has ended."""
        log.info("trial %04d fold %d: %.4f", number, fold, score)

    def end(self, number: int, state: State, reason: str, score: float | None) -> None:
        """A trial has ended."""
        log.info("trial %04d %s: %s", number, state, reason)


def print_trials(console: Console, trials: pd.DataFrame, objective: str) -> None:
    """The table of all trials, best first. Columns: ``trial, state, recipe, folds, score, reason``."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for name in ("trial", "state", "recipe", "folds", objective):
        table.add_column(name, justify="right" if name in ("folds", objective) else "left", no_wrap=name != "recipe")
    for row in trials.to_dict("records"):
        score = "" if math.isnan(row["score"]) else f"{row['score']:.4f}"
        table.add_row(row["trial"], Text(row["state"], style=_STYLES[row["state"]]), row["recipe"], row["folds"], score)
    console.print(table)
    for row in trials[trials["state"].isin(["failed", "stopped"])].to_dict("records"):
        words = f"{row['trial']} {row['state']}: {row['reason']}"
        console.print(words, markup=False, highlight=False, soft_wrap=True)
