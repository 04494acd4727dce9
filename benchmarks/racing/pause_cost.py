"""What does it cost to let a trial wait and go on? A small search that pauses trials, one fold at a time.

python -m benchmarks.racing.pause_cost FOLDER [--data DATA] [--size 96] [--epochs 8] [--trials 5] [--device cpu]

Between two epochs a worker validates and reports. A pause adds the checkpoint, which is written before its epoch is
reported; going on adds the next task in the worker's process: model, data, and the checkpoint, which is read. Prints
one JSON line: medians in seconds, and both together as a share of the time until the first rung (wanted: at most 0.1).
Two minutes on two cores.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from leukemia.base.cpus import available_cpus
from leukemia.base.errors import SUCCESS, run_command
from leukemia.config.results import Epoch
from leukemia.data.images import open_images
from leukemia.study import layout
from leukemia.study.job import Job
from leukemia.study.listener import Listener
from leukemia.study.schema import FoldRecord
from search.cluster import nodes
from search.cluster.resources import plan_resources
from search.cluster.session import ray_session
from search.cluster.trainable import TrialData
from search.cluster.tuner import run_trials
from search.launch.study_folder import created
from search.planning.plan import Plan, plan_new
from search.planning.request import Request
from search.policy.rungs import rungs_of
from search.sampling.journal import Journal
from search.trials.driver import Driver
from search.trials.schedule import Limits

FIXED = {"model.depth": 18, "model.shortcut": "add", "evaluate.tta": "none"}
"""Recipe fields: a small network, whose epochs are short compared with what a pause costs."""

NUM_FOLDS = 2


@dataclass(frozen=True)
class Step:
    """An epoch of fold 0, and the time since the report before it, of whichever task."""

    job: Job
    epoch: int
    seconds: float
    """That the worker reports for the epoch."""

    since_before: float


class Timeline(Listener):
    """When epochs and folds arrive, one task at a time. What the start of the search takes is left out."""

    def __init__(self) -> None:
        self.steps: list[Step] = []
        self._before: float | None = None

    def epoch(self, job: Job, epoch: Epoch) -> None:
        """An epoch has arrived."""
        now = time.monotonic()
        if epoch.fold == 0 and self._before is not None:
            self.steps.append(Step(job, epoch.epoch, epoch.seconds, now - self._before))
        self._before = now

    def fold(self, job: Job, fold: FoldRecord) -> None:
        """A fold has arrived."""
        self._before = time.monotonic()


def summary(steps: Sequence[Step], rungs: Sequence[int], num_epochs: int) -> dict[str, float]:
    """What a pause costs, in seconds, from the steps of trials that wait.

    Args:
        rungs: the epochs after which they wait, ascending.
    """
    after = [rung + 1 for rung in rungs]
    # The first epoch is that of a new task, and the last one has a checkpoint as well.
    plain = _median_gap(steps, set(range(2, num_epochs)) - {*rungs, *after})
    pause, going_on = _median_gap(steps, rungs) - plain, _median_gap(steps, after) - plain
    to_first_rung: dict[Job, float] = {}
    for step in steps:
        if step.epoch <= rungs[0]:
            to_first_rung[step.job] = to_first_rung.get(step.job, 0.0) + step.since_before
    rung = statistics.median(to_first_rung.values()) - pause
    return {"pause": pause, "going_on": going_on, "first_rung": rung, "share": (pause + going_on) / rung}


def _median_gap(steps: Sequence[Step], epochs: Collection[int]) -> float:
    """Time between the reports of these epochs and the ones before, less that of the epochs themselves."""
    return statistics.median(step.since_before - step.seconds for step in steps if step.epoch in epochs)


def run(plan: Plan, device: str) -> Timeline:
    """Run the search of a plan, one task at a time."""
    images, timeline = open_images(plan.catalog, plan.view), Timeline()
    with ray_session("local"), created(plan) as study:
        journal = Journal(study.folder / layout.JOURNAL, plan.space, seed=plan.info.seed, name=study.name)
        driver = Driver(
            study,
            journal,
            plan.catalog,
            limits=Limits(num_trials=plan.info.trials),
            rules=plan.rules,
            listeners=[timeline],
            on_best=lambda progress: None,
        )
        data = TrialData(
            images=Path(str(images.filename)),  # type: ignore[attr-defined]
            labels=plan.catalog.table["label"].to_numpy(dtype=np.int64),
            folds=list(plan.splits.rows(plan.catalog)),
            checkpoints=study.folder.parent / "checkpoints",
        )
        max_gpus = None if device == "cpu" else 1
        run_trials(driver, data, plan_resources(device, available_cpus(), None, max_gpus, nodes.current_nodes()))
    return timeline


def main(argv: list[str] | None = None) -> int:
    """Run the search and print what its pauses cost."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="for the study; must not contain one with this name")
    parser.add_argument("--data", help="folder or CSV of the data (default: the sample set)")
    parser.add_argument("--size", type=int, default=96, help="side of the images in pixels (default: 96)")
    parser.add_argument("--epochs", type=int, default=8, help="of a fold (default: 8)")
    parser.add_argument("--trials", type=int, default=5, help="the first of which does not wait (default: 5)")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu", help="default: cpu")
    arguments = parser.parse_args(argv)
    settings: dict[str, Any] = {**FIXED, "data.size_px": arguments.size, "train.epochs": arguments.epochs}
    options = {"trials": arguments.trials, "folds": NUM_FOLDS, "pausing": True, "racing": False, "repeats": 0}
    request = Request(
        runs=arguments.folder,
        study="pause-cost",
        data=arguments.data,
        given={**options, "settings": settings},
    )
    plan = plan_new(request, "python -m benchmarks.racing.pause_cost")
    timeline = run(plan, arguments.device)
    steps = [step for step in timeline.steps if step.job.number != plan.rules.start]
    found = summary(steps, sorted(rungs_of(arguments.epochs).values()), arguments.epochs)
    rounded = {name: round(value, 4) for name, value in found.items()}
    print(json.dumps({"device": arguments.device, "size": arguments.size, "epochs": arguments.epochs, **rounded}))
    return SUCCESS


if __name__ == "__main__":
    run_command(main)
