"""Ray Tune around the driver: the trainable, its resources, the scheduler; a Ray of our own or a cluster's."""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
import tempfile
import traceback
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

# Before ray is imported: no loggers that write every result as text, no progress tables, no error dumps.
os.environ.setdefault("TUNE_DISABLE_AUTO_CALLBACK_LOGGERS", "1")
os.environ.setdefault("RAY_AIR_NEW_OUTPUT", "0")
os.environ.setdefault("TUNE_PRINT_ALL_TRIAL_ERRORS", "0")
os.environ.setdefault("TUNE_DISABLE_SIGINT_HANDLER", "1")
os.environ.setdefault("TUNE_WARN_EXCESSIVE_EXPERIMENT_CHECKPOINT_SYNC_THRESHOLD_S", "0")
os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")

import numpy as np
import ray
import ray.tune
import torch
from ray.tune.execution.tune_controller import TuneController
from ray.tune.experiment import Trial
from ray.tune.progress_reporter import TrialProgressCallback
from ray.tune.schedulers import FIFOScheduler

from leukemia.config import Recipe
from leukemia.crossval import cross_validate
from leukemia.device import DEVICES
from leukemia.files import cache_dir
from leukemia.mistakes import Mistake
from search.driver import Driver
from search.searcher import TruthfulSearcher

REPORT = "report"
"""Key of a trial's report in Tune's result: an ``Epoch``, a ``FoldResult`` or the words of a failure."""

MAX_PROCESS_FAILURES = 3
"""How often a trial goes on from its last epoch after its process died; our own errors are not retried."""


@dataclass(frozen=True, kw_only=True)
class Resources:
    """What one trial occupies, and how many may run at once."""

    device: str
    cpus: int
    gpus: float
    concurrent: int


@dataclass(frozen=True, kw_only=True)
class TrialData:
    """What every trial needs and none changes; it travels once per node."""

    images: np.ndarray | Path
    """uint8 (n, H, W, 3), or on one machine the path of that array, which all trials then map."""

    labels: np.ndarray
    folds: list[tuple[np.ndarray, np.ndarray]]
    checkpoints: Path
    """Folder on the worker's own disk."""


@contextlib.contextmanager
def ray_session(address: str | None) -> Iterator[bool]:
    """Join a cluster, or start a Ray of our own that listens on loopback only; yields whether it is our own.

    Without an address that is the cluster this machine belongs to (``RAY_ADDRESS``, or where ``ray start`` was run).

    Raises:
        Mistake: nothing answers at the address, or Ray cannot start.
    """
    joining = address or _cluster_of_this_machine()
    logging.getLogger("ray").setLevel(logging.ERROR)
    common = {"log_to_driver": False, "logging_level": logging.CRITICAL, "configure_logging": False}
    try:
        if joining in (None, "local"):
            # A token on this machine belongs to some cluster; our own Ray is reached through loopback only.
            ray.init(address="local", include_dashboard=False, _node_ip_address="127.0.0.1", **common)
        else:
            ray.init(address=joining, **common)
    except (ConnectionError, ValueError, RuntimeError) as error:
        lines = str(error).splitlines() or [type(error).__name__]
        raise Mistake(
            f"--address {joining}: no Ray there ({lines[0]}); start one with `ray start --head` or `ray up`, "
            "or use --address local"
        ) from None
    try:
        yield joining in (None, "local")
    finally:
        ray.shutdown()


def _cluster_of_this_machine() -> str | None:
    from ray._private.services import canonicalize_bootstrap_address

    found: str | None = canonicalize_bootstrap_address(None)
    return found


def num_nodes() -> int:
    """Nodes that are alive."""
    return sum(node["Alive"] for node in ray.nodes())


