"""Our side of ``overhead``: a search as ``search.run`` runs it, with idle trials.

python -m benchmarks.tracking.sides.ours FOLDER TRIALS
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

from rich.console import Console

from benchmarks.idle.driver import RESOURCES, make_data, make_driver, report_only
from benchmarks.idle.process import MEASURED
from benchmarks.idle.study import NUM_REPORTS, create_study
from benchmarks.tracking.sides.offline_runs import num_complete, trial_runs
from leukemia.base.files import write_json
from leukemia.study.table import trial_table
from leukemia.tracking.tracker import WandbTracker
from search.cluster.session import ray_session
from search.cluster.tuner import run_trials
from search.trials.study_log import study_log


def run(folder: Path, num_trials: int) -> dict[str, Any]:
    """Run the search and return its measurements."""
    catalog, splits, study = create_study(folder, "python -m benchmarks.tracking.overhead")
    data = make_data(folder, catalog, splits)
    with ray_session("local"), study_log(study.folder, Console(quiet=True)):
        start = time.perf_counter()
        tracker = WandbTracker(study, mode="offline")
        run_trials(make_driver(study, catalog, splits, tracker, num_trials), data, RESOURCES, report_only)
        searched = time.perf_counter()
        tracker.close(finished=True)
        closed = time.perf_counter()
    states = list(trial_table(study)["state"])
    assert states == ["complete"] * num_trials, f"{study.folder}: not all trials are complete"
    return {
        "seconds": closed - start,
        "closing_seconds": closed - searched,
        "runs": num_complete(trial_runs(study), NUM_REPORTS),
    }


if __name__ == "__main__":
    folder, count = Path(sys.argv[1]), int(sys.argv[2])
    write_json(folder / MEASURED, run(folder, count))
