"""The other side of ``overhead``: stock Ray Tune with OptunaSearch and W&B's callback, with idle trials.

python -m benchmarks.tracking.sides.stock FOLDER TRIALS
"""

from __future__ import annotations

import logging
import random
import sys
import time
from pathlib import Path
from typing import Any

import ray
import ray.tune
from ray.air.integrations.wandb import WandbLoggerCallback
from ray.tune.search.optuna import OptunaSearch

from benchmarks.idle.driver import RESOURCES
from benchmarks.idle.process import MEASURED
from benchmarks.idle.study import NUM_REPORTS, space
from benchmarks.tracking.sides.offline_runs import num_complete
from leukemia.base.files import write_json
from search.policy.dimensions import Choice, Real


def _parameters() -> dict[str, Any]:
    """Our search space in Tune's form, without its conditions."""
    found: dict[str, Any] = {}
    for dimension in space().dimensions:
        if isinstance(dimension, Real):
            draw = ray.tune.loguniform if dimension.log else ray.tune.uniform
            found[dimension.key] = draw(dimension.low, dimension.high)
        elif isinstance(dimension, Choice):
            found[dimension.key] = ray.tune.choice(list(dimension.choices))
    return found


def _report_only(config: dict[str, Any]) -> None:
    """The trainable: as many reports as ours, in a worker process."""
    names = (
        *("train_loss", "train_accuracy", "validation_loss", "validation_accuracy", "learning_rate"),
        *("images_per_second", "device_memory_mb"),
    )
    for _ in range(NUM_REPORTS):
        ray.tune.report({"accuracy": random.random(), **{name: random.random() for name in names}})


def run(folder: Path, num_trials: int) -> dict[str, Any]:
    """Run Ray Tune with OptunaSearch and W&B's callback, combined as in their documentation."""
    ray.init(
        address="local",
        include_dashboard=False,
        log_to_driver=False,
        logging_level=logging.CRITICAL,
        _node_ip_address="127.0.0.1",
    )
    start = time.perf_counter()
    results = ray.tune.Tuner(
        _report_only,
        param_space=_parameters(),
        tune_config=ray.tune.TuneConfig(
            metric="accuracy",
            mode="max",
            search_alg=OptunaSearch(seed=0),
            num_samples=num_trials,
            max_concurrent_trials=RESOURCES.concurrent,
        ),
        run_config=ray.tune.RunConfig(
            name="stock",
            storage_path=str(folder / "ray"),
            verbose=0,
            callbacks=[WandbLoggerCallback(project="overhead")],
        ),
    ).fit()
    seconds = time.perf_counter() - start
    ray.shutdown()
    assert len(results) == num_trials, f"{folder}: {len(results)} of {num_trials} trials"
    assert not results.errors, f"{folder}: {results.errors[0]}"
    return {"seconds": seconds, "runs": num_complete((folder / "ray").rglob("offline-run-*"), NUM_REPORTS)}


if __name__ == "__main__":
    folder, count = Path(sys.argv[1]), int(sys.argv[2])
    write_json(folder / MEASURED, run(folder, count))