def plan_resources(device: str, cpus: int | None, gpus: float | None, max_gpus: int | None) -> Resources:
    """Divide what Ray has among trials.

    ``auto`` takes GPUs where the cluster has some, else what the machine has. By default a trial gets a whole GPU and
    its share of the processors; without GPUs two trials run at once.

    Raises:
        Mistake: a device, or more of it, than the cluster has.
    """
    total = ray.cluster_resources()
    total_cpus, total_gpus = int(total.get("CPU", 0)), total.get("GPU", 0.0)
    assert device in DEVICES
    if device == "auto":
        device = "cuda" if total_gpus else ("mps" if torch.backends.mps.is_available() else "cpu")
    if device == "cuda" and not total_gpus:
        raise Mistake("--device cuda: Ray sees no GPU; use --device auto or cpu")
    gpus_per_trial = (1.0 if gpus is None else gpus) if device == "cuda" else 0.0
    usable_gpus = min(total_gpus, float(max_gpus)) if max_gpus is not None else total_gpus
    by_gpu = int(usable_gpus / gpus_per_trial + 1e-6) if gpus_per_trial else (1 if device == "mps" else 2)
    cpus_per_trial = cpus or max(1, total_cpus // max(1, by_gpu))
    concurrent = min(by_gpu if device != "cpu" else total_cpus, total_cpus // cpus_per_trial)
    if concurrent < 1:
        raise Mistake(
            f"a trial asks for {cpus_per_trial} CPUs and {gpus_per_trial:g} GPUs, "
            f"the cluster has {total_cpus} and {usable_gpus:g}; lower --cpus-per-trial or --gpus-per-trial"
        )
    return Resources(device=device, cpus=cpus_per_trial, gpus=gpus_per_trial, concurrent=concurrent)


def run_trials(driver: Driver, data: TrialData, resources: Resources) -> None:
    """Run trials until the driver has no more; returns when the last has ended."""
    os.environ["RAY_CHDIR_TO_TRIAL_DIR"] = "0"
    scratch = Path(tempfile.mkdtemp(prefix="tune-", dir=cache_dir()))
    trainable = ray.tune.with_resources(
        ray.tune.with_parameters(_run_trial, data=data, resources=resources),
        {"cpu": resources.cpus, "gpu": resources.gpus},
    )
    tuner = ray.tune.Tuner(
        trainable,
        tune_config=ray.tune.TuneConfig(
            search_alg=TruthfulSearcher(driver.begin, driver.end),
            scheduler=_Judging(driver),
            num_samples=-1,
            max_concurrent_trials=resources.concurrent,
            reuse_actors=True,
        ),
        run_config=ray.tune.RunConfig(
            storage_path=str(scratch),
            name="trials",
            verbose=0,
            failure_config=ray.tune.FailureConfig(max_failures=MAX_PROCESS_FAILURES),
            callbacks=[_Silence()],
        ),
    )
    try:
        tuner.fit()
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _run_trial(config: dict[str, Any], data: TrialData, resources: Resources) -> None:
    """The trainable: one recipe, cross-validated; runs in a worker process."""
    torch.set_num_threads(max(1, resources.cpus))
    recipe = Recipe.from_flat(config["recipe"])
    images = data.images if isinstance(data.images, np.ndarray) else np.load(data.images, mmap_mode="r")
    checkpoints = data.checkpoints / f"{config['number']:04d}"
    try:
        for report in cross_validate(
            recipe,
            images,
            data.labels,
            data.folds,
            device=torch.device(resources.device),
            skip=config["skip"],
            num_workers=resources.cpus - 1 if resources.device == "cuda" else 0,
            checkpoints=checkpoints,
        ):
            ray.tune.report({REPORT: report})
    except Exception as error:
        # Raising would cost the worker its process; the driver needs the words only.
        place = traceback.extract_tb(error.__traceback__)[-1]
        words = f"{type(error).__name__}: {error} ({Path(place.filename).name}, line {place.lineno})"
        shutil.rmtree(checkpoints, ignore_errors=True)
        ray.tune.report({REPORT: words})
        return
    shutil.rmtree(checkpoints, ignore_errors=True)


class _Judging(FIFOScheduler):
    """Tune's scheduler that asks the driver after each report."""

    def __init__(self, driver: Driver) -> None:
        super().__init__()
        self._driver = driver

    def __getstate__(self) -> dict[str, Any]:
        """Nothing, as in the searcher."""
        return {}

    def on_trial_result(self, tune_controller: TuneController, trial: Trial, result: dict[str, Any]) -> str:
        # The last result comes twice, the second time without a report: Tune's own notice that the trial is done.
        if REPORT not in result:
            return str(self.CONTINUE)
        goes_on = self._driver.hear(trial.config["number"], result[REPORT])
        return str(self.CONTINUE if goes_on else self.STOP)


class _Silence(TrialProgressCallback):
    """In the place of Tune's own callback, which prints: removes reports once they are heard, and says nothing.

    Tune would keep each trial's last report in its own files.
    """

    def on_trial_result(
        self, iteration: int, trials: list[Trial], trial: Trial, result: dict[str, Any], **info: Any
    ) -> None:
        result.pop(REPORT, None)

    def on_trial_error(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        """The driver has heard of it."""

    def on_trial_complete(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        """The driver has heard of it."""


def describe(resources: Resources, own: bool) -> str:
    """Where trials run, in one line for the user."""
    gpus = f", {resources.gpus:g} GPU" if resources.gpus else ""
    place = "a Ray of its own" if own else f"the Ray cluster at {ray.get_runtime_context().gcs_address}"
    return (
        f"device: {resources.device}; up to {resources.concurrent} trials at once on {place}, "
        f"each with {resources.cpus} CPU{gpus}"
    )
