"""Our side of ``overhead.py``: a search as ``search.run`` puts it together, its trials idle.

python benchmarks/idle_ours.py FOLDER TRIALS
"""

from __future__ import annotations

import sys
import time
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import ray.tune
from idle import MEASURED, NUM_FOLDS, NUM_REPORTS, NUM_WORKERS, answers, begin_study, num_whole, space, trial_runs
from rich.console import Console

from leukemia.base.files import write_json
from leukemia.data.catalog import Catalog
from leukemia.data.folds import Splits
from leukemia.study.folder import Study
from leukemia.tracking.tracker import SilentTracker, WandbTracker
from search.cluster.resources import Resources
from search.cluster.session import ray_session
from search.cluster.trainable import REPORT, TrialData
from search.cluster.tuner import run_trials
from search.policy.race import Rules
from search.sampling.journal import Journal
from search.trials.display import TerminalDisplay, logging_to
from search.trials.driver import Driver, Limits
from search.trials.outcome import write_best


def _do_nothing(config: dict[str, Any], data: TrialData, resources: Resources) -> None:
    """In the place of cross-validation; runs in a worker process."""
    for reports in answers(config["number"], config["seed"], data.labels, data.folds, config["skip"]):
        for report in reports:
            ray.tune.report({REPORT: report})


def make_driver(
    study: Study, catalog: Catalog, splits: Splits, tracker: WandbTracker | SilentTracker, num_trials: int
) -> Driver:
    """As ``search.run --quiet --no-racing --repeats 0`` makes it."""
    objective = study.info["objective"]
    return Driver(
        study,
        Journal(study.folder / "optuna.journal", space(), seed=0, name=study.name),
        catalog,
        limits=Limits(num_trials=num_trials),
        rules=Rules(num_folds=NUM_FOLDS, objective=objective, racing=False, repeats=0, patience=num_trials + 1),
        tracker=tracker,
        display=TerminalDisplay(
            Console(quiet=True, force_terminal=False),
            num_trials=num_trials,
            num_folds=NUM_FOLDS,
            objective=objective,
        ),
        on_best=partial(write_best, study, splits),
    )


RESOURCES = Resources(device="cpu", cpus=1, gpus=0.0, concurrent=NUM_WORKERS)


def make_data(folder: Path, catalog: Catalog, splits: Splits) -> TrialData:
    """Labels and folds; nobody looks at the images."""
    return TrialData(
        images=np.zeros((0, 32, 32, 3), dtype=np.uint8),
        labels=catalog.table["label"].to_numpy(dtype=np.int64),
        folds=list(splits.rows(catalog)),
        checkpoints=folder / "checkpoints",
    )


def run(folder: Path, num_trials: int) -> dict[str, Any]:
    """Our search, as ``search.run`` puts it together; returns what was measured."""
    catalog, splits, study = begin_study(folder)
    data = make_data(folder, catalog, splits)
    with ray_session("local"), logging_to(study.folder / "search.log", Console(quiet=True)):
        start = time.perf_counter()
        tracker = WandbTracker(study, mode="offline")
        run_trials(make_driver(study, catalog, splits, tracker, num_trials), data, RESOURCES, _do_nothing)
        searched = time.perf_counter()
        tracker.close(finished=True)
        closed = time.perf_counter()
    states = list(study.trial_table()["state"])
    assert states == ["complete"] * num_trials, f"{study.folder}: not all trials are complete"
    return {
        "seconds": closed - start,
        "closing_seconds": closed - searched,
        "runs": num_whole(trial_runs(study), NUM_REPORTS),
    }


if __name__ == "__main__":
    folder, count = Path(sys.argv[1]), int(sys.argv[2])
    write_json(folder / MEASURED, run(folder, count))
