"""One search of ``workers``: trials that sleep, on simulated nodes of a Ray cluster; the driver's calls are timed.

python -m benchmarks.scale.measuring.sleeping_search FOLDER WORKERS TRIALS NODES SECONDS FINISHED
"""

from __future__ import annotations

import math
import os
import sys
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import ray.tune
from rich.console import Console

from benchmarks.idle.driver import make_data, make_driver
from benchmarks.idle.process import MEASURED
from benchmarks.idle.study import NUM_FOLDS, create_study, reports, space
from benchmarks.scale.measuring.calls import Call, Calls, series, spread
from benchmarks.scale.measuring.nodes import MemorySnapshot, simulated_nodes
from leukemia.base import interrupts
from leukemia.base.files import write_json
from leukemia.config.recipe import Recipe
from leukemia.data.catalog import Catalog
from leukemia.data.folds import Splits
from leukemia.study.folder import Study
from leukemia.study.table import trial_table
from leukemia.tracking.tracker import NoTracker
from search.cluster.resources import Resources
from search.cluster.session import ray_session
from search.cluster.trainable import REPORT, TrialData
from search.cluster.tuner import run_trials
from search.policy.task import Task
from search.sampling.journal import Journal
from search.sampling.shadow import Shown
from search.trials.assignment import Assignment, Report
from search.trials.driver import Driver
from search.trials.study_log import study_log

SECONDS = "SCALE_SECONDS"
"""Environment variable: how long a trial sleeps before each report."""

EARLY = 240
"""Only calls of this many trials are compared between numbers of workers: decisions slow down as trials finish."""


