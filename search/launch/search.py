"""A search from start to end: puts together plan, study, Ray and trials."""

from __future__ import annotations

import argparse
import contextlib
import functools
import logging
import shutil
import sys
from pathlib import Path

import numpy as np
from rich.console import Console

from leukemia import CLASS_NAMES
from leukemia.base import interrupts
from leukemia.base.errors import FAILURE, SUCCESS, UserError, print_error
from leukemia.base.faults import MachineFault
from leukemia.data.augment import augmented_sheet
from leukemia.data.images import open_images
from leukemia.reporting.augmented_sheet import plot_augmented
from leukemia.reporting.contact_sheet import draw_contact_sheet
from leukemia.study import layout
from leukemia.study.folder import Study
from leukemia.study.given_recipes import names_of
from leukemia.tracking.tracker import NoTracker, WandbTracker, make_tracker
from search.cluster import nodes, ray_private
from search.cluster import session as cluster
from search.cluster.resources import Resources, describe
from search.cluster.trainable import TrialData
from search.cluster.tuner import run_trials
from search.launch.arguments import not_remembered
from search.launch.disk import CacheNeed, describe_disk
from search.launch.ending import closing, explained
from search.launch.local_checkpoints import locked_checkpoints
from search.launch.messages import describe_devices, describe_storage, describe_store, print_plan
from search.launch.preparation import prepared, resources_of
from search.launch.study_folder import created, resumed
from search.planning.estimate import print_estimate, print_space
from search.planning.plan import Plan
from search.sampling.journal import Journal
from search.storage.address import keys_of
from search.storage.mirror import Mirror, NoMirror
from search.trials.display import TerminalDisplay, print_line
from search.trials.driver import Driver
from search.trials.outcome import print_outcome, write_best, write_hindsight
from search.trials.schedule import Limits
from search.trials.study_log import study_log
from search.trials.trained_before import TrainedBefore

log = logging.getLogger(__name__)


def search(arguments: argparse.Namespace, command: str) -> int:
    """Plan a search and run it; returns the exit status.

    Args:
        arguments: from ``search.launch.arguments.parse``.
        command: the command line, recorded in a new study.

    Raises:
        UserError: the arguments, the data or the machine do not allow the search.
        SystemExit: the search started and ended early.
    """
    # Without a terminal there is no width to respect: a table may be as wide as its recipes.
    console = Console() if sys.stdout.isatty() else Console(width=120, force_jupyter=False)
    with contextlib.ExitStack() as stack:
        plan, mirror = stack.enter_context(prepared(arguments, command))
        if arguments.dry_run:
            print_plan(console, plan)
            print_estimate(console, plan, arguments.device)
            _print_disk(console, plan, arguments)
            return SUCCESS
        checkpoints = stack.enter_context(locked_checkpoints(plan.info))
        images = open_images(plan.catalog, plan.view)
        try:
            own = stack.enter_context(cluster.ray_session(arguments.address))
        except cluster.RayNotStarted as failure:
            print_error(failure)
            return FAILURE
        # After Ray has installed its own handler, which would print stack traces and end the process.
        stack.enter_context(interrupts.handled())
        resources = resources_of(plan, arguments, nodes.current_nodes())
        plan = plan.with_cpu_threads(resources.cpu_threads)
        storage_line = describe_storage(plan, mirror, resume=arguments.resume)
        # A new study is written only now, after everything has been checked.
        study = resumed(plan) if arguments.resume else stack.enter_context(created(plan))
        stack.enter_context(study_log(study.folder, console))
        stack.enter_context(explained(console, study, not_remembered(arguments, study.info)))
        log.info("command: %s", command)
        print_line(console, f"study {study.name} in {study.folder}")
        print_plan(console, plan)
        if plan.info.asked and not plan.recipes:
            print_space(console, plan.space)
        print_line(console, describe(resources, nodes.current_nodes(), own))
        if device_line := describe_devices(study, resources.device):
            print_line(console, device_line)
        if store_line := describe_store(plan, own=own):
            print_line(console, store_line)
        if storage_line:
            print_line(console, storage_line)
        stack.enter_context(closing(console, mirror))
        mirror.start(study)
        tracker, tracker_line = make_tracker(study)
        stack.enter_context(closing(console, tracker))
        print_line(console, tracker_line)
        has_winner = _run(console, plan, study, images, resources, arguments, tracker, mirror, checkpoints)
        return print_outcome(console, study, has_winner=has_winner)


