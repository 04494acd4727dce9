"""Ray Tune around the driver: the trainable, its resources, the scheduler; a Ray of our own or a cluster's."""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
import socket
import traceback
from collections.abc import Callable, Iterator
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
from ray._private import ray_constants, worker
from ray._private.services import canonicalize_bootstrap_address
from ray.tune.execution.tune_controller import TuneController
from ray.tune.experiment import Trial
from ray.tune.progress_reporter import TrialProgressCallback
from ray.tune.schedulers import FIFOScheduler

from leukemia.config import Recipe
from leukemia.crossval import FoldResult, cross_validate
from leukemia.device import DEVICES
from leukemia.mistakes import Mistake
from search import signals
from search.driver import Driver
from search.race import Job
from search.searcher import TruthfulSearcher, Watch

log = logging.getLogger("search")

REPORT = "report"
"""Key of a trial's report in Tune's result: an ``Epoch``, a ``FoldResult`` or the words of a failure."""

CONNECT_SECONDS = 10
"""How long a Ray cluster's head may take to answer."""

MAX_PROCESS_FAILURES = 3
"""How often a trial goes on from its last epoch after its process died; our own errors are not retried."""

NEEDED_PROCESSES = (ray_constants.PROCESS_TYPE_RAYLET, ray_constants.PROCESS_TYPE_GCS_SERVER)
"""Of a Ray of our own; it goes on without its others."""


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
        Mistake: no Ray answers at the address.
        RayNotStarted: one of our own does not start.
    """
    logging.getLogger("ray").setLevel(logging.ERROR)
    # Else Ray prints to the terminal what its processes complain of, and breaks the table there.
    worker.print_to_stdstream = lambda data, **_: log.info("Ray: %s", " ".join(data["lines"]))
    common = {"log_to_driver": False, "logging_level": logging.CRITICAL, "configure_logging": False}
    try:
        joining = None if address == "local" else canonicalize_bootstrap_address(address)
        if joining is not None:
            _require_answer(joining)
            ray.init(address=joining, **common)
    except Exception as error:
        raise Mistake(
            f"--address {address or os.environ.get('RAY_ADDRESS', 'local')}: no Ray there ({_first_line(error)}); "
            "start one with `ray start --head` or `ray up`, or use --address local"
        ) from None
    if joining is None:
        try:
            with _loopback_only(), _key_kept_here():
                ray.init(address="local", include_dashboard=False, _node_ip_address="127.0.0.1", **common)
        except Exception as error:
            ray.shutdown()
            raise RayNotStarted(
                f"Ray did not start ({_first_line(error)}); try again when the machine is less busy, or look why in "
                "Ray's own logs (by default /tmp/ray/session_latest/logs)"
            ) from None
    try:
        yield joining is None
    finally:
        ray.shutdown()


def _first_line(error: Exception) -> str:
    return next(iter(str(error).splitlines()), type(error).__name__)


@contextlib.contextmanager
def _loopback_only() -> Iterator[None]:
    """Make a Ray that starts now keep to 127.0.0.1: whoever reaches its ports runs code here.

    Ray replaces that address by the machine's own and listens everywhere, unless told that it is part of no cluster.
    """
    name = ray_constants.ENABLE_RAY_CLUSTERS_ENV_VAR
    before = ray_constants.ENABLE_RAY_CLUSTER, os.environ.get(name)
    # The processes that Ray starts read the variable.
    ray_constants.ENABLE_RAY_CLUSTER, os.environ[name] = False, "0"
    try:
        yield
    finally:
        ray_constants.ENABLE_RAY_CLUSTER = before[0]
        del os.environ[name]
        os.environ |= {} if before[1] is None else {name: before[1]}


@contextlib.contextmanager
def _key_kept_here() -> Iterator[None]:
    """Keep the W&B key out of the environment of Ray's processes: the driver alone speaks to W&B."""
    key = os.environ.pop("WANDB_API_KEY", None)
    try:
        yield
    finally:
        if key is not None:
            os.environ["WANDB_API_KEY"] = key


def _require_answer(address: str) -> None:
    """Knock first: at an address without an answer ``ray.init`` tries again for minutes."""
    host, _, port = address.rpartition(":")
    with socket.create_connection((host.strip("[]"), int(port)), timeout=CONNECT_SECONDS):
        pass


class RayNotStarted(RuntimeError):
    """A Ray of our own did not start: ``ray.init`` raises whatever it likes."""


class RayDied(BaseException):
    """Ray itself is gone: what was running has not failed, it only cannot go on here.

    No ``Exception``: Tune would answer that by asking the dead for its resources, and wait for minutes.
    """


def _require_ray() -> None:
    """Look whether all processes live without which a Ray of our own does nothing; of a cluster we have none here.

    Raises:
        RayDied: one is dead.
    """
    dead = [name for name, _ in worker._global_node.dead_processes() if name in NEEDED_PROCESSES]
    if dead:
        raise RayDied(f"Ray died ({', '.join(dead)})")


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
    if gpus is not None and device != "cuda":
        raise Mistake(f"--gpus-per-trial has no effect on {device}; leave it out")
    if gpus is not None and gpus > 1 and gpus != int(gpus):
        raise Mistake(f"--gpus-per-trial: expected a fraction up to 1 or a whole number, got {gpus:g}")
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


