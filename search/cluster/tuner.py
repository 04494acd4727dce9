"""Run the driver's tasks with Ray Tune, through a searcher and a scheduler that call the driver."""

from __future__ import annotations

import dataclasses
import logging
import os
import shutil
import time
from collections.abc import Callable, Sequence
from typing import Any

import ray
import ray.tune
from ray.tune.execution.tune_controller import TuneController
from ray.tune.experiment import Trial
from ray.tune.progress_reporter import TrialProgressCallback
from ray.tune.schedulers import FIFOScheduler

from leukemia.base import interrupts
from leukemia.config.results import Epoch, FoldResult
from search.cluster.disks import Disks, marked
from search.cluster.end_notice import EndNotice
from search.cluster.fleet import Fleet, request_of
from search.cluster.heartbeat import require_ray, stop_watching
from search.cluster.nodes import current_nodes
from search.cluster.ray_private import own_logs, treat_oom_as_crash, without_secrets
from search.cluster.resources import Resources
from search.cluster.searcher import DriverSearcher, Watch
from search.cluster.trainable import DEVICE_MB, KEPT, NOTES, REPORT, TrialData, run_placed, run_trial
from search.cluster.tune_config import assignment_of, config_of, task_of
from search.policy.health import Rescheduled
from search.policy.task import Task
from search.trials.assignment import Assignment, Report
from search.trials.driver import Driver
from search.trials.requests import Canceled

log = logging.getLogger(__name__)

MAX_PROCESS_FAILURES = 3
"""How many times in a row, without a new epoch in between, a task resumes from its last checkpoint after its process
has crashed: on preemptible machines a long trial crashes often. Python exceptions in a trial are not retried."""

MAX_TRIALS = 4096
"""Pending and running trials; more than fit on any cluster."""

PAUSE_SECONDS = 0.5
"""How often a paused search checks whether it goes on."""

Trainable = Callable[[Assignment, TrialData, Resources], None]
"""Runs an assignment in a worker process and reports as ``REPORT``; its parameters are named ``assignment, data,
resources``."""


Repair = Callable[[bool], object]
"""Restores what trials read on this machine. Its argument is whether a trial's process has crashed: reading a damaged
file or a failing disk through a memory map ends the process by a signal."""


def run_trials(
    driver: Driver,
    data: TrialData,
    resources: Resources,
    trainable: Trainable | None = None,
    repair: Repair = lambda has_crashed: None,
    paused_gb: float | None = None,
) -> None:
    """Run trials until the driver has no more; returns when the last one has ended.

    Args:
        trainable: replaces cross-validation, to measure the overhead of the rest.
        repair: called before a trial starts, also again after a crash.
        paused_gb: for the checkpoints of trials that wait, on each disk; None for a fifth of what is free there.

    Raises:
        Exception: the first one that the driver raised; Tune would replace it by its own.
        Canceled: the user has canceled the search; trials that were running can be resumed.
        RayCrashed: Ray itself crashed; trials that were running keep their state and can be resumed.
    """
    os.environ["RAY_CHDIR_TO_TRIAL_DIR"] = "0"
    # Tune's own files are never read again; next to the study's checkpoints, a crashed driver's are found and removed.
    scratch = data.checkpoints / "tune"
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir(parents=True)
    mark, notice = marked(scratch), EndNotice()
    data = dataclasses.replace(data, mark=mark, notice=notice.key)
    watch, fleet = Watch(), Fleet(resources, current_nodes, own_logs=own_logs())
    disks = Disks(data.checkpoints, mark, limit_bytes=None if paused_gb is None else 1e9 * paused_gb)
    if any(driver.progress):
        disks.survey(_node_ids(fleet))
        disks.trim(driver.waiting())

    def begin() -> dict[str, Any] | None:
        try:
            _obey(driver)
        except Canceled:
            notice.give()
            raise
        if not driver.idle() and fleet.is_full():
            return None
        assignment = driver.begin(fleet.capacity())
        if assignment is None:
            return None
        repair(False)
        near = disks.node_of(assignment.task)
        return config_of(assignment, fleet.place(assignment.task, assignment.recipe, near=near))

    def receive(task: Task, report: Report) -> bool:
        goes_on = driver.receive(task, report)
        notice.note(task, report, goes_on=goes_on)
        if isinstance(report, Rescheduled):
            fleet.reschedule(task.job, report)
        return goes_on

    def recover(task: Task) -> None:
        fleet.wait(task)
        notice.forget(task)
        repair(True)

    def end(task: Task, process_failed: bool) -> None:
        if process_failed:
            # A trial whose process ended because Ray crashed has not failed.
            require_ray(wait=True)
        fleet.leave(task)
        notice.forget(task)
        if driver.end(task, process_failed):
            disks.remove(task.job)
        else:
            disks.trim(driver.waiting())

    tuner = ray.tune.Tuner(
        ray.tune.with_resources(
            ray.tune.with_parameters(run_placed, work=trainable or run_trial, data=data, resources=resources),
            request_of,
        ),
        tune_config=ray.tune.TuneConfig(
            search_alg=DriverSearcher(watch(begin), watch(end), driver.idle),
            scheduler=_DriverScheduler(watch(receive)),
            num_samples=-1,
            # The fleet limits the number of trials. With its default limit Tune keeps one pending trial, for which an
            # autoscaler starts only one node at a time.
            max_concurrent_trials=MAX_TRIALS,
            reuse_actors=True,
        ),
        run_config=ray.tune.RunConfig(
            storage_path=str(scratch),
            name="trials",
            verbose=0,
            failure_config=ray.tune.FailureConfig(max_failures=MAX_PROCESS_FAILURES),
            callbacks=[_FleetCallback(fleet, disks, watch(recover), driver.abandoned)],
        ),
    )
    try:
        with treat_oom_as_crash(), without_secrets():
            tuner.fit()
        if watch.error is None:
            disks.clear(_node_ids(fleet))
    except KeyboardInterrupt:
        # It has passed through Tune, which would have ended the workers otherwise.
        notice.give()
        raise
    except Exception:
        if watch.error is None:
            raise
    finally:
        stop_watching()
        shutil.rmtree(scratch, ignore_errors=True)
    if watch.error is not None:
        raise watch.error


