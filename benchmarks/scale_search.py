"""One search of ``scale.py``: trials that sleep, on simulated nodes of a Ray cluster, the driver's calls timed.

python benchmarks/scale_search.py FOLDER WORKERS TRIALS NODES SECONDS BEFORE
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
from idle import MEASURED, NUM_FOLDS, answers, begin_study, space
from idle_ours import make_data
from rich.console import Console
from scale_calls import Call, Calls, series, spread
from scale_nodes import Memory, simulated_nodes

from leukemia.base.files import write_json
from leukemia.config.recipe import Recipe
from leukemia.config.results import Epoch, FoldResult
from leukemia.data.catalog import Catalog
from leukemia.data.folds import Splits
from leukemia.study.folder import Study
from leukemia.tracking.tracker import SilentTracker
from search.cluster import signals
from search.cluster.resources import Resources
from search.cluster.session import ray_session
from search.cluster.trainable import REPORT, TrialData
from search.cluster.tuner import run_trials
from search.policy.race import Job, Rules
from search.sampling.journal import Journal
from search.trials.display import TerminalDisplay, logging_to
from search.trials.driver import Driver, Limits
from search.trials.outcome import write_best

SECONDS = "SCALE_SECONDS"
"""Environment variable: how long a trial sleeps before each report."""


EARLY = 240
"""Calls of so many trials are compared between numbers of workers: what a decision takes grows with ended trials."""


class TimedJournal(Journal):
    """The journal, its proposals timed."""

    def __init__(self, calls: Calls, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._calls = calls

    def ask(self) -> tuple[int, Recipe]:
        """As the journal's."""
        return self._calls.time(super().ask, kind=lambda _: "ask")  # type: ignore[no-any-return]