Trainable = Callable[[dict[str, Any], TrialData, Resources], None]
"""What a worker process does with a job's configuration, and reports as ``REPORT``; its parameters have these names:
``config, data, resources``."""


def run_trials(driver: Driver, data: TrialData, resources: Resources, trainable: Trainable | None = None) -> None:
    """Run trials until the driver has no more; returns when the last has ended.

    Args:
        trainable: in the place of cross-validation, for whoever measures what is around it.

    Raises:
        Exception: the first that the driver raised; Tune would bury it under its own.
        RayDied: Ray itself is gone; trials that were running are left as they are, to be taken up again.
    """
    os.environ["RAY_CHDIR_TO_TRIAL_DIR"] = "0"
    # Tune's own files are never read again; beside the study's checkpoints, a dead driver's are found and removed.
    scratch = data.checkpoints / "tune"
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir(parents=True)
    watch = Watch()

    def end(job: Job, process_failed: bool) -> None:
        if process_failed:
            # A trial whose processes died with Ray is not a failed one.
            _require_ray()
        driver.end(job, process_failed)
        shutil.rmtree(_checkpoints_of(data, job), ignore_errors=True)

    tuner = ray.tune.Tuner(
        ray.tune.with_resources(
            ray.tune.with_parameters(trainable or _run_trial, data=data, resources=resources),
            {"cpu": resources.cpus, "gpu": resources.gpus},
        ),
        tune_config=ray.tune.TuneConfig(
            search_alg=TruthfulSearcher(watch(driver.begin), watch(end), driver.idle),
            scheduler=_Judging(watch(driver.hear), driver.folds_done),
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
    except Exception:
        if watch.error is None:
            raise
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    if watch.error is not None:
        raise watch.error


def _checkpoints_of(data: TrialData, job: Job) -> Path:
    return data.checkpoints / f"{job.number:04d}-{job.seed}"


def _job_of(config: dict[str, Any]) -> Job:
    return Job(config["number"], config["seed"])


def _run_trial(config: dict[str, Any], data: TrialData, resources: Resources) -> None:
    """The trainable: one recipe, cross-validated; runs in a worker process."""
    torch.set_num_threads(max(1, resources.cpus))
    images = data.images if isinstance(data.images, np.ndarray) else np.load(data.images, mmap_mode="r")
    checkpoints = _checkpoints_of(data, _job_of(config))
    try:
        recipe = Recipe.from_flat(config["recipe"])
        assert recipe.data.crop_px is not None
        # Pretrained weights must be the study's on this machine, too: resolving compares their SHA-256.
        recipe = recipe.resolved(recipe.data.crop_px)
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
            if isinstance(report, FoldResult):
                # The report returns when the driver has committed the fold.
                shutil.rmtree(checkpoints, ignore_errors=True)
    except Exception as error:
        # Raising would cost the worker its process; the driver needs the words only.
        place = traceback.extract_tb(error.__traceback__)[-1]
        words = f"{type(error).__name__}: {error} ({Path(place.filename).name}, line {place.lineno})"
        ray.tune.report({REPORT: words})
    shutil.rmtree(checkpoints, ignore_errors=True)


class _Judging(FIFOScheduler):
    """Tune's scheduler that asks the driver after each report."""

    def __init__(self, hear: Callable[..., bool], folds_done: Callable[[Job], list[int]]) -> None:
        super().__init__()
        self._hear, self._folds_done = hear, folds_done

    def __getstate__(self) -> dict[str, Any]:
        """Nothing, as in the searcher."""
        return {}

    def on_trial_result(self, tune_controller: TuneController, trial: Trial, result: dict[str, Any]) -> str:
        # The last result comes twice, the second time without a report: Tune's own notice that the trial is done.
        if REPORT not in result:
            return str(self.CONTINUE)
        job, report = _job_of(trial.config), result[REPORT]
        goes_on = self._hear(job, report)
        if isinstance(report, FoldResult):
            # A worker that takes over from a dead one leaves out what is committed.
            trial.set_config(trial.config | {"skip": self._folds_done(job)})
        return str(self.CONTINUE if goes_on else self.STOP)


class _Silence(TrialProgressCallback):
    """In the place of Tune's own callback, which prints. Removes reports once they are heard: Tune would keep them."""

    def on_step_begin(self, iteration: int, trials: list[Trial], **info: Any) -> None:
        """Several times a second."""
        signals.check()
        _require_ray()

    def on_trial_result(
        self, iteration: int, trials: list[Trial], trial: Trial, result: dict[str, Any], **info: Any
    ) -> None:
        result.pop(REPORT, None)

    def on_trial_error(self, *heard: Any, **info: Any) -> None:
        """The driver has heard of it."""

    on_trial_complete = on_trial_error


def describe(resources: Resources, own: bool) -> str:
    """Where trials run, in one line for the user."""
    gpus = f", {resources.gpus:g} GPU" if resources.gpus else ""
    place = "a Ray of its own" if own else f"the Ray cluster at {ray.get_runtime_context().gcs_address}"
    return (
        f"device: {resources.device}; up to {resources.concurrent} trials at once on {place}, "
        f"each with {resources.cpus} CPU{gpus}"
    )