def _print_disk(console: Console, plan: Plan, arguments: argparse.Namespace) -> None:
    expected = nodes.expected_nodes(cluster.cluster_to_join(arguments.address))
    need = CacheNeed.of(plan, resources_of(plan, arguments, expected), expected)
    for line in describe_disk(plan, need, arguments.paused_gb):
        print_line(console, line)


def _run(
    console: Console,
    plan: Plan,
    study: Study,
    images: np.ndarray,
    resources: Resources,
    arguments: argparse.Namespace,
    tracker: WandbTracker | NoTracker,
    mirror: Mirror | NoMirror,
    checkpoints: Path,
) -> bool:
    """Run all trials and write their outcome; returns whether there is a winner."""
    _draw_images(images, plan, study)
    display = TerminalDisplay(
        Console(quiet=True, force_terminal=False) if arguments.quiet else console,
        num_trials=plan.info.trials + len(plan.priors),
        num_folds=plan.info.folds,
        objective=plan.rules.objective,
        searched=[dimension.key for dimension in plan.space.dimensions],
        names=names_of(plan.info),
        trained=TrainedBefore(study).num_epochs,
    )
    journal = Journal(
        study.folder / layout.JOURNAL,
        plan.space,
        seed=plan.info.seed,
        name=study.name,
        by_cost=plan.rules.by_cost,
        metric_names=[plan.rules.objective, *(["device seconds"] if plan.rules.by_cost else [])],
        sampler=plan.info.sampler,
        num_starts=plan.info.starts,
        recipes=plan.recipes,
        priors=[taken.prior for taken in plan.priors],
    )
    write = functools.partial(write_best, study, plan.catalog, plan.splits)
    driver = Driver(
        study,
        journal,
        plan.catalog,
        limits=Limits(num_trials=plan.info.trials, budget_hours=plan.info.budget_hours),
        rules=plan.rules,
        listeners=[tracker, mirror, display],
        on_best=write,
    )
    data = TrialData(
        images=Path(str(images.filename)) if ray_private.is_own() else images,  # type: ignore[attr-defined]
        labels=plan.catalog.table["label"].to_numpy(dtype=np.int64),
        folds=list(plan.splits.rows(plan.catalog)),
        checkpoints=checkpoints,
        storage=mirror.uri,
        keys=keys_of(mirror.uri),
        plugins=plan.plugins,
    )
    with display.running():
        repair = functools.partial(_repair_images, plan)
        run_trials(driver, data, resources, repair=repair, paused_gb=arguments.paused_gb)
    if driver.best is not None:
        # Later trials change the winner's selection bias.
        write(driver.progress)
    write_hindsight(study, plan.space, journal, driver.best, driver.progress)
    shutil.rmtree(checkpoints, ignore_errors=True)
    return driver.best is not None


def _repair_images(plan: Plan, has_crashed: bool) -> None:
    """Build the decoded images again if their file is deleted or damaged.

    Raises:
        MachineFault: they cannot be built.
        OSError: they cannot be read.
    """
    try:
        open_images(plan.catalog, plan.view, check_again=has_crashed)
    except UserError as error:
        # The first of several images is enough.
        raise MachineFault(" ".join(map(str.strip, str(error).splitlines()[:2]))) from None


def _draw_images(images: np.ndarray, plan: Plan, study: Study) -> None:
    """A few images of both classes under the starting recipe, as they are and augmented, for the report."""
    start, folder = plan.space.start, study.folder
    # Without subjects: the report has no names.
    draw_contact_sheet(plan.catalog, start, folder / layout.CONTACT_SHEET, seen=images.__getitem__, with_subjects=False)
    labels = plan.catalog.table["label"].to_numpy()
    rows = np.concatenate([np.flatnonzero(labels == label)[:3] for label in range(len(CLASS_NAMES))])
    plot_augmented(augmented_sheet(np.asarray(images[rows]), start), folder / layout.AUGMENTED)