class TimedDriver(Driver):
    """The driver, its calls timed."""

    def __init__(self, calls: Calls, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._calls = calls

    def begin(self, places: int = 1) -> dict[str, Any] | None:
        """As the driver's; there may be nothing to begin."""
        return self._calls.time(super().begin, places, kind=lambda job: "begin" if job else "wait")  # type: ignore[no-any-return]

    def hear(self, job: Job, report: Epoch | FoldResult | str) -> bool:
        """As the driver's."""
        kind = type(report).__name__.lower()
        return self._calls.time(super().hear, job, report, kind=lambda _: kind)  # type: ignore[no-any-return]

    def end(self, job: Job, process_failed: bool) -> bool:
        """As the driver's."""
        is_over: bool = self._calls.time(super().end, job, process_failed, kind=lambda _: "end")
        self._calls.num_ended += is_over
        return is_over


def make_driver(calls: Calls, study: Study, catalog: Catalog, splits: Splits, num_trials: int) -> Driver:
    """As ``search.run --quiet --no-racing --repeats 0`` makes it, untracked, so that every trial reports equally often.

    What W&B adds stands in ``overhead.py`` and ``outage.py``.
    """
    objective = study.info["objective"]
    return TimedDriver(
        calls,
        study,
        TimedJournal(calls, study.folder / "optuna.journal", space(), seed=0, name=study.name),
        catalog,
        limits=Limits(num_trials=num_trials),
        rules=Rules(num_folds=NUM_FOLDS, objective=objective, racing=False, repeats=0, patience=num_trials + 1),
        tracker=SilentTracker(),
        display=TerminalDisplay(
            Console(quiet=True, force_terminal=False),
            num_trials=num_trials,
            num_folds=NUM_FOLDS,
            objective=objective,
        ),
        on_best=partial(write_best, study, splits),
    )


def finish_some(driver: Driver, data: TrialData) -> None:
    """Trials without workers, one after the other, until the driver has no more."""
    while (config := driver.begin()) is not None:
        job = Job(config["number"], config["seed"])
        for reports in answers(*job, data.labels, data.folds):
            for report in reports:
                driver.hear(job, report)
        driver.end(job, False)


def sleep_and_report(config: dict[str, Any], data: TrialData, resources: Resources) -> None:
    """In the place of cross-validation; runs in a worker process, and notes when it slept."""
    slept = data.checkpoints / "slept" / f"{os.getpid()}.csv"
    for reports in answers(config["number"], config["seed"], data.labels, data.folds, config["skip"]):
        for report in reports:
            start = time.monotonic()
            time.sleep(float(os.environ[SECONDS]))
            with slept.open("a") as stream:
                stream.write(f"{start},{time.monotonic()}\n")
            ray.tune.report({REPORT: report})


def read_slept(folder: Path) -> list[np.ndarray]:
    """When each worker process slept: float64 (times, 2), start and end by the machine's monotonic clock."""
    return [np.loadtxt(path, delimiter=",", ndmin=2) for path in sorted(folder.glob("*.csv"))]


def idle_share(slept: Sequence[np.ndarray], start: float, end: float, num_workers: int) -> float:
    """Share of the workers' time between two moments in which they did not sleep, 0..1."""
    overlap = 0.0
    for times in slept:
        overlap += float(np.clip(np.minimum(times[:, 1], end) - np.maximum(times[:, 0], start), 0, None).sum())
    return 1 - overlap / (num_workers * (end - start)) if end > start else math.nan


def measure(folder: Path, num_workers: int, num_trials: int, num_nodes: int, num_before: int) -> dict[str, Any]:
    """One search; every trial has to be complete, in the folder as in the journal.

    Args:
        num_before: finished trials that the study begins with.
    """
    catalog, splits, study = begin_study(folder)
    splits.save(study.folder / "splits.json")
    data = make_data(folder, catalog, splits)
    slept, calls = data.checkpoints / "slept", Calls(num_before)
    slept.mkdir(parents=True)
    resources = Resources(device="cpu", cpus=1, gpus=0.0, concurrent=num_workers)
    finish_some(make_driver(Calls(), study, catalog, splits, num_before), data)
    begun = time.monotonic()
    with (
        simulated_nodes(num_nodes, num_workers) as address,
        ray_session(address),
        logging_to(study.folder / "search.log", Console(quiet=True)),
    ):
        up_seconds = time.monotonic() - begun
        driver = make_driver(calls, study, catalog, splits, num_before + num_trials)
        memory = Memory(slept, num_workers)
        memory.start()
        before = psutil.Process().memory_info().rss
        start = time.monotonic()
        run_trials(driver, data, resources, sleep_and_report)
        end = time.monotonic()
        after = psutil.Process().memory_info().rss
        memory.stop()
        alive = sum(node["Alive"] for node in ray.nodes())
    check(study, num_before + num_trials)
    assert alive == num_nodes + 1, f"{num_nodes + 1 - alive} nodes were lost"
    times = read_slept(slept)
    # Before that, worker processes start, which takes long where 64 of them share two processors.
    all_begun, last_begin = max(each[0, 0] for each in times), calls.by_kind["begin"][-1].start

    def early(each: Sequence[Call]) -> list[Call]:
        return [call for call in each if call.num_ended < num_before + EARLY]

    steady = [call for call in calls.by_kind["begin"] if call.start >= all_begun]
    idle = idle_share(times, all_begun, last_begin, num_workers)
    return {
        "workers": num_workers,
        "trials": num_trials,
        "before": num_before,
        "nodes": num_nodes,
        "processes": len(times),
        "up_seconds": up_seconds,
        "ramp_seconds": all_begun - start,
        "seconds": end - start,
        "steady_seconds": last_begin - all_begun,
        "slept_seconds": float(sum((each[:, 1] - each[:, 0]).sum() for each in times)),
        "idle": idle,
        "idle_whole": idle_share(times, start, end, num_workers),
        "lost_seconds_per_trial": idle * num_workers * (last_begin - all_begun) / max(1, len(steady)),
        "driver_seconds": sum(call.seconds for kind, each in calls.by_kind.items() if kind != "ask" for call in each),
        "calls": {kind: spread(early(each)) for kind, each in calls.by_kind.items() if early(each)},
        "last_asks": spread(calls.by_kind["ask"][-100:]),
        "ask_series": series(calls.by_kind["ask"]),
        "rss_before": before / 1024**2,
        "rss_after": after / 1024**2,
        "memory": memory.found,
    }


def check(study: Study, num_trials: int) -> None:
    """Every trial is complete, in the folder as in the journal."""
    states = list(study.trial_table()["state"])
    assert states == ["complete"] * num_trials, f"{study.folder}: not all trials are complete"
    ends = Journal(study.folder / "optuna.journal", space(), seed=0, name=study.name).ends()
    assert list(ends.values()) == states, f"{study.folder}: the journal knows other ends"
    folds = [study.folds_done(number, 0) for number in study.trials()]
    assert folds == [list(range(NUM_FOLDS))] * num_trials, f"{study.folder}: folds are missing"


if __name__ == "__main__":
    place, (workers, trials, nodes, before) = Path(sys.argv[1]), map(int, [*sys.argv[2:5], sys.argv[6]])
    os.environ[SECONDS] = sys.argv[5]
    with signals.listening():
        write_json(place / MEASURED, measure(place, workers, trials, nodes, before))
