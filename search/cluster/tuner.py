"""Ray Tune around the driver: the scheduler that asks it, the searcher that it feeds."""

from __future__ import annotations

import logging
import math
import os
import shutil
from collections.abc import Callable
from typing import Any

import ray.tune
from ray.tune.execution.tune_controller import TuneController
from ray.tune.experiment import Trial
from ray.tune.progress_reporter import TrialProgressCallback
from ray.tune.schedulers import FIFOScheduler

from leukemia.config.recipe import Recipe
from leukemia.config.results import Epoch, FoldResult
from search.cluster import signals
from search.cluster.fleet import Fleet, request_of
from search.cluster.heartbeat import require_ray, stop_watching
from search.cluster.nodes import look
from search.cluster.ray_private import treat_oom_as_crash
from search.cluster.resources import Resources
from search.cluster.searcher import DriverSearcher, Watch
from search.cluster.trainable import DEVICE_MB, NOTES, REPORT, TrialData, at_place, checkpoints_of, job_of, run_trial
from search.policy.health import Rescheduled
from search.policy.race import Job
from search.trials.driver import Driver

log = logging.getLogger(__name__)

MAX_PROCESS_FAILURES = 3
"""How often in a row, without an epoch in between, a trial goes on from its last epoch after its process died: on
machines that are taken away at any time a long trial dies often. Our own errors are not retried."""

MAX_TRIALS = 4096
"""At once; more than any cluster has room for."""

Trainable = Callable[[dict[str, Any], TrialData, Resources], None]
"""What a worker process does with a job's configuration, and reports as ``REPORT``; its parameters have these names:
``config, data, resources``."""


def run_trials(driver: Driver, data: TrialData, resources: Resources, trainable: Trainable | None = None) -> None:
    """Run trials until the driver has no more; returns when the last has ended.

    Args:
        trainable: in the place of cross-validation, for whoever measures what is around it.

    Raises:
        Exception: the first that the driver raised; Tune would bury it under its own.
        RayCrashed: Ray itself is gone; trials that were running are left as they are, to be taken up again.
    """
    os.environ["RAY_CHDIR_TO_TRIAL_DIR"] = "0"
    # Tune's own files are never read again; beside the study's checkpoints, a dead driver's are found and removed.
    scratch = data.checkpoints / "tune"
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir(parents=True)
    watch, fleet = Watch(), Fleet(resources, look)

    def begin() -> dict[str, Any] | None:
        if not driver.idle() and fleet.is_full():
            return None
        assignment = driver.begin(fleet.places())
        if assignment is None:
            return None
        return assignment | {"place": fleet.place(job_of(assignment), Recipe.from_flat(assignment["recipe"]))}

    def hear(job: Job, report: Any) -> bool:
        goes_on = driver.hear(job, report)
        if isinstance(report, Rescheduled):
            fleet.hear(job, report)
        return goes_on

    def end(job: Job, process_failed: bool) -> None:
        if process_failed:
            # A trial whose processes died with Ray is not a failed one.
            require_ray(wait=True)
        fleet.leave(job)
        if driver.end(job, process_failed):
            shutil.rmtree(checkpoints_of(data, job), ignore_errors=True)

    tuner = ray.tune.Tuner(
        ray.tune.with_resources(
            ray.tune.with_parameters(at_place, work=trainable or run_trial, data=data, resources=resources),
            request_of,
        ),
        tune_config=ray.tune.TuneConfig(
            search_alg=DriverSearcher(watch(begin), watch(end), driver.idle),
            scheduler=_Judging(watch(hear), driver.folds_done),
            num_samples=-1,
            # The fleet knows how many there is room for. Without a limit Tune holds one pending trial, and no
            # autoscaler would start more than one node at a time.
            max_concurrent_trials=MAX_TRIALS,
            reuse_actors=True,
        ),
        run_config=ray.tune.RunConfig(
            storage_path=str(scratch),
            name="trials",
            verbose=0,
            failure_config=ray.tune.FailureConfig(max_failures=MAX_PROCESS_FAILURES),
            callbacks=[_Silence(fleet)],
        ),
    )
    try:
        with treat_oom_as_crash():
            tuner.fit()
    except Exception:
        if watch.error is None:
            raise
    finally:
        stop_watching()
        shutil.rmtree(scratch, ignore_errors=True)
    if watch.error is not None:
        raise watch.error


class _Judging(FIFOScheduler):
    """Tune's scheduler that asks the driver after each report, and forgives deaths once there is progress."""

    def __init__(self, hear: Callable[..., bool], folds_done: Callable[[Job], list[int]]) -> None:
        super().__init__()
        self._hear, self._folds_done = hear, folds_done
        self._furthest: dict[Job, tuple[int, float]] = {}

    def __getstate__(self) -> dict[str, Any]:
        """Nothing, as in the searcher."""
        return {}

    def on_trial_result(self, tune_controller: TuneController, trial: Trial, result: dict[str, Any]) -> str:
        # The last result comes twice, the second time without a report: Tune's own notice that the trial is done.
        if REPORT not in result:
            return str(self.CONTINUE)
        job, report = job_of(trial.config), result[REPORT]
        goes_on = self._hear(job, report)
        if isinstance(report, Rescheduled):
            # The worker ends its process, which may hold a broken device, by raising: that is not to be retried here.
            trial.run_metadata.num_failures = MAX_PROCESS_FAILURES
            return str(self.CONTINUE)
        if self._is_progress(job, report):
            trial.run_metadata.num_failures = 0
        if isinstance(report, FoldResult):
            # A worker that takes over from a dead one leaves out what is committed.
            trial.set_config(trial.config | {"skip": self._folds_done(job)})
        return str(self.CONTINUE if goes_on else self.STOP)

    def _is_progress(self, job: Job, report: Epoch | FoldResult | str) -> bool:
        """Whether a trial has come further than ever: a checkpoint's epochs are reported again after each death."""
        if isinstance(report, str):
            return False
        reached = (report.fold, report.epoch if isinstance(report, Epoch) else math.inf)
        if reached <= self._furthest.get(job, (-1, 0)):
            return False
        self._furthest[job] = reached
        return True


class _Silence(TrialProgressCallback):
    """In the place of Tune's own callback, which prints. Removes reports once they are heard: Tune would keep them."""

    def __init__(self, fleet: Fleet) -> None:
        super().__init__()
        self._fleet = fleet

    def on_step_begin(self, iteration: int, trials: list[Trial], **info: Any) -> None:
        """Several times a second."""
        signals.check()
        require_ray()
        self._fleet.watch()

    def on_trial_start(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        self._fleet.start(job_of(trial.config))

    def on_trial_recover(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        self._fleet.wait(job_of(trial.config))

    def on_trial_result(
        self, iteration: int, trials: list[Trial], trial: Trial, result: dict[str, Any], **info: Any
    ) -> None:
        report = result.pop(REPORT, None)
        for words in result.pop(NOTES, ()):
            log.warning("%s", words)
        if isinstance(report, Epoch):
            recipe = Recipe.from_flat(trial.config["recipe"])
            self._fleet.measure(recipe, report.device_memory_mb, result.get(DEVICE_MB, 0.0))

    def on_trial_error(self, *heard: Any, **info: Any) -> None:
        """The driver has heard of it."""

    on_trial_complete = on_trial_error
