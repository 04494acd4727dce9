"""The live table of a running search: a row per job, with what its recipe differs in and how far it has come."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from rich import box
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from leukemia.config.recipe import Recipe
from leukemia.config.results import Epoch
from leukemia.study.given_recipes import with_name
from leukemia.study.job import Job
from leukemia.study.ladder import Place, rung_name

STYLES: dict[str, str] = {
    "complete": "green",
    "stopped": "yellow",
    "failed": "red",
    "running": "cyan",
    "waiting": "blue",
}

_MOST_OF_AN_EPOCH = 0.9
"""What a bar shows at most of an epoch whose end has not been reported."""

_BAR_WIDTH = 8


@dataclass
class Row:
    """A job: its state, and what has been reported."""

    recipe: Recipe
    state: str = "running"
    scores: list[float] = field(default_factory=list)
    """Of the finished folds."""

    place: Place | None = None
    """Where it waits."""

    _open: dict[int, tuple[int, float, float]] = field(default_factory=dict)
    """By fold that is not finished: its last epoch, when that was reported, and how long it took, both in seconds."""

    @property
    def mean(self) -> float | None:
        """Of the scores; None without."""
        return sum(self.scores) / len(self.scores) if self.scores else None

    def add_epoch(self, epoch: Epoch, now: float) -> None:
        """An epoch has ended.

        Args:
            now: in seconds, on any clock that does not stop.
        """
        self._open[epoch.fold] = epoch.epoch, now, epoch.seconds

    def add_fold(self, fold: int, score: float) -> None:
        """A fold has ended."""
        self._open.pop(fold, None)
        self.scores.append(score)

    def share(self, num_folds: int, now: float) -> float:
        """The share of the job that is trained, 0..1; within an epoch, estimated by the time that the last one took.

        >>> Row(Recipe(), scores=[0.9]).share(5, 0.0)
        0.2
        """
        open_epochs = 0.0
        for number, reported, seconds in self._open.values():
            within = min(_MOST_OF_AN_EPOCH, (now - reported) / seconds) if seconds else 0.0
            open_epochs += min(number + within, self.recipe.train.epochs)
        return min(1.0, (len(self.scores) + open_epochs / self.recipe.train.epochs) / num_folds)


def live_table(
    rows: Sequence[tuple[Job, Row]],
    *,
    searched: Collection[str],
    names: Mapping[int, str] | None = None,
    num_folds: int,
    now: float,
) -> Table:
    """The table, whose recipes name only the fields that are searched.

    Args:
        rows: that fit on the terminal.
        searched: dotted keys.
        names: of recipes that the user has named, by trial.
        now: on the clock of ``Row.add_epoch``.
    """
    table = table_with("trial", "state", "progress", "recipe", "score")
    for job, row in rows:
        table.add_row(
            job.label.replace("seed ", "s"),
            Text(row.state, style=STYLES[row.state]),
            _progress(row, num_folds, now),
            recipe_cell(with_name((names or {}).get(job.number), row.recipe.describe_fields(searched))),
            "" if row.mean is None else f"{row.mean:.4f}",
        )
    return table


def _progress(row: Row, num_folds: int, now: float) -> Table | str:
    if row.state == "waiting" and row.place is not None:
        return f"at {rung_name(row.place.share)}, {row.place.rank} of {row.place.reached}"
    folds = f"{len(row.scores)}/{num_folds}"
    if row.state != "running":
        return f"{folds} folds"
    share = row.share(num_folds, now)
    cell = Table.grid(padding=(0, 1, 0, 0))
    cell.add_row(folds, ProgressBar(completed=share, total=1.0, width=_BAR_WIDTH), f"{share:.0%}")
    return cell


def shown(rows: list[tuple[Job, Row]], number: int) -> list[tuple[Job, Row]]:
    """The rows that fit, in their order: of jobs that run, wherever they are, then the last of the others."""
    running = [index for index, (_, row) in enumerate(rows) if row.state == "running"][-number:]
    others = [index for index, (_, row) in enumerate(rows) if row.state != "running"]
    return [rows[index] for index in sorted([*running, *others[max(0, len(others) + len(running) - number) :]])]


def table_with(*names: str) -> Table:
    """An empty table with these columns."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    for name in names:
        is_text = name in ("trial", "state", "progress", "recipe")
        # On a narrow terminal only the recipes are truncated.
        table.add_column(name, justify="left" if is_text else "right", no_wrap=name != "recipe")
    return table


def recipe_cell(text: str) -> Text:
    """Truncated where the column is narrower."""
    return Text(text, no_wrap=True, overflow="ellipsis")
