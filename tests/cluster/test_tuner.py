"""The scheduler between Tune and the driver: passes on reports and applies the driver's decisions."""

from __future__ import annotations

import pickle
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from leukemia.config.recipe import Recipe
from leukemia.config.results import Epoch, FoldResult
from leukemia.study.job import Job
from search.cluster import tuner
from search.cluster.disks import Disks, Kept
from search.cluster.fleet import Fleet
from search.cluster.nodes import Nodes
from search.cluster.resources import Resources
from search.cluster.trainable import KEPT, REPORT
from search.cluster.tune_config import Placement, config_of
from search.policy.health import Rescheduled
from search.policy.task import Task
from search.trials.assignment import Assignment, Failure


class Assigned:
    """Tune's trial, reduced to what a scheduler uses."""

    def __init__(self, config: dict[str, Any]) -> None:
        self.config = config
        self.run_metadata = SimpleNamespace(num_failures=2)


def result_of(fold: int) -> FoldResult:
    return FoldResult(
        seed=2,
        fold=fold,
        rows=np.arange(2),
        probabilities=np.array([0.2, 0.8]),
        scores={},
        seconds=1.0,
        device="cpu (test)",
        precision="float32",
    )


def trial_of(task: Task) -> Any:
    return Assigned(config_of(Assignment(task=task, recipe=Recipe()), Placement(cpus=1, gpus=0.0)))


def test_reports_reach_the_driver_with_their_task() -> None:
    received: list[tuple[Task, Any]] = []

    def receive(task: Task, report: Any) -> bool:
        received.append((task, report))
        return not isinstance(report, Epoch)

    failure, epoch = Failure(message="NonFiniteLoss"), epoch_of(1, 1)
    scheduler, task = tuner._DriverScheduler(receive), Task(Job(7, 2), 1)
    trial = trial_of(task)
    decisions = [scheduler.on_trial_result(None, trial, {REPORT: report}) for report in (failure, epoch)]  # type: ignore[arg-type]
    assert decisions == [scheduler.CONTINUE, scheduler.STOP]
    assert received == [(task, failure), (task, epoch)]
    assert scheduler.on_trial_result(None, trial, {}) == scheduler.CONTINUE  # type: ignore[arg-type]
    assert len(received) == 2


def test_a_worker_ends_by_itself_after_its_fold_and_is_not_retried() -> None:
    """It removes its checkpoint. If its process crashes then, the fold is committed: it must not be trained again."""
    for goes_on in (True, False):
        scheduler = tuner._DriverScheduler(lambda *report, answer=goes_on: answer)
        trial = trial_of(Task(Job(7, 2), 1))
        assert scheduler.on_trial_result(None, trial, {REPORT: result_of(1)}) == scheduler.CONTINUE  # type: ignore[arg-type]
        assert trial.run_metadata.num_failures == tuner.MAX_PROCESS_FAILURES


def epoch_of(fold: int, epoch: int) -> Epoch:
    return Epoch(
        seed=0,
        fold=fold,
        epoch=epoch,
        train_loss=0.5,
        train_accuracy=0.5,
        validation_loss=0.7,
        validation_accuracy=0.5,
        learning_rate=1e-3,
        seconds=1.0,
        images_per_second=10.0,
        device_memory_mb=0.0,
    )


def test_crashes_count_only_while_a_trial_makes_no_progress() -> None:
    scheduler = tuner._DriverScheduler(lambda *report: True)
    trials = [trial_of(Task(Job(0, 0), fold)) for fold in (0, 1)]
    # After a crash the checkpoint's epochs are reported again, which is no progress.
    steps = [((0, 1), 0), ((0, 2), 0), ((0, 1), 2), ((0, 2), 2), ((0, 3), 0), ((0, 3), 2), ((1, 1), 0)]
    for (fold, epoch), failures in steps:
        trial = trials[fold]
        trial.run_metadata.num_failures = 2
        scheduler.on_trial_result(None, trial, {REPORT: epoch_of(fold, epoch)})  # type: ignore[arg-type]
        assert trial.run_metadata.num_failures == failures, (fold, epoch)
    trial.run_metadata.num_failures = 2
    scheduler.on_trial_result(None, trial, {REPORT: Failure(message="NonFiniteLoss")})  # type: ignore[arg-type]
    assert trial.run_metadata.num_failures == 2


class Idle(Fleet):
    """A fleet without nodes."""

    def __init__(self) -> None:
        super().__init__(Resources(device="cpu", cpus=1, gpus=0.0, concurrent=1), lambda: Nodes(now=()))


def test_processes_of_tasks_that_count_no_more_are_ended_and_not_retried(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    killed: list[str] = []
    monkeypatch.setattr(tuner, "require_ray", lambda: None)
    monkeypatch.setattr(tuner.ray, "kill", killed.append)
    trials = [trial_of(Task(Job(7, 2), fold)) for fold in range(4)]
    for fold, (trial, status) in enumerate(zip(trials, ["RUNNING", "RUNNING", "TERMINATED", "PENDING"], strict=True)):
        trial.status, trial.temporary_state = status, SimpleNamespace(ray_actor=f"fold {fold}")
    abandoned: list[Task] = []
    disks = Disks(tmp_path, tmp_path / "mark")
    callback = tuner._FleetCallback(Idle(), disks, lambda task: None, lambda: abandoned)
    assert pickle.loads(pickle.dumps(callback)), "as Tune does; a driver's listeners have threads"
    callback.on_step_begin(0, trials)
    assert killed == []
    abandoned += [Task(Job(7, 2), fold) for fold in (1, 2, 3)]
    callback.on_step_begin(1, trials)
    assert killed == ["fold 1"]
    assert [trial.run_metadata.num_failures for trial in trials] == [2, tuner.MAX_PROCESS_FAILURES, 2, 2]
    trials[3].status = "RUNNING"
    callback.on_step_begin(2, [trials[3]])
    assert killed == ["fold 1", "fold 3"], "once its process has started"


def test_reports_tell_where_checkpoints_lie(tmp_path: Path) -> None:
    disks, task = Disks(tmp_path, tmp_path / "mark"), Task(Job(7, 2), 1)
    callback = tuner._FleetCallback(Idle(), disks, lambda task: None, list)
    kept = Kept(path=tmp_path / "7", num_bytes=1, free_bytes=1, node_id="a", is_shared=True)
    for report, node in ((epoch_of(1, 1), "a"), (epoch_of(1, 2), "a"), (result_of(1), "")):
        result = {REPORT: report, KEPT: kept}
        callback.on_trial_result(0, [], trial_of(task), result)
        assert (disks.node_of(task), result) == (node, {})


def test_a_rescheduled_trial_is_not_retried_on_its_node() -> None:
    scheduler = tuner._DriverScheduler(lambda *report: False)
    trial = trial_of(Task(Job(0, 0), 0))
    decision = scheduler.on_trial_result(None, trial, {REPORT: Rescheduled(message="no GPU", node_id="a")})  # type: ignore[arg-type]
    assert decision == scheduler.CONTINUE, "stopped, its process with the broken device would be used again"
    assert trial.run_metadata.num_failures == tuner.MAX_PROCESS_FAILURES
