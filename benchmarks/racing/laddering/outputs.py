"""The files of results: a document for each family of tables, and the intervals of all ratios."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from benchmarks.racing.laddering.cell import Cell, Effort, Result
from benchmarks.racing.laddering.report import figures_of, heading, markdown, shown, summary_of
from leukemia.base.files import atomic, read_json, write_json

INTERVALS = "ladder_intervals.json"
"""By cell and ratio, the value and the ends of its interval, or None: what a slow test holds a cell to."""


class Outputs:
    """Collects cells and rewrites the files after each, so that an interrupted benchmark keeps what it has."""

    def __init__(self, folder: Path, command: str, effort: Effort) -> None:
        self._folder, self._command, self._effort = folder, command, effort
        self._lines: dict[str, list[str]] = defaultdict(list)
        self.summary: dict[str, dict[str, float | None]] = {}
        """By cell, as ``report.summary_of``."""

    @property
    def paths(self) -> list[Path]:
        """The documents written so far."""
        return [self._path(family) for family in self._lines]

    def add(self, cell: Cell, results: Sequence[Result]) -> str:
        """Write a cell's results; returns a line that sums them up. Cells of other runs stay in the intervals."""
        figures, family = figures_of(results), cell.worlds.family
        self.summary[cell.name] = summary_of(results, figures)
        self._lines[family] += markdown(cell, results)
        self._folder.mkdir(parents=True, exist_ok=True)
        text = "\n".join([*heading(family, self._command, self._effort), "", *self._lines[family]])
        with atomic(self._path(family)) as temporary:
            temporary.write_text(text.rstrip() + "\n", encoding="utf-8")
        path = self._folder / INTERVALS
        known = read_json(path) if path.is_file() else {}
        finite = {
            name: [None if math.isnan(each) else round(each, 4) for each in values] for name, values in figures.items()
        }
        write_json(path, dict(sorted({**known, cell.name: {"seeds": self._effort.seeds, **finite}}.items())))
        return f"{cell.name}: " + ", ".join(
            f"{name.replace('_', ' ')} {shown(values)}" for name, values in figures.items()
        )

    def _path(self, family: str) -> Path:
        return self._folder / f"ladder_{family}.md"
