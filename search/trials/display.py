"""What a person sees: a live table on a terminal, plain lines elsewhere, nothing on a quiet console."""

from __future__ import annotations

import contextlib
import logging
import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import pandas as pd
from rich import box
from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from leukemia.config.recipe import Recipe
from leukemia.config.results import Epoch
from leukemia.study.job import Job
from leukemia.study.listener import Listener
from leukemia.study.schema import FoldRecord, State

log = logging.getLogger(__name__)

_STYLES: dict[str, str] = {"complete": "green", "stopped": "yellow", "failed": "red", "running": "cyan"}


@dataclass
class _Line:
    """A trial as the table shows it."""

    recipe: Recipe
    state: str = "running"
    fold: int = 0
    epoch: int = 0
    scores: list[float] = field(default_factory=list)

    @property
    def mean(self) -> float | None:
        return sum(self.scores) / len(self.scores) if self.scores else None


class TerminalDisplay(Listener):
    """The search as it runs. On a terminal a table is redrawn; elsewhere each event is a line. All goes to the log."""

    def __init__(self, console: Console, *, num_trials: int, num_folds: int, objective: str) -> None:
        self._console, self._num_trials, self._num_folds = console, num_trials, num_folds
        self._objective = objective
        self._lines: dict[Job, _Line] = {}
        self._start = time.monotonic()

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        """Show the table while the search runs."""
        if not self._console.is_terminal:
            yield
            return
        with Live(get_renderable=self._render, console=self._console, refresh_per_second=2, transient=True):
            yield

    def recall(self, job: Job, recipe: Recipe, state: State, scores: Sequence[float]) -> None:
        """Show a trial that had ended before this search was resumed."""
        self._lines[job] = _Line(recipe=recipe, state=state, scores=list(scores))

    def begin(self, job: Job, recipe: Recipe, scores: Sequence[float]) -> None:
        """Show a job from now on."""
        self._lines[job] = _Line(recipe=recipe, scores=list(scores), fold=len(scores))
        how = f"resumes after {len(scores)} of {self._num_folds} folds" if scores else "begins"
        self._print(f"trial {job.label} {how}: {recipe.describe()}")

    def epoch(self, job: Job, epoch: Epoch) -> None:
        """Show how far the job is; the log has the loss."""
        line = self._lines[job]
        line.fold, line.epoch = epoch.fold, epoch.epoch
        log.info(
            f"trial {job.label} fold {epoch.fold + 1}/{self._num_folds} "
            f"epoch {epoch.epoch}/{line.recipe.train.epochs}: loss {epoch.train_loss:.4f}"
        )

    def fold(self, job: Job, fold: FoldRecord) -> None:
        """Show the score of a fold; without one the trial fails, and its end says why."""
        score = fold.scores[self._objective]
        if score is not None:
            self._lines[job].scores.append(score)
            number = fold.fold + 1
            self._print(f"trial {job.label} fold {number}/{self._num_folds}: {self._objective} {score:.4f}")

    def end(self, job: Job, state: State, reason: str, score: float | None) -> None:
        """Show how a job ended."""
        self._lines[job].state = state
        result = f"{self._objective} {score:.4f}" if score is not None else reason
        self._print(f"trial {job.label} {state}: {result}")

    def note(self, message: str) -> None:
        """Show a message about the search as a whole."""
        self._print(message)

    def _print(self, message: str) -> None:
        log.info(message)
        if not self._console.is_terminal:
            self._console.print(message, markup=False, highlight=False, soft_wrap=True)

    def _render(self) -> Group:
        # Called from the thread that refreshes the terminal: the lines are copied first.
        lines = sorted(self._lines.items(), key=lambda item: (item[0].number, item[0].is_repeat, item[0].seed))
        table = _table("trial", "state", "recipe", "fold", "epoch", self._objective)
        for job, line in lines[-max(4, self._console.height - 6) :]:
            running = line.state == "running"
            table.add_row(
                job.label,
                Text(line.state, style=_STYLES[line.state]),
                _recipe_cell(line.recipe.describe()),
                f"{min(line.fold + 1, self._num_folds) if running else len(line.scores)}/{self._num_folds}",
                f"{line.epoch}/{line.recipe.train.epochs}" if running else "",
                "" if line.mean is None else f"{line.mean:.4f}",
            )
        return Group(table, self._foot([line for job, line in lines if not job.is_repeat]))

    def _foot(self, lines: list[_Line]) -> Text:
        ended = sum(line.state != "running" for line in lines)
        best = max((line.mean for line in lines if line.state == "complete" and line.mean is not None), default=None)
        minutes, seconds = divmod(int(time.monotonic() - self._start), 60)
        parts = [f"{ended} of {self._num_trials} trials", f"{minutes}:{seconds:02d}", "Ctrl-C keeps all finished folds"]
        if best is not None:
            parts.insert(1, f"best {best:.4f}")
        return Text(", ".join(parts), no_wrap=True, overflow="ellipsis")


def _table(*names: str) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    for name in names:
        is_text = name in ("trial", "state", "recipe")
        # Where the terminal is narrow, recipes give way.
        table.add_column(name, justify="left" if is_text else "right", no_wrap=name != "recipe")
    return table


def _recipe_cell(text: str) -> Text:
    return Text(text, no_wrap=True, overflow="ellipsis")


def say(console: Console, words: str) -> None:
    """Print and log, as it is: without markup or wrapping."""
    log.info(words)
    console.print(words, markup=False, highlight=False, soft_wrap=True)


def print_trials(console: Console, trials: pd.DataFrame, objective: str) -> None:
    """The table of all trials, best first. Columns: those of ``Study.trial_table``."""
    table = _table("trial", "state", "recipe", "folds", "seeds", objective)
    for row in trials.to_dict("records"):
        score = "" if math.isnan(row["score"]) else f"{row['score']:.4f}"
        state = Text(row["state"], style=_STYLES[row["state"]])
        table.add_row(row["trial"], state, _recipe_cell(row["recipe"]), row["folds"], str(row["seeds"]), score)
    console.print(table)
    for row in trials[trials["state"].isin(["failed", "stopped"])].to_dict("records"):
        words = f"{row['trial']} {row['state']}: {row['reason']}"
        console.print(words, markup=False, highlight=False, soft_wrap=True)
