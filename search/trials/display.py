"""The console output: a live table on a terminal, plain lines otherwise, nothing on a quiet console."""

from __future__ import annotations

import contextlib
import logging
import math
import time
from collections.abc import Collection, Iterator, Mapping, Sequence

import pandas as pd
from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from leukemia.base import progress
from leukemia.base.printable import printable
from leukemia.base.quantity import quantity
from leukemia.config.recipe import Recipe
from leukemia.config.results import Epoch, fold_name
from leukemia.scoring.metrics import Interval
from leukemia.study.comparison import Compared
from leukemia.study.duration import duration
from leukemia.study.given_recipes import with_name
from leukemia.study.job import Job
from leukemia.study.ladder import Place
from leukemia.study.listener import Listener
from leukemia.study.outlook import Outlook
from leukemia.study.schema import FoldRecord, State
from search.trials.live_table import STYLES, Row, live_table, recipe_cell, shown, table_with

log = logging.getLogger(__name__)

_UNKNOWN = Interval(math.nan, math.nan, math.nan)

_OPEN = ("running", "waiting")
"""States of jobs that have not ended."""


class TerminalDisplay(Listener):
    """Shows a running search: a live table on a terminal, otherwise a line per event. All events are logged."""

    def __init__(
        self,
        console: Console,
        *,
        num_trials: int,
        num_folds: int,
        objective: str,
        searched: Collection[str] = (),
        names: Mapping[int, str] | None = None,
        trained: Mapping[Job, int] | None = None,
    ) -> None:
        """Show a search.

        Args:
            searched: dotted keys of the fields in which recipes differ.
            names: of recipes that the user has named, by trial.
            trained: number of epochs, in folds that are not finished, that an earlier session has trained.
        """
        self._console, self._num_trials, self._num_folds = console, num_trials, num_folds
        self._objective, self._searched, self._names = objective, searched, names or {}
        self._trained = dict(trained or {})
        self._rows: dict[Job, Row] = {}
        self._start = time.monotonic()
        self._outlook: Outlook | None = None
        self._ends_by: tuple[str, float] | None = None
        """The limit that is expected to end the search, and when, on the clock of ``_start``."""

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        """Show the live table within this block, on a terminal. An error, or Ctrl-C, leaves its last state there."""
        if not self._console.is_terminal:
            yield
            return
        live = Live(get_renderable=self._render, console=self._console, refresh_per_second=2, transient=True)
        with progress.drawing(), live:
            try:
                yield
            except BaseException:
                live.transient = False
                raise

    def recall(self, job: Job, recipe: Recipe, state: State, scores: Sequence[float]) -> None:
        """Show a trial that ended before the search was resumed."""
        self._rows[job] = Row(recipe=recipe, state=state, scores=list(scores))

    def begin(self, job: Job, recipe: Recipe, scores: Sequence[float]) -> None:
        """Show a job that starts or resumes."""
        how = f"resumes after {len(scores)} of {self._num_folds} folds" if scores else "starts"
        if (known := self._trained.pop(job, 0)) and not scores:
            # Only its worker knows whether it has a checkpoint, and from which epoch.
            how = f"resumes ({quantity(known, 'epoch')} trained before)"
        if job in self._rows and self._rows[job].state == "waiting":
            how = "goes on"
        self._rows[job] = Row(recipe=recipe, scores=list(scores))
        self._print(f"trial {job.label} {how}: {with_name(self._names.get(job.number), recipe.describe())}")

    def epoch(self, job: Job, epoch: Epoch) -> None:
        """Show the progress of a job; the loss is only logged."""
        row = self._rows[job]
        row.add_epoch(epoch, time.monotonic())
        log.info(
            f"trial {job.label} {fold_name(epoch.fold)}/{self._num_folds} "
            f"epoch {epoch.epoch}/{row.recipe.train.epochs}: loss {epoch.train_loss:.4f}"
        )

    def fold(self, job: Job, fold: FoldRecord) -> None:
        """Show the score of a fold. If it is undefined, the trial fails, and its end shows the reason."""
        score = fold.scores[self._objective]
        if score is not None:
            self._rows[job].add_fold(fold.fold, score)
            self._print(f"trial {job.label} {fold_name(fold.fold)}/{self._num_folds}: {self._objective} {score:.4f}")

    def wait(self, job: Job, recipe: Recipe, scores: Sequence[float], where: str) -> None:
        """Show where a trial waits."""
        self._rows[job] = Row(recipe=recipe, state="waiting", scores=list(scores))
        self._print(f"trial {job.label} {where}")

    def places(self, places: Mapping[int, Place]) -> None:
        """Show the present ranks of all trials that wait."""
        for job, row in self._rows.items():
            if row.state == "waiting":
                row.place = places.get(job.number)

    def outlook(self, outlook: Outlook) -> None:
        """Show the device time that is used and left, and the time to go."""
        now, self._outlook = time.monotonic(), outlook
        found = outlook.time_to_go(now - self._start)
        self._ends_by = None if found is None else (found[0], now + found[1])

    def end(self, job: Job, state: State, reason: str, score: float | None) -> None:
        """Show how a job ended."""
        self._rows[job].state = state
        result = f"{self._objective} {score:.4f}" if score is not None else reason
        self._print(f"trial {job.label} {state}: {result}")

    def note(self, message: str) -> None:
        """Show a message about the search."""
        self._print(message)

    def _print(self, message: str) -> None:
        log.info(message)
        if not self._console.is_terminal:
            _print(self._console, f"{time.strftime('%H:%M:%S')} {message}")

    def _render(self) -> Group:
        # Called from the refresh thread, so copy the rows first.
        rows = sorted(self._rows.items(), key=lambda item: (item[0].number, item[0].is_repeat, item[0].seed))
        table = live_table(
            shown(rows, max(3, self._console.height - 8)),
            searched=self._searched,
            names=self._names,
            num_folds=self._num_folds,
            now=time.monotonic(),
        )
        return Group(table, *self._footer([row for job, row in rows if not job.is_repeat]))

    def _footer(self, rows: list[Row]) -> Iterator[Text]:
        ended = sum(row.state not in _OPEN for row in rows)
        waiting = sum(row.state == "waiting" for row in rows)
        best = max((row.mean for row in rows if row.state == "complete" and row.mean is not None), default=None)
        minutes, seconds = divmod(int(time.monotonic() - self._start), 60)
        trials = [
            f"{ended} of {self._num_trials} trials",
            *([f"{waiting} waiting"] if waiting else []),
            *([] if best is None else [f"highest {self._objective} {best:.4f}, uncorrected"]),
        ]
        times = [f"{minutes}:{seconds:02d}", *self._device_time(), *self._time_to_go()]
        yield _line(trials)
        yield _line(times)
        yield Text("Ctrl-C keeps all finished folds")

    def _device_time(self) -> Iterator[str]:
        if self._outlook is not None:
            yield f"{duration(self._outlook.used)} on devices"
            if math.isfinite(self._outlook.budget):
                yield f"{duration(self._outlook.budget)} left"

    def _time_to_go(self) -> Iterator[str]:
        if self._ends_by is not None and (left := self._ends_by[1] - time.monotonic()) > 0:
            yield f"about {duration(left)} to go by {self._ends_by[0]}"


