"""A small search that runs as a user starts it, in a process of its own."""

from __future__ import annotations

import math
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from benchmarks.faults.harness.events import Event, events_of
from benchmarks.faults.harness.processes import ProcessTree, kill, processes
from leukemia.study import layout

ROOT = Path(__file__).resolve().parents[3]

SETTINGS = {"data.size_px": 32, "model.depth": 18, "model.shortcut": "add", "evaluate.tta": "none"}
"""Recipe fields of a search that trains in seconds."""

# Threads that wait passively: on a busy machine a search is many times faster, with the same numbers.
ENVIRONMENT = {"WANDB_MODE": "offline", "OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "passive", "PYTHONPATH": str(ROOT)}

DROPPED = ("RAY_ADDRESS", "WANDB_API_KEY")
"""Variables that would redirect a search to another cluster or account."""

MODULE = "search.run"

WATCH_SECONDS = 0.2
"""How often the processes of a search are recorded."""

HANG_SECONDS = 600
"""A search that has logged nothing for this long is considered hung and is killed."""


def arguments_of(*, trials: int, folds: int, repeats: int, epochs: int) -> list[str]:
    """Command-line arguments of a small search."""
    fields = {**SETTINGS, "train.epochs": epochs}
    return [
        *("--preset", "debug", "--trials", str(trials), "--folds", str(folds), "--repeats", str(repeats)),
        *(word for key, value in fields.items() for word in ("--set", f"{key}={value}")),
    ]


class Search:
    """A search in a process of its own, with its output in a file next to the study."""

    def __init__(
        self,
        folder: Path,
        tree: ProcessTree,
        data: Path,
        arguments: Sequence[str],
        place: Sequence[str],
        module: str = MODULE,
    ) -> None:
        """
        Args:
            folder: of the study, which does not exist yet.
            tree: records all processes of the search.
            arguments: that define the search; not repeated on resume.
            place: where it runs, such as ``--address``; also used on resume.
            module: the command, as for ``python -m``.
        """
        self.folder, self.tree, self.data = folder, tree, data
        self.arguments, self.place, self.module = list(arguments), list(place), module
        self.log = folder / layout.LOG
        self.output = folder.with_name(f"{folder.name}.out")
        self._events, self._events_size = list[Event](), 0

    def start(self, *more: str) -> None:
        """Start the search."""
        self._run("--data", str(self.data), *self.arguments, *more)

    def resume(self, *more: str) -> None:
        """Resume the search."""
        self._run("--resume", *more)

    def _run(self, *arguments: str) -> None:
        study = ("--study", self.folder.name, "--runs", str(self.folder.parent))
        environment = {name: value for name, value in os.environ.items() if name not in DROPPED} | ENVIRONMENT
        with self.output.open("a") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", self.module, *arguments, *study, *self.place],
                env=environment,
                stdout=output,
                stderr=output,
            )

    def wait_until(self, happened: Callable[[], Any], *, every: float = WATCH_SECONDS) -> bool:
        """Whether it happened before the search ended; a search that hangs is killed.

        Args:
            every: seconds between two looks.
        """
        size, since, watched = self._log_size(), time.monotonic(), -math.inf
        while not happened():
            if self.process.poll() is not None:
                return False
            if self._log_size() != size:
                size, since = self._log_size(), time.monotonic()
            if time.monotonic() > since + HANG_SECONDS:
                kill(self.process.pid)
            if time.monotonic() > watched + WATCH_SECONDS:
                watched = time.monotonic()
                self.tree.update(self.process.pid)
            time.sleep(every)
        return True

    def events(self) -> list[Event]:
        """What it has logged about its jobs so far."""
        if self._log_size() != self._events_size:
            self._events_size = self._log_size()
            self._events = events_of(self.log)
        return self._events

    def _log_size(self) -> int:
        return self.log.stat().st_size if self.log.exists() else 0

    def wait(self) -> int:
        """Wait for the end of the search; returns its status."""
        self.wait_until(lambda: False)
        return self.process.wait()

    def processes_with(self, parts: tuple[str, ...]) -> list[int]:
        """PIDs of the search's processes whose command line contains one of ``parts``."""
        own = {self.process.pid}
        for each, parent in sorted(processes(), key=lambda pair: int(pair[0].started)):
            own |= {each.pid} if parent in own else set()
        return [each.pid for each, _ in processes() if each.pid in own and any(part in each.title for part in parts)]

    def epochs(self) -> dict[str, int]:
        """Epochs written so far, by trial."""
        return {
            path.parent.name: len(path.read_text().splitlines()) - 1 for path in self.folder.glob("trials/*/epochs.csv")
        }

    def num_folds(self) -> int:
        """Folds committed so far."""
        return len(list(self.folder.glob("trials/*/seed_*/fold_*.json")))
