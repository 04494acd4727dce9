"""Tune's trainable, run in a worker process: trains one fold of a recipe, reporting every epoch and the fold."""

from __future__ import annotations

import dataclasses
import os
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import ray.tune
import torch

from leukemia.base.errors import UserError
from leukemia.base.faults import MachineFault, describe_fault, is_machine_fault
from leukemia.base.logs import logging_to
from leukemia.data import array_file
from leukemia.data.augmentation.loaders import loader_processes
from leukemia.plugins.plugin_file import PluginFile
from leukemia.plugins.registry import load
from leukemia.study.job import Job
from leukemia.training.checkpoint_writer import CheckpointSchedule, CheckpointWriter
from leukemia.training.crossval import cross_validate
from leukemia.training.device import (
    BrokenDevice,
    check_device,
    compute_dtype,
    device_memory_mb,
    is_device_fault,
    is_out_of_memory,
    limit_memory,
    use_threads,
)
from search.cluster.disks import job_folder, kept_at
from search.cluster.end_notice import answering
from search.cluster.notes import Notes
from search.cluster.resources import Resources
from search.cluster.tune_config import assignment_of, placement_of
from search.policy.health import Rescheduled
from search.storage.checkpoints import Checkpoints
from search.trials.assignment import Assignment, Failure

REPORT = "report"
"""Key of a ``Report`` in Tune's result."""

DEVICE_MB = "device_mb"
"""Key of the device's memory in Tune's result."""

NOTES = "notes"
"""Key of the trial's warnings since its last report, a list of lines."""

KEPT = "kept"
"""Key of the fold's checkpoint, a ``Kept``."""


CLOSING_SECONDS = 600
"""How long a stopped task may take to write and upload its last checkpoint."""


@dataclass(frozen=True, kw_only=True)
class TrialData:
    """Read-only data shared by all trials; sent once to each node."""

    images: np.ndarray | Path
    """uint8 (n, H, W, 3), or on a single machine the path of that array, which all trials memory-map."""

    labels: np.ndarray
    folds: list[tuple[np.ndarray, np.ndarray]]
    checkpoints: Path
    """Folder on the worker's own disk."""

    mark: Path | None = None
    """File by which a worker knows that this folder is the driver's (``search.cluster.disks.marked``)."""

    checkpoint_seconds: float = CheckpointSchedule.seconds
    """The time between two checkpoints of a fold, as ``CheckpointSchedule.seconds``."""

    notice: str | None = None
    """Key of the ``EndNotice`` of this search; None outside of one."""

    storage: str | None = None
    """Address of the mirrored study, which keeps checkpoints for other workers; None without a storage."""

    keys: Mapping[str, str] = field(default_factory=dict, repr=False)
    """Credentials for ``storage``, by variable, for nodes that have none."""

    plugins: tuple[PluginFile, ...] = ()
    """The files that the user has named with ``--plugin``, as text, since workers may have no copy."""


def checkpoints_of(data: TrialData, job: Job) -> Path:
    return job_folder(data.checkpoints, job)


class EndWorker(RuntimeError):
    """Ends the worker process after a ``Rescheduled``: in its process a failed device stays broken."""


def reschedule(
    error: Exception, *, at_fault: bool, recipe_suspected: bool = False, notes: Sequence[str] = ()
) -> EndWorker:
    """Report that the job cannot continue here; returns the exception to raise.

    Args:
        at_fault: whether the node failed, as opposed to the trial's share of its device being too small.
        notes: the trial's warnings since its last report.
    """
    report = Rescheduled(message=describe_fault(error), traceback=_traceback_of(error))
    if at_fault:
        node_id, node = ray.get_runtime_context().get_node_id(), ray.util.get_node_ip_address()
        report = dataclasses.replace(report, node_id=node_id, node=node, recipe_suspected=recipe_suspected)
    ray.tune.report({REPORT: report, NOTES: list(notes)})
    return EndWorker(report.message)