def _line(parts: Sequence[str]) -> Text:
    return Text(", ".join(parts), no_wrap=True, overflow="ellipsis")


def print_line(console: Console, line: str) -> None:
    """Print and log a line, made printable, without markup or wrapping."""
    log.info(line)
    _print(console, line)


def _print(console: Console, line: str) -> None:
    console.print(printable(line), markup=False, highlight=False, soft_wrap=True)


def print_comparison(console: Console, recipes: Sequence[Compared], objective: str) -> None:
    """Print a comparison's recipes in their order, as of ``leukemia.study.comparison.compared``; nothing for a search.

    Args:
        objective: the study's.
    """
    if not recipes:
        return
    score, first = objective.split(",")[0], recipes[0]
    if all(each.difference is None for each in recipes):
        which = "trial 0000 has not" if first.score is None else "no other trial has"
        print_line(console, f"comparison: none, since {which} finished all folds")
        return
    table = table_with("trial", "recipe", "seeds", score, "95 % interval", "points", "95 % interval")
    for each in recipes:
        own = each.score or _UNKNOWN
        found = each.difference or _UNKNOWN
        table.add_row(
            f"{each.number:04d}",
            recipe_cell(each.label),
            str(each.seeds or ""),
            each.state if each.score is None else f"{own.value:.4f}",
            "" if math.isnan(own.low) else f"{own.low:.4f} to {own.high:.4f}",
            "" if math.isnan(found.value) else f"{100 * found.value:+.1f}",
            "" if math.isnan(found.low) else f"{100 * found.low:+.1f} to {100 * found.high:+.1f}",
        )
    console.print(table)
    print_line(
        console,
        f"comparison: points are differences from trial {first.number:04d}, {first.label}, paired over the same "
        "images; their intervals have the noise of seeds, and are not adjusted for the number of recipes",
    )


def print_trials(console: Console, trials: pd.DataFrame, objective: str) -> None:
    """Print the table of all trials, as returned by ``leukemia.study.table.trial_table``, and why some ended early.

    Args:
        objective: the study's; with cost as second objective, the table has a column of it.
    """
    score_name, *cost = objective.split(",")
    table = table_with("trial", "state", "recipe", "folds", "seeds", score_name, *cost)
    for row in trials.to_dict("records"):
        score = "" if math.isnan(row["score"]) else f"{row['score']:.4f}"
        state = Text(row["state"], style=STYLES[row["state"]])
        spent = [duration(row["seconds"])] if cost else []
        table.add_row(row["trial"], state, recipe_cell(row["recipe"]), row["folds"], str(row["seeds"]), score, *spent)
    console.print(table)
    for row in trials[trials["state"].isin(["failed", "stopped"])].to_dict("records"):
        _print(console, f"{row['trial']} {row['state']}: {row['reason']}")
    for row in trials[trials["state"] == "waiting"].to_dict("records"):
        _print(console, f"{row['trial']} {row['reason']}")
