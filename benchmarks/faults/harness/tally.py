"""The outcomes of all kills so far, in a file, so that a benchmark that takes hours can be continued."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.faults.harness.moments import MOMENTS, Moment
from leukemia.base.errors import UserError
from leukemia.base.files import write_text


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """A search that was killed and completed."""

    kind: str
    """What was killed: ``driver``, ``trial`` or ``ray``."""

    number: int
    """From 1, of the kills of this kind."""

    moment: Moment
    repeated_epochs: int
    shared_folds: int
    """Finished folds that were compared with those of the undisturbed search."""

    problems: Sequence[str]
    """What differs; empty if the search kept all that it should."""


class Tally:
    """The outcomes of a benchmark."""

    def __init__(self, path: Path, options: dict[str, Any]) -> None:
        """
        Args:
            path: of the file, with a line of JSON for the options, then one for each outcome; continued if it exists.
            options: of the benchmark, on which its outcomes depend.

        Raises:
            UserError: the file is of other options.
        """
        self._path, self._options = path, options
        self._outcomes: list[Outcome] = []
        if not path.exists():
            self._save()
            return
        before, *lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
        if before != options:
            raise UserError(f"{path}: was begun with {before}, got {options}; give another --name")
        self._outcomes = [Outcome(**line) for line in lines]

    def add(self, outcome: Outcome) -> None:
        """Add an outcome."""
        self._outcomes.append(outcome)
        self._save()

    def _save(self) -> None:
        lines = [self._options, *map(dataclasses.asdict, self._outcomes)]
        write_text(self._path, "".join(f"{json.dumps(line)}\n" for line in lines))

    def of(self, kind: str) -> dict[int, Outcome]:
        """The outcomes of a kind of kill, by number."""
        return {each.number: each for each in self._outcomes if each.kind == kind}

    def table(self) -> list[str]:
        """How many searches kept everything, by the moment and the kind of the kill, as lines of Markdown."""
        kinds = sorted({each.kind for each in self._outcomes})
        rows = [["moment of the kill", *kinds], ["---"] * (len(kinds) + 1)]
        for moment in MOMENTS:
            cells = [[each for each in self._outcomes if (each.moment, each.kind) == (moment, kind)] for kind in kinds]
            if any(cells):
                rows.append([moment, *(_share(cell) for cell in cells)])
        return [f"| {' | '.join(row)} |" for row in rows]

    def summary(self) -> dict[str, Any]:
        """For JSON: options and counts."""
        return {
            **self._options,
            "kills": len(self._outcomes),
            "passed": sum(not each.problems for each in self._outcomes),
            "repeated_epochs": sum(each.repeated_epochs for each in self._outcomes),
            "shared_folds": sum(each.shared_folds for each in self._outcomes),
            "moments": {
                moment: sum(each.moment == moment for each in self._outcomes)
                for moment in MOMENTS
                if any(each.moment == moment for each in self._outcomes)
            },
        }


def _share(outcomes: Sequence[Outcome]) -> str:
    return f"{sum(not each.problems for each in outcomes)} of {len(outcomes)}" if outcomes else "-"