class TimedJournal(Journal):
    """The journal with its proposals timed."""

    def __init__(self, calls: Calls, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._calls = calls

    def ask(self, shown: Shown | None = None) -> tuple[int, Recipe]:
        """``Journal.ask``, timed."""
        return self._calls.time(super().ask, shown, kind=lambda _: "ask")


class TimedDriver(Driver):
    """The driver with its calls timed."""

    def __init__(self, calls: Calls, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._calls = calls

    def begin(self, slots: int = 1) -> Assignment | None:
        """``Driver.begin``, timed; there may be nothing to start."""
        return self._calls.time(super().begin, slots, kind=lambda task: "begin" if task else "wait")

    def receive(self, task: Task, report: Report) -> bool:
        """``Driver.receive``, timed."""
        kind = type(report).__name__.lower()
        return self._calls.time(super().receive, task, report, kind=lambda _: kind)

    def end(self, task: Task, process_failed: bool) -> bool:
        """``Driver.end``, timed."""
        is_over = self._calls.time(super().end, task, process_failed, kind=lambda _: "end")
        self._calls.num_finished += is_over
        return is_over


def timed_driver(calls: Calls, study: Study, catalog: Catalog, splits: Splits, num_trials: int) -> Driver:
    """An untracked driver whose calls and proposals are timed; ``overhead`` and ``outage`` measure W&B."""
    tracker, driver, journal = NoTracker(), partial(TimedDriver, calls), partial(TimedJournal, calls)
    return make_driver(study, catalog, splits, tracker, num_trials, driver=driver, journal=journal)


def finish_trials(driver: Driver, data: TrialData) -> None:
    """Finish all trials of the driver one after the other, without workers."""
    while (assignment := driver.begin()) is not None:
        for report in reports(assignment.task, data.labels, data.folds):
            driver.receive(assignment.task, report)
        driver.end(assignment.task, False)


def sleep_and_report(assignment: Assignment, data: TrialData, resources: Resources) -> None:
    """The trainable, in a worker process; records when it slept."""
    slept = data.checkpoints / "slept" / f"{os.getpid()}.csv"
    for report in reports(assignment.task, data.labels, data.folds):
        start = time.monotonic()
        time.sleep(float(os.environ[SECONDS]))
        with slept.open("a") as stream:
            stream.write(f"{start},{time.monotonic()}\n")
        ray.tune.report({REPORT: report})


def read_slept(folder: Path) -> list[np.ndarray]:
    """When each worker process slept, float64 (times, 2): start and end by the machine's monotonic clock."""
    return [np.loadtxt(path, delimiter=",", ndmin=2) for path in sorted(folder.glob("*.csv"))]


def idle_share(slept: Sequence[np.ndarray], start: float, end: float, num_workers: int) -> float:
    """Share of the workers' time between ``start`` and ``end`` in which they did not sleep, 0..1; NaN if empty."""
    overlap = 0.0
    for times in slept:
        overlap += float(np.clip(np.minimum(times[:, 1], end) - np.maximum(times[:, 0], start), 0, None).sum())
    return 1 - overlap / (num_workers * (end - start)) if end > start else math.nan


def measure(folder: Path, num_workers: int, num_trials: int, num_nodes: int, num_finished: int) -> dict[str, Any]:
    """Run one search and return its measurements; every trial must be complete in the study folder and the journal.

    Args:
        num_finished: finished trials in the study before the search starts.
    """
    catalog, splits, study = create_study(folder, "python -m benchmarks.scale.workers")
    splits.save(study.folder / "splits.json")
    data = make_data(folder, catalog, splits)
    slept, calls = data.checkpoints / "slept", Calls(num_finished)
    slept.mkdir(parents=True)
    resources = Resources(device="cpu", cpus=1, gpus=0.0, concurrent=num_workers)
    finish_trials(timed_driver(Calls(), study, catalog, splits, num_finished), data)
    cluster_start = time.monotonic()
    with (
        simulated_nodes(num_nodes, num_workers) as address,
        ray_session(address),
        study_log(study.folder, Console(quiet=True)),
    ):
        up_seconds = time.monotonic() - cluster_start
        driver = timed_driver(calls, study, catalog, splits, num_finished + num_trials)
        memory = MemorySnapshot(slept, num_workers)
        memory.start()
        before = psutil.Process().memory_info().rss
        start = time.monotonic()
        run_trials(driver, data, resources, sleep_and_report)
        end = time.monotonic()
        after = psutil.Process().memory_info().rss
        memory.stop()
        alive = sum(node["Alive"] for node in ray.nodes())
    check(study, num_finished + num_trials)
    assert alive == num_nodes + 1, f"{num_nodes + 1 - alive} nodes were lost"
    times = read_slept(slept)
    # Steady state starts once all workers run; starting 64 of them on two processors takes a while.
    all_running, last_start = max(each[0, 0] for each in times), calls.by_kind["begin"][-1].start

    def early(each: Sequence[Call]) -> list[Call]:
        return [call for call in each if call.num_finished < num_finished + EARLY]

    steady = [call for call in calls.by_kind["begin"] if call.start >= all_running]
    idle = idle_share(times, all_running, last_start, num_workers)
    return {
        "workers": num_workers,
        "trials": num_trials,
        "finished_before": num_finished,
        "nodes": num_nodes,
        "processes": len(times),
        "up_seconds": up_seconds,
        "ramp_seconds": all_running - start,
        "seconds": end - start,
        "steady_seconds": last_start - all_running,
        "slept_seconds": float(sum((each[:, 1] - each[:, 0]).sum() for each in times)),
        "idle": idle,
        "idle_whole": idle_share(times, start, end, num_workers),
        "lost_seconds_per_trial": idle * num_workers * (last_start - all_running) / max(1, len(steady)),
        "driver_seconds": sum(call.seconds for kind, each in calls.by_kind.items() if kind != "ask" for call in each),
        "calls": {kind: spread(early(each)) for kind, each in calls.by_kind.items() if early(each)},
        "last_asks": spread(calls.by_kind["ask"][-100:]),
        "ask_series": series(calls.by_kind["ask"]),
        "rss_before": before / 1024**2,
        "rss_after": after / 1024**2,
        "memory": memory.found,
    }


def check(study: Study, num_trials: int) -> None:
    """Assert that every trial is complete, in the study folder and in the journal."""
    states = list(trial_table(study)["state"])
    assert states == ["complete"] * num_trials, f"{study.folder}: not all trials are complete"
    ends = Journal(study.folder / "optuna.journal", space(), seed=0, name=study.name).ends()
    assert list(ends.values()) == states, f"{study.folder}: the journal disagrees"
    folds = [study.folds_done(number, 0) for number in study.trials()]
    assert folds == [list(range(NUM_FOLDS))] * num_trials, f"{study.folder}: folds are missing"


if __name__ == "__main__":
    place, (workers, trials, nodes, finished) = Path(sys.argv[1]), map(int, [*sys.argv[2:5], sys.argv[6]])
    os.environ[SECONDS] = sys.argv[5]
    with interrupts.handled():
        write_json(place / MEASURED, measure(place, workers, trials, nodes, finished))