def run_placed(config: dict[str, Any], work: Any, data: TrialData, resources: Resources) -> None:
    """Run a trainable with the resources of its placement, after a check of the device."""
    # A process that is to be used again first writes the checkpoint of the task that was stopped in it. Tune waits for
    # that for 2 s by default, and then loses the next task.
    os.environ.setdefault("TUNE_FUNCTION_THREAD_TIMEOUT_S", str(CLOSING_SECONDS))
    placement = placement_of(config)
    own = dataclasses.replace(resources, cpus=placement.cpus, gpus=placement.gpus)
    device = torch.device(own.device)
    if device.type != "cpu":
        try:
            check_device(device)
            limit_memory(device, own.gpus)
        except BrokenDevice as broken:
            raise reschedule(broken, at_fault=True) from None
        except Exception as error:
            _report_end(error, own, [])
            return
    work(assignment_of(config), data=data, resources=own)


def _failure_of(error: Exception) -> Failure:
    """An error as a report: raising it would end the worker process."""
    frame = traceback.extract_tb(error.__traceback__)[-1]
    message = f"{type(error).__name__}: {error} ({Path(frame.filename).name}, line {frame.lineno})"
    return Failure(message=message, traceback=_traceback_of(error))


def _traceback_of(error: Exception) -> str:
    """As printed by Python, without values of variables; characters that UTF-8 cannot encode are escaped."""
    return "".join(traceback.format_exception(error)).encode("utf-8", "backslashreplace").decode("utf-8")


def run_trial(assignment: Assignment, data: TrialData, resources: Resources) -> None:
    """The trainable: train one fold of a recipe in a worker process."""
    # Ray sets OMP_NUM_THREADS to the CPUs that it has reserved, which may be fewer than the study's threads.
    use_threads(resources.cpu_threads or resources.cpus)
    job, fold = assignment.task.job, assignment.task.fold
    notes = Notes(job)
    checkpoints = Checkpoints(checkpoints_of(data, job), assignment.recipe, job=job, fold=fold, study=data.storage)
    with logging_to(notes):
        try:
            _train(assignment, data, resources, notes, checkpoints)
        except Exception as error:
            _report_end(error, resources, notes.take())
    checkpoints.clear()


def _report_end(error: Exception, resources: Resources, notes: Sequence[str]) -> None:
    """Report the error that ended a trial: its recipe's failure, or a fault of the machine.

    Raises:
        EndWorker: the trial is rescheduled.
    """
    if is_device_fault(error):
        raise reschedule(error, at_fault=True, recipe_suspected=True, notes=notes) from None
    if is_machine_fault(error):
        raise reschedule(error, at_fault=True, notes=notes) from None
    if is_out_of_memory(error) and 0 < resources.gpus < 1:
        raise reschedule(error, at_fault=False, notes=notes) from None
    ray.tune.report({REPORT: _failure_of(error), NOTES: list(notes)})


def _train(
    assignment: Assignment, data: TrialData, resources: Resources, notes: Notes, checkpoints: Checkpoints
) -> None:
    """Train the fold; each report carries the warnings since the last one."""
    images = data.images if isinstance(data.images, np.ndarray) else array_file.mapped(data.images)
    recipe, device = assignment.recipe, torch.device(resources.device)
    try:
        load(data.plugins)
        recipe.check_pretrained()
        compute_dtype(recipe, device)
    except UserError as error:
        # Another machine may have the study's weights and what its plug-ins import, and another device the recipe's
        # precision.
        raise MachineFault(str(error)) from None
    if not any(name in os.environ for name in data.keys):
        os.environ |= data.keys
    checkpoints.fetch()
    # Of the one fit, once it has begun.
    writers: list[CheckpointWriter] = []

    def store_last() -> None:
        for writer in writers:
            writer.store_last()

    # Stored as part of the writing: the last epoch and those of ``stops`` are reported once they are stored.
    schedule = CheckpointSchedule(
        seconds=data.checkpoint_seconds, epochs=assignment.stops, written=checkpoints.store, begun=writers.append
    )
    with answering(data.notice, assignment.task, store_last):
        for report in cross_validate(
            recipe,
            images,
            data.labels,
            data.folds,
            device=device,
            only=[assignment.task.fold],
            num_workers=loader_processes(recipe, device, resources.cpus),
            checkpoints=checkpoints.local,
            schedule=schedule,
        ):
            # Of a fold's result, this returns once the driver has committed it.
            kept = kept_at(checkpoints.path, data.mark)
            ray.tune.report({REPORT: report, DEVICE_MB: device_memory_mb(device), NOTES: notes.take(), KEPT: kept})
