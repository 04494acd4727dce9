"""Many W&B runs open at once, for ``overhead``: log an epoch and a fold to each, then end them all.

python -m benchmarks.tracking.sides.open_runs FOLDER RUNS
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil

from benchmarks.idle.process import MEASURED
from benchmarks.idle.study import create_study, reports, space
from benchmarks.tracking.sides.offline_runs import num_complete, trial_runs
from leukemia.base.files import write_json
from leukemia.study.job import Job
from leukemia.tracking.tracker import WandbTracker
from search.policy.task import Task


def _settle(tracker: WandbTracker) -> None:
    """Wait until W&B has received everything logged so far."""
    received = threading.Event()
    tracker._enqueue(received.set)
    while not received.wait(1.0):
        assert not tracker._disabled, "W&B failed"


def _usage() -> dict[str, float]:
    """Memory and open files of W&B's process and of this one while all runs are open."""
    own = psutil.Process()
    (core,) = [child for child in own.children() if "wandb-core" in child.name()]
    return {
        "wandb_megabytes": core.memory_info().rss / 1e6,
        "wandb_files": core.num_fds(),
        "own_megabytes": own.memory_info().rss / 1e6,
        "own_files": own.num_fds(),
    }


def run(folder: Path, num_runs: int) -> dict[str, Any]:
    """Open ``num_runs`` runs through the tracker, log an epoch and a fold to each, end them all."""
    catalog, splits, study = create_study(folder, "python -m benchmarks.tracking.overhead")
    recipe, rows = space().start, list(splits.rows(catalog))
    labels = catalog.table["label"].to_numpy()
    tracker = WandbTracker(study, mode="offline")

    def begin(number: int) -> None:
        study.begin_trial(number, recipe)
        tracker.begin(Job(number, recipe.train.seed), recipe, [])

    def report(number: int) -> None:
        epoch, fold = reports(Task(Job(number, recipe.train.seed), 0), labels, rows)
        study.write_epoch(number, epoch)
        tracker.epoch(Job(number, epoch.seed), epoch)
        committed = study.write_fold(number, fold, catalog.table)
        assert committed is not None
        tracker.fold(Job(number, fold.seed), committed)

    def end(number: int) -> None:
        study.end_trial(number, "stopped", "after 1 of 2 folds", None)
        tracker.end(Job(number, recipe.train.seed), "stopped", "after 1 of 2 folds", None)

    # W&B's process must be running before the first run is timed.
    _settle(tracker)
    found = {"open_seconds": _timed(begin, num_runs, tracker), "log_seconds": _timed(report, num_runs, tracker)}
    found |= _usage()
    found["end_seconds"] = _timed(end, num_runs, tracker)
    tracker.close(finished=True)
    return {
        "seconds": found["open_seconds"] + found["log_seconds"] + found["end_seconds"],
        **found,
        "runs": num_complete(trial_runs(study), 2),
    }


def _timed(step: Callable[[int], None], num_runs: int, tracker: WandbTracker) -> float:
    """Seconds until W&B has received a step of every run."""
    start = time.perf_counter()
    for number in range(num_runs):
        step(number)
    _settle(tracker)
    return time.perf_counter() - start


if __name__ == "__main__":
    folder, count = Path(sys.argv[1]), int(sys.argv[2])
    write_json(folder / MEASURED, run(folder, count))
