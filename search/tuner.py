"""Ray Tune around the driver: the scheduler that asks it, the searcher that it feeds."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from typing import Any

import ray.tune
from ray.tune.execution.tune_controller import TuneController
from ray.tune.experiment import Trial
from ray.tune.progress_reporter import TrialProgressCallback
from ray.tune.schedulers import FIFOScheduler

from leukemia.crossval import FoldResult
from search import signals
from search.cluster import require_ray
from search.driver import Driver
from search.race import Job
from search.resources import Resources
from search.searcher import TruthfulSearcher, Watch
from search.trainable import REPORT, TrialData, checkpoints_of, job_of, run_trial

MAX_PROCESS_FAILURES = 3
"""How often a trial goes on from its last epoch after its process died; our own errors are not retried."""

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
            require_ray()
        driver.end(job, process_failed)
        shutil.rmtree(checkpoints_of(data, job), ignore_errors=True)

    tuner = ray.tune.Tuner(
        ray.tune.with_resources(
            ray.tune.with_parameters(trainable or run_trial, data=data, resources=resources),
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
        job, report = job_of(trial.config), result[REPORT]
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
        require_ray()

    def on_trial_result(
        self, iteration: int, trials: list[Trial], trial: Trial, result: dict[str, Any], **info: Any
    ) -> None:
        result.pop(REPORT, None)

    def on_trial_error(self, *heard: Any, **info: Any) -> None:
        """The driver has heard of it."""

    on_trial_complete = on_trial_error
