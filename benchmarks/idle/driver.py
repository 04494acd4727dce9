"""The driver of a search with idle trials, assembled as ``search.run`` does it, and what its workers run."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import ray.tune
from rich.console import Console

from benchmarks.idle.study import NUM_FOLDS, reports, space
from leukemia.data.catalog import Catalog
from leukemia.data.folds import Splits
from leukemia.study.folder import Study
from leukemia.tracking.tracker import NoTracker, WandbTracker
from search.cluster.resources import Resources
from search.cluster.trainable import REPORT, TrialData
from search.policy.rules import Rules
from search.sampling.journal import Journal
from search.trials.assignment import Assignment
from search.trials.display import TerminalDisplay
from search.trials.driver import Driver
from search.trials.outcome import write_best
from search.trials.schedule import Limits

RESOURCES = Resources(device="cpu", cpus=1, gpus=0.0, concurrent=2)
"""One CPU per trial, two trials at a time."""


def make_driver(
    study: Study,
    catalog: Catalog,
    splits: Splits,
    tracker: WandbTracker | NoTracker,
    num_trials: int,
    *,
    driver: Callable[..., Driver] = Driver,
    journal: Callable[..., Journal] = Journal,
) -> Driver:
    """The driver of ``search.run --quiet --no-racing --repeats 0``, so that all trials report equally often.

    Args:
        driver: called instead of ``Driver``, for example to time its calls.
        journal: called instead of ``Journal``.
    """
    objective = study.info.objective
    return driver(
        study,
        journal(study.folder / "optuna.journal", space(), seed=0, name=study.name),
        catalog,
        limits=Limits(num_trials=num_trials),
        rules=Rules(num_folds=NUM_FOLDS, objective=objective, racing=False, repeats=0, patience=num_trials + 1),
        listeners=[
            tracker,
            TerminalDisplay(
                Console(quiet=True, force_terminal=False),
                num_trials=num_trials,
                num_folds=NUM_FOLDS,
                objective=objective,
            ),
        ],
        on_best=partial(write_best, study, catalog, splits),
    )


def make_data(folder: Path, catalog: Catalog, splits: Splits) -> TrialData:
    """Labels and folds; idle trials read no images."""
    return TrialData(
        images=np.zeros((0, 32, 32, 3), dtype=np.uint8),
        labels=catalog.table["label"].to_numpy(dtype=np.int64),
        folds=list(splits.rows(catalog)),
        checkpoints=folder / "checkpoints",
    )


def report_only(assignment: Assignment, data: TrialData, resources: Resources) -> None:
    """The trainable of an idle trial, in a worker process: report without training."""
    for report in reports(assignment.task, data.labels, data.folds):
        ray.tune.report({REPORT: report})