def _node_ids(fleet: Fleet) -> list[str]:
    return [node.node_id for node in fleet.nodes().now]


def _obey(driver: Driver) -> None:
    """Do what the user asks of the search, several times a second; wait while it is paused and nothing runs."""
    driver.obey()
    while driver.is_paused and driver.idle():
        # Without a running trial, Tune reports missing resources after a while.
        time.sleep(PAUSE_SECONDS)
        interrupts.check()
        require_ray()
        driver.obey()


class _DriverScheduler(FIFOScheduler):
    """Passes each report to the driver, which decides whether to continue; progress resets the number of crashes."""

    def __init__(self, receive: Callable[..., bool]) -> None:
        super().__init__()
        self._receive = receive
        self._furthest: dict[Task, int] = {}

    def __getstate__(self) -> dict[str, Any]:
        """Empty, as in the searcher."""
        return {}

    def on_trial_result(self, tune_controller: TuneController, trial: Trial, result: dict[str, Any]) -> str:
        # The last result arrives twice, the second time without a report: Tune's own notice that the trial is done.
        if REPORT not in result:
            return str(self.CONTINUE)
        task, report = task_of(trial.config), result[REPORT]
        goes_on = self._receive(task, report)
        if isinstance(report, Rescheduled | FoldResult):
            # After its fold a worker ends by itself, once it has removed its checkpoint: retried, it would train the
            # fold again. A rescheduled one raises to end its process, in which the device may be broken.
            trial.run_metadata.num_failures = MAX_PROCESS_FAILURES
            return str(self.CONTINUE)
        if self._is_progress(task, report):
            trial.run_metadata.num_failures = 0
        return str(self.CONTINUE if goes_on else self.STOP)

    def _is_progress(self, task: Task, report: Report) -> bool:
        """Whether a task has got further than before: epochs may be repeated and reported again after a crash."""
        if not isinstance(report, Epoch) or report.epoch <= self._furthest.get(task, 0):
            return False
        self._furthest[task] = report.epoch
        return True


class _FleetCallback(TrialProgressCallback):
    """Replaces Tune's callback that prints: keeps fleet and disks up to date, and ends processes of abandoned tasks.

    Removes reports, which Tune would keep.
    """

    def __init__(
        self,
        fleet: Fleet,
        disks: Disks,
        recover: Callable[[Task], object],
        abandoned: Callable[[], Sequence[Task]],
    ) -> None:
        """
        Args:
            recover: called with a task whose process has crashed, before it gets another one.
            abandoned: the tasks that run in vain.
        """
        super().__init__()
        self._fleet, self._disks, self._recover, self._abandoned = fleet, disks, recover, abandoned
        self._noted = set[str]()

    def __getstate__(self) -> dict[str, Any]:
        """Empty, as in the searcher."""
        return {}

    def on_step_begin(self, iteration: int, trials: list[Trial], **info: Any) -> None:
        """Called several times a second."""
        interrupts.check()
        require_ray()
        self._fleet.watch()
        abandoned = self._abandoned()
        for trial in trials if abandoned else ():
            if trial.status == Trial.RUNNING and task_of(trial.config) in abandoned:
                # Not stopped: a stopped process is used again, but this one trains on until its next report.
                trial.run_metadata.num_failures = MAX_PROCESS_FAILURES
                ray.kill(trial.temporary_state.ray_actor)

    def on_trial_start(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        self._fleet.start(task_of(trial.config))

    def on_trial_recover(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        self._recover(task_of(trial.config))

    def on_trial_result(
        self, iteration: int, trials: list[Trial], trial: Trial, result: dict[str, Any], **info: Any
    ) -> None:
        report, kept = result.pop(REPORT, None), result.pop(KEPT, None)
        for note in result.pop(NOTES, ()):
            # Each fold of a trial may warn of the same.
            if note not in self._noted:
                self._noted.add(note)
                log.warning("%s", note)
        if isinstance(report, Epoch):
            assignment = assignment_of(trial.config)
            self._fleet.measure(assignment.recipe, report.device_memory_mb, result.get(DEVICE_MB, 0.0))
            if kept is not None:
                self._disks.note(assignment.task, kept)
        elif isinstance(report, FoldResult):
            self._disks.drop(task_of(trial.config))

    def on_trial_error(self, *arguments: Any, **info: Any) -> None:
        """Do nothing: the driver is notified by the searcher."""

    on_trial_complete = on_trial_error
