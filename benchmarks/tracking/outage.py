"""Does a search wait for W&B? A search whose W&B server fails, compared with one that is not tracked.

    python -m benchmarks.tracking.outage [--trials 8] [--repetitions 2] [--seconds 1.0]

Trials sleep instead of training, so that any waiting of the driver shows: one report every ``--seconds``, four per
trial, two trials at a time. The server (that of the tests, on this machine) works when a search starts and fails once
its first trial is open: it returns 500 or 401, drops every connection, hangs, takes 2 s per answer, or is gone. Times
are those of the search alone; how long the end of the search then waits for W&B (at most a minute) is given separately.
The sides alternate.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import ray.tune
from rich.console import Console

from benchmarks.idle.driver import RESOURCES, make_data, make_driver
from benchmarks.idle.process import ROOT
from benchmarks.idle.study import create_study, reports
from leukemia.base.errors import SUCCESS, UserError, run_command
from leukemia.study.table import trial_table
from leukemia.tracking import client
from leukemia.tracking.tracker import NoTracker, WandbTracker
from search.cluster.resources import Resources
from search.cluster.session import ray_session
from search.cluster.trainable import REPORT, TrialData
from search.cluster.tuner import run_trials
from search.trials.assignment import Assignment
from search.trials.study_log import study_log

if TYPE_CHECKING:
    from helpers.wandb_server import WandbServer

# The server is a helper of the tests, which are not a package.
sys.path.append(str(ROOT / "tests"))

FAULTS = ("works", "500", "401", "drop", "hang", "slow", "gone")

SECONDS = "OUTAGE_SECONDS"
"""Environment variable: seconds between two reports of a trial."""


@contextlib.contextmanager
def wandb_server() -> Iterator[WandbServer]:
    """A W&B server on this machine, which W&B's client in this process uses."""
    from helpers.wandb_server import KEY, WandbServer

    with WandbServer() as server:
        os.environ |= {"WANDB_API_KEY": KEY, "WANDB_MODE": "online", "WANDB_BASE_URL": server.url}
        client.end_client()
        yield server


def sleep_and_report(assignment: Assignment, data: TrialData, resources: Resources) -> None:
    """The trainable, in a worker process."""
    for report in reports(assignment.task, data.labels, data.folds):
        time.sleep(float(os.environ[SECONDS]))
        ray.tune.report({REPORT: report})


def fail(server: WandbServer, fault: str) -> None:
    """Let the server fail once it has the run of a trial."""
    server.wait_for(lambda: any(run.job_type == "trial" for run in server.runs.values()), seconds=60)
    if fault == "gone":
        server.stop()
    elif fault != "works":
        server.delay, server.fault = 2.0, fault


def measure(fault: str | None, num_trials: int) -> tuple[float, float]:
    """Seconds of a search and of its end; ``fault`` None: not tracked."""
    with tempfile.TemporaryDirectory() as place, wandb_server() as server:
        folder = Path(place)
        catalog, splits, study = create_study(folder, "python -m benchmarks.tracking.outage")
        with study_log(study.folder, Console(quiet=True)):
            tracker = NoTracker() if fault is None else WandbTracker(study, mode="online")
            if fault is not None:
                threading.Thread(target=fail, args=(server, fault), daemon=True).start()
            driver = make_driver(study, catalog, splits, tracker, num_trials)
            start = time.perf_counter()
            run_trials(driver, make_data(folder, catalog, splits), RESOURCES, sleep_and_report)
            searched = time.perf_counter()
            tracker.close(finished=True)
            closed = time.perf_counter()
        assert list(trial_table(study)["state"]) == ["complete"] * num_trials
    return searched - start, closed - searched


def main(argv: list[str] | None = None) -> int:
    """Measure all sides alternately and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=8, help="trials per search (default: 8)")
    parser.add_argument("--repetitions", type=int, default=2, help="searches per side (default: 2)")
    parser.add_argument("--seconds", type=float, default=1.0, help="time between two reports (default: 1)")
    arguments = parser.parse_args(argv)
    if min(arguments.trials, arguments.repetitions) < 1 or not arguments.seconds > 0:
        raise UserError("--trials, --repetitions, --seconds: expected more than 0")
    os.environ |= {SECONDS: str(arguments.seconds), "OMP_NUM_THREADS": "1"}
    found: dict[str | None, list[tuple[float, float]]] = {side: [] for side in (None, *FAULTS)}
    with ray_session("local"):
        # Warm up: the first search starts the worker processes.
        measure(None, 2)
        for _ in range(arguments.repetitions):
            for side in found:
                found[side].append(measure(side, arguments.trials))
    untracked = statistics.median(seconds for seconds, _ in found[None])
    print("| W&B's server | search, s (each) | over untracked | end waits for W&B, s |\n|---|---|---|---|")
    for side, times in found.items():
        each = ", ".join(f"{seconds:.1f}" for seconds, _ in times)
        ratio = statistics.median(seconds for seconds, _ in times) / untracked
        print(f"| {side or '(not tracked)'} | {each} | {ratio:.3f} | {max(end for _, end in times):.1f} |")
    return SUCCESS


if __name__ == "__main__":
    run_command(main)
