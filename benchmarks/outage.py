"""Does a search wait for W&B? One whose server fails, against one that is not tracked at all.

    python benchmarks/outage.py [--trials 8] [--repetitions 2] [--seconds 1.0]

Trials sleep instead of training, so that whatever the driver waits for shows: a report each ``--seconds``, four a
trial, two trials at a time. The server (``tests/wandb_server.py``, on this machine) works when a search begins and
fails once its first trial is open: it answers 500 or 401, closes every connection, hangs, is 2 s late, or is gone.
Times are of the search alone; how long its end then waits for W&B (at most a minute) stands beside them. Sides take
turns.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests"))

from wandb_server import KEY, WandbServer  # noqa: E402

os.environ |= {"WANDB_API_KEY": KEY, "WANDB_MODE": "online", "OMP_NUM_THREADS": "1"}

import ray.tune  # noqa: E402
from idle import answers, begin_study  # noqa: E402
from idle_ours import RESOURCES, make_data, make_driver  # noqa: E402
from rich.console import Console  # noqa: E402

from leukemia.base.errors import SUCCESS, UserError, run_command  # noqa: E402
from leukemia.tracking import client  # noqa: E402
from leukemia.tracking.tracker import SilentTracker, WandbTracker  # noqa: E402
from search.cluster.resources import Resources  # noqa: E402
from search.cluster.session import ray_session  # noqa: E402
from search.cluster.trainable import REPORT, TrialData  # noqa: E402
from search.cluster.tuner import run_trials  # noqa: E402
from search.trials.display import logging_to  # noqa: E402

FAULTS = ("well", "500", "401", "drop", "hang", "slow", "gone")


def _sleep(config: dict[str, Any], data: TrialData, resources: Resources) -> None:
    """In the place of cross-validation; runs in a worker process."""
    for reports in answers(config["number"], config["seed"], data.labels, data.folds, config["skip"]):
        for report in reports:
            time.sleep(float(os.environ["OUTAGE_SECONDS"]))
            ray.tune.report({REPORT: report})


def _break(server: WandbServer, fault: str) -> None:
    """Let the server fail once it has a trial's run."""
    server.wait_for(lambda: any(run.job_type == "trial" for run in server.runs.values()), seconds=60)
    if fault == "gone":
        server.stop()
    elif fault != "well":
        server.delay, server.fault = 2.0, fault  # type: ignore[assignment]


def measure(fault: str | None, num_trials: int) -> tuple[float, float]:
    """Seconds of a search, and of its end; None: not tracked."""
    with tempfile.TemporaryDirectory() as place, WandbServer() as server:
        os.environ["WANDB_BASE_URL"] = server.url
        client.end_client()
        folder = Path(place)
        catalog, splits, study = begin_study(folder)
        with logging_to(study.folder / "search.log", Console(quiet=True)):
            tracker = SilentTracker() if fault is None else WandbTracker(study, mode="online")
            if fault is not None:
                threading.Thread(target=_break, args=(server, fault), daemon=True).start()
            driver = make_driver(study, catalog, splits, tracker, num_trials)
            start = time.perf_counter()
            run_trials(driver, make_data(folder, catalog, splits), RESOURCES, _sleep)
            searched = time.perf_counter()
            tracker.close(finished=True)
            closed = time.perf_counter()
        assert list(study.trial_table()["state"]) == ["complete"] * num_trials
    return searched - start, closed - searched


def main(argv: list[str] | None = None) -> int:
    """Measure all sides by turns and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=8, help="of a search (default: 8)")
    parser.add_argument("--repetitions", type=int, default=2, help="of each side (default: 2)")
    parser.add_argument("--seconds", type=float, default=1.0, help="between two reports (default: 1)")
    arguments = parser.parse_args(argv)
    if min(arguments.trials, arguments.repetitions) < 1 or not arguments.seconds > 0:
        raise UserError("--trials, --repetitions, --seconds: expected more than 0")
    os.environ["OUTAGE_SECONDS"] = str(arguments.seconds)
    found: dict[str | None, list[tuple[float, float]]] = {side: [] for side in (None, *FAULTS)}
    with ray_session("local"):
        measure(None, 2)
        for _ in range(arguments.repetitions):
            for side in found:
                found[side].append(measure(side, arguments.trials))
    plain = statistics.median(seconds for seconds, _ in found[None])
    print("| W&B's server | search, s (each) | over untracked | its end waits, s |\n|---|---|---|---|")
    for side, times in found.items():
        each = ", ".join(f"{seconds:.1f}" for seconds, _ in times)
        ratio = statistics.median(seconds for seconds, _ in times) / plain
        print(f"| {side or '(not tracked)'} | {each} | {ratio:.3f} | {max(end for _, end in times):.1f} |")
    return SUCCESS


if __name__ == "__main__":
    run_command(main)
